"""Plain text into rows: a file is a document and one row; a long one is cut where its paragraphs end."""

from collections.abc import Iterator

from modelyard.data.reading.decode import BROKEN, broken_character
from modelyard.data.reading.records import Chunk, Parse

COLUMN = "text"
"""What the one column of a plain text is called."""
DOCUMENT_CHARACTERS = 250_000
"""Of a row where each file is a document: at most four bytes each, which the rule `text_too_long` lets pass."""
PASSAGE_CHARACTERS = 4_000
"""Of a row where one file is all there is: some thousand tokens, and 100 KB are enough rows for three splits."""


def parse_text(text: str, parse: Parse, *, most: int) -> Iterator[Chunk]:
    """The passages of a text, at most `most` characters each; of a file without one, an empty row for the rules."""
    texts: list[str | None] = []
    lines: list[int] = []
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, passage in passages(unified, most, parse.first_line):
        if parse.broken and (broken := BROKEN.search(passage)):
            parse.leave_out(broken_character(broken[0]), "remove it", number, passage)
            continue
        texts.append(passage)
        lines.append(number)
    if not lines and not parse.skipped and parse.first_line == 1:
        texts, lines = [""], [1]
    if lines:
        yield Chunk({COLUMN: texts}, lines)


def passages(text: str, most: int, first_line: int = 1) -> Iterator[tuple[int, str]]:
    """Cut a text of more than `most` characters; each passage with the line it starts at.

    A passage ends at the first blank line behind half of `most`, and where none comes, before the line that would make
    it longer than `most`: no line is ever cut. Blank lines around a passage belong to none.
    """
    enough = most // 2 if len(text) > most else most
    held: list[str] = []
    size, start = 0, first_line
    for number, line in enumerate(text.split("\n"), start=first_line):
        blank = not line.strip()
        if held and (size + len(line) > most or (blank and size > enough)):
            yield start, "\n".join(held).rstrip()
            held, size = [], 0
        if not held:
            if blank:
                continue
            start = number
        held.append(line)
        size += len(line) + 1
    if held:
        yield start, "\n".join(held).rstrip()
