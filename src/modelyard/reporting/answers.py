"""Answers that a trained language model wrote, for a person to read: `train.answers.jsonl`.

Personal data and secrets are masked in them, as in every text that is shown.
"""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from modelyard.data.personal.find import find_personal, redact

MAX_ANSWERS = 30
MAX_LINE_BYTES = 1024**2
FIRST_CHARACTERS = 2_000


@dataclass(frozen=True)
class Answer:
    """What a model wrote to the question of a row, what it was taught to write, and whether both are the same."""

    source: str
    prompt: str
    wanted: str
    written: str
    same: bool


def read_answers(path: Path) -> list[Answer]:
    """The first answers of a file, masked; lines that hold none are passed over."""
    if not path.is_file():
        return []
    with path.open("rb") as handle:
        lines = list(islice(iter(lambda: handle.readline(MAX_LINE_BYTES), b""), MAX_ANSWERS))
    found = [answer for line in lines if (answer := _answer(line)) is not None]
    texts = [text for one in found for text in (one.prompt, one.wanted, one.written)]
    frame = pl.DataFrame({"row": range(len(texts)), "text": texts}, schema={"row": pl.Int64, "text": pl.String})
    masked = [str(text) for text in redact(frame, find_personal(frame))]
    return [
        Answer(one.source, masked[place], masked[place + 1], masked[place + 2], one.same)
        for place, one in zip(range(0, len(masked), 3), found, strict=True)
    ]


def _answer(line: bytes) -> Answer | None:
    try:
        content = json.loads(line)
        parts = [content[name] for name in ("source", "prompt", "wanted", "written")]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    if not all(isinstance(part, str) for part in parts):
        return None
    source, prompt, wanted, written = parts
    same = wanted.strip() == written.strip()
    prompt, wanted, written = (text[:FIRST_CHARACTERS] for text in (prompt, wanted, written))
    return Answer(source, prompt, wanted, written, same)
