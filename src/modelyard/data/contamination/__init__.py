"""Benchmark questions that stand in the rows, whole or edited."""
