"""From files to frames of rows: finding, decoding, cutting, parsing, and what a row is made of."""
