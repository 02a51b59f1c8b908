"""What changed between two sets of rows, and from audit to audit."""
