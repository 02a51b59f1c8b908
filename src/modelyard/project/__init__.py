"""`modelyard.yaml`: one schema file per section, read with line numbers, every problem at once."""
