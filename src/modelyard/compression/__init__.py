"""Compression: export, quantise, screen on validation, confirm on test, choose by what was measured here."""
