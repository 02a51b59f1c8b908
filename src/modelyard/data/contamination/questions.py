"""Benchmark questions that must not stand in a corpus, read from files of any shape."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.artifacts.files import digest_file
from modelyard.data.contamination.index import Index, build_index
from modelyard.data.problems import raise_found
from modelyard.data.reading.locate import file_format, shown_path
from modelyard.data.reading.shapes import NAMES, Shape
from modelyard.data.reading.table import first_columns, read_table
from modelyard.errors import Problem

_QUESTION = ("question", *NAMES["prompt"], *NAMES["text"], "问题", "sentence", "passage")
_ANSWER = ("answer", *NAMES["completion"], "答案", "target")


def benchmark_facts(paths: Sequence[Path], root: Path, index: Index) -> tuple[dict[str, Any], list[str]]:
    """What a report says of the questions that were looked for.

    Args:
        paths: the files that hold them.
        root: what paths are shown relative to.
        index: of their questions.

    Returns:
        `questions`: how many there are, `not_looked_for`: how many are too short, `files`: path -> digest; then, as
        sentences, what was left out.
    """
    notes = []
    missed = index.too_short
    facts = {
        "questions": index.questions.height,
        "not_looked_for": missed.len(),
        "files": {shown_path(path, root): digest_file(path) for path in paths},
    }
    if missed.len():
        first = index.questions.filter(pl.col("question") == missed[0])["source"][0]
        notes.append(
            f"{missed.len():,} of {index.questions.height:,} benchmark questions are not looked for: fewer than 4 "
            f"words or 5 characters, answer included; the first is {first}"
        )
    return facts, notes


def load_questions(paths: Sequence[Path], root: Path) -> Index:
    """Index the questions of files, one a row: the column is `question`, `prompt`, `text` or the like, by its name.

    Args:
        paths: of the files.
        root: what paths are shown relative to.

    Raises:
        InputError: a file cannot be read, has no such column, or its questions cannot be searched for.
    """
    problems: list[Problem] = []
    found: list[pl.DataFrame] = []
    for path in paths:
        if file_format(path) == "text":
            step = 'write each as a line {"question": "…"} of a .jsonl file'
            problems.append(Problem("a plain text does not say where a question ends", step, str(path)))
            continue
        columns = {column.strip().casefold(): column for column in reversed(first_columns(path))}
        question = next((columns[name] for name in _QUESTION if name in columns), None)
        if question is None:
            some = ", ".join(map(repr, list(columns.values())[:10])) or "none"
            problems.append(Problem(f"no column holds questions: {some}", "call it question", str(path)))
            continue
        table = read_table([path], root=root, shape=Shape(name="text", columns={"text": question}))
        answer = next((columns[name] for name in _ANSWER if name in columns and columns[name] != question), None)
        answers = table.fields[answer] if answer else pl.Series([None] * table.rows.height, dtype=pl.String)
        found.append(table.rows.select("source", "text").with_columns(answers.alias("answer")))
    raise_found(problems)
    rows = pl.concat(found).filter(pl.col("text").str.strip_chars() != "")
    return build_index(rows.with_row_index("question").with_columns(pl.col("question").cast(pl.Int64)))
