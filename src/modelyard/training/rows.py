"""From the rows of a prepared split to token ids, with every problem of the rows named by its source."""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from modelyard.artifacts.prepared import Prepared, Split
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Measurement
from modelyard.progress import Progress, silent
from modelyard.tasks.classification import encode
from modelyard.training.batches import Rows

CHUNK = 1_000  # rows encoded between two words about progress; the tokenizer's own objects are large
UNCUT = 2**31 - 1
_NEXT = "run `modelyard check` again"
_NAMED = 20


def encode_split(
    tokenizer: Tokenizer, prepared: Prepared, split: Split, *, several: bool = False, progress: Progress = silent
) -> Rows:
    """Encode one split, not cut.

    Args:
        tokenizer: of the model.
        prepared: where the rows are.
        split: one of them.
        several: rows have a list of labels, not one.
        progress: told of the rows that are tokens.

    Raises:
        InputError: the split is empty, or a row has no text, no token or a label that `dataset.json` does not name.
    """
    column = "labels" if several else "label"
    frame = read_split(prepared, split, ("text", column))
    texts, found, sources = (frame[name].to_list() for name in ("text", column, "source"))
    index = {label: position for position, label in enumerate(prepared.dataset.labels)}
    names = [_listed(one) for one in found] if several else [[one] for one in found]
    problems = [
        Problem(f"the text of a {split} row is {text!r}: it must be a string", _NEXT, str(source))
        for text, source in zip(texts, sources, strict=True)
        if not isinstance(text, str)
    ]
    problems += [
        Problem(
            f"the label {name!r} of a {split} row is not one of the {len(index)} in dataset.json", _NEXT, str(source)
        )
        for row, source in zip(names, sources, strict=True)
        for name in row
        if name not in index
    ]
    if problems:
        raise InputError(problems[:_NAMED])
    ids = _encode(tokenizer, texts, UNCUT, f"tokenise {split}", progress)
    empty = [source for row, source in zip(ids, sources, strict=True) if not row]
    if empty:
        raise InputError(
            [
                Problem(f"a {split} row has no token", "drop the row, or mend the tokenizer", str(at))
                for at in empty[:_NAMED]
            ]
        )
    return Rows(ids, sources, _labels_of([[index[name] for name in row] for row in names], len(index), several=several))


def _listed(labels: Any) -> list[Any]:  # noqa: ANN401  (whatever a Parquet column holds)
    """A row's labels; what is no list is one of them, which no data set names."""
    return labels if isinstance(labels, list) else [labels]


def _labels_of(rows: list[list[int]], labels: int, *, several: bool) -> NDArray[np.signedinteger]:
    """As in `Rows`, from the indices of each row's labels."""
    if not several:
        return np.array([row[0] for row in rows], dtype=np.int64)
    marks = np.zeros((len(rows), labels), dtype=np.int8)  # a byte each: there may be many of both
    for number, row in enumerate(rows):
        marks[number, row] = 1
    return marks


def read_split(prepared: Prepared, split: Split, columns: Sequence[str]) -> pl.DataFrame:
    """The rows of a split, which has some and has these columns beside its slices.

    Raises:
        InputError: it has not.
    """
    frame = prepared.split(split)
    path = str(prepared.folder / f"{split}.parquet")
    lacking = sorted({*columns, "source", *prepared.dataset.slices} - set(frame.columns))
    if lacking:
        raise InputError(Problem(f"{split} has no column {', '.join(lacking)}", _NEXT, path))
    if frame.is_empty():
        raise InputError(Problem(f"{split} has no rows", "give it rows, see data.split in modelyard.yaml", path))
    return frame


def cut_rows(
    tokenizer: Tokenizer, rows: Rows, prepared: Prepared, split: Split, max_length_tokens: int
) -> tuple[Rows, list[Measurement]]:
    """Rows cut as every later stage cuts them, by the tokenizer, and what share of them was longer.

    Args:
        tokenizer: of the model.
        rows: from `encode_split`.
        prepared: where their texts are.
        split: of the rows.
        max_length_tokens: special tokens included.
    """
    long = [index for index, row in enumerate(rows.ids) if len(row) > max_length_tokens]
    texts = prepared.split(split)["text"].gather(long).to_list()
    ids = list(rows.ids)
    for index, row in zip(long, _encode(tokenizer, texts, max_length_tokens, "cut", silent), strict=True):
        ids[index] = row
    return Rows(ids, rows.sources, rows.labels), [share("rows_cut_share", split, len(long), len(ids))]


def share(name: str, split: str, count: int, rows: int) -> Measurement:
    """A share of all rows of a split."""
    return Measurement(name=name, subject=split, interval=Interval.exact(count / rows, n=rows, unit="fraction"))


def _encode(
    tokenizer: Tokenizer, texts: Sequence[str], limit: int, what: str, progress: Progress
) -> list[Sequence[int]]:
    ids: list[Sequence[int]] = []
    for start in range(0, len(texts), CHUNK):
        # four bytes a token, where a list of Python's numbers takes up to 36
        ids += [array("i", row) for row in encode(tokenizer, texts[start : start + CHUNK], max_length_tokens=limit)]
        progress(what, len(ids), len(texts))
    return ids
