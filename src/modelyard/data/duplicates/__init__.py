"""Near copies: shingles, MinHash, and the exact comparison of those that met."""
