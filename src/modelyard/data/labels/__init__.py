"""Rows whose label is likely wrong."""
