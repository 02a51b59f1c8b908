"""The folders that stages hand to each other: written atomically, read with validation, named by digest."""
