"""The stages in a row, and the last one: the release, refused without its evidence."""
