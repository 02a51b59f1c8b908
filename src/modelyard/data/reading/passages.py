"""Plain text into rows: a file is a document and one row; a long one is cut where its paragraphs end."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modelyard.data.reading.decode import BROKEN, broken_character
from modelyard.data.reading.locate import file_format, shown_path
from modelyard.data.reading.records import Chunk, Parse
from modelyard.errors import InputError, Problem

COLUMN = "text"
"""What the one column of a plain text is called."""
DOCUMENT_CHARACTERS = 250_000
"""Of a row where each file is a document: at most four bytes each, which the rule `text_too_long` lets pass."""
PASSAGE_CHARACTERS = 4_000
"""Of a row where one file is all there is: some thousand tokens, and 100 KB are enough rows for three splits."""
_SENTENCE_END = re.compile(r"""[。！？][”’」』）】》]{0,3}|[.!?]["'”’)\]]{0,3}(?=\s)""")
_WORD_END = re.compile(r"(?=\s)")


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


def refuse_texts(paths: Iterable[Path], columns: Mapping[str, str], root: Path) -> None:
    """Say once, and not of each of many files, that a plain text has no other column than its text.

    Args:
        paths: files that are to be read.
        columns: that are wanted of each -> what to change where texts are all there is; empty where no change helps.
        root: what the shown name is relative to.

    Raises:
        InputError: a plain text is among them, and another column than its text is wanted.
    """
    lacking = [name for name in columns if name != COLUMN]
    first = next((path for path in paths if file_format(path) == "text"), None)
    if not lacking or first is None:
        return
    message = f"a plain text has no column {_listed(lacking)}: a .txt file holds a text and nothing beside it"
    next_step = f"name a table (CSV, TSV, JSON, JSONL or Parquet) that has {_listed(columns)}"
    if changes := ", ".join(filter(None, dict.fromkeys(columns[name] for name in lacking))):
        next_step += f"; for texts alone {changes}"
    raise InputError(Problem(message, next_step, shown_path(first, root)))


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(map(repr, columns))


def passages(text: str, most: int, first_line: int = 1) -> Iterator[tuple[int, str]]:
    """Cut a text of more than `most` characters; each passage with the line it starts at.

    A passage ends at the first blank line behind half of `most`, and where none comes, before the line that would make
    it longer than `most`. Only a line that is longer itself is cut, so that pieces of it start at the same line; what
    is short before it, as the heading of a chapter in one line, stays with its beginning. Blank lines around a passage
    belong to none.
    """
    enough = most // 2 if len(text) > most else most
    held: list[str] = []
    size, start = 0, first_line
    for number, line in enumerate(text.split("\n"), start=first_line):
        blank = not line.strip()
        joins = size + len(line) <= most or (len(line) > most and not blank and size <= enough)
        if held and (not joins or (blank and size > enough)):
            yield start, "\n".join(held).rstrip()
            held, size = [], 0
        if not held:
            if blank:
                continue
            start = number
        *full, rest = _pieces(line, most, most - size)
        for piece in full:
            yield start, "\n".join([*held, piece])
            held, size, start = [], 0, number
        held.append(rest)
        size += len(rest) + 1
    if held:
        yield start, "\n".join(held).rstrip()


def _pieces(line: str, most: int, room: int) -> list[str]:
    """A line in pieces of at most `most` characters, the first of at most `room`: nothing but white space is lost."""
    if len(line) <= room:
        return [line]
    line = line.rstrip()
    found = []
    start = 0
    while len(line) - start > room:
        end = _piece_end(line, start, start + room)
        if piece := line[start:end].rstrip():
            found.append(piece)
            room = most
        start = end
        while line[start].isspace():  # its last character is none
            start += 1
    return [*found, line[start:]]


def _piece_end(line: str, start: int, limit: int) -> int:
    """Where a piece from `start` to `limit` ends: behind the last sentence in its second half, else the last word."""
    for end in (_SENTENCE_END, _WORD_END):
        places = (found.end() for found in end.finditer(line, (start + limit + 1) // 2, limit + 1))
        if best := max((place for place in places if place <= limit), default=0):
            return best
    return limit
