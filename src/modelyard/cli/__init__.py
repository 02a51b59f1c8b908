"""The command line: each module parses, calls one function, prints. Nothing heavy is imported before it is used."""
