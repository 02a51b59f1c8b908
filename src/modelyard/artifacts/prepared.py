"""`prepared/`: what `check` hands to everything after it."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.files import digest_file
from modelyard.errors import InputError, Problem

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MARK = "dataset.json"
NO_VALUE = "(none)"
"""What a slice column holds where a row had nothing there."""
DROPPED_COLUMNS = ("source", "row", "rule", "evidence", "twin", "raw")
"""Columns of `dropped.parquet` that are ours: a column of the files of such a name is stored as `NAME_column`."""
_NEXT = "run `modelyard check` again"


class Source(BaseModel):
    """One file that rows came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    digest: str
    rows: int


class Dataset(BaseModel):
    """`dataset.json`.

    Attributes:
        schema_version: `schema` in JSON.
        task: `classification`, `multi_label_classification`, `causal_lm`, `seq2seq_lm` or `preference`.
        shape: what a row is made of: `text`, `text_label`, `text_labels`, `prompt_completion`, `messages` or
            `preference`.
        labels: label names in the order of the model's outputs.
        counts: rows in each split.
        digests: digest of each split's file; the test split's is what reports count judgements by.
        slices: names of the slice columns.
        seed: seed of the split.
        sources: the files the rows came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    task: str
    shape: str = "text_label"
    labels: list[str]
    counts: dict[str, int]
    digests: dict[str, str]
    slices: list[str]
    seed: int
    sources: list[Source]


@dataclass(frozen=True)
class Prepared:
    """An opened `prepared/` folder.

    The frame of a split has the columns `id`, `source`, those of its shape (`text` and `label`, or `text` and `labels`,
    a list, or `text`, or `prompt` and `completion`, or `messages`, or `prompt`, `chosen` and `rejected`), the slice
    columns (strings) and `group` (string or null), in the order in which rows are judged. `messages` is a list of
    `role`, `content`, `tool_calls`.
    """

    folder: Path
    dataset: Dataset

    def split(self, name: Split) -> pl.DataFrame:
        """Rows of one split, in their fixed order."""
        return pl.read_parquet(self.folder / f"{name}.parquet")

    def label_indices(self, name: Split) -> list[int]:
        """The label of each row of a split as its index in `dataset.labels`."""
        index = {label: position for position, label in enumerate(self.dataset.labels)}
        return [index[label] for label in self.split(name)["label"].to_list()]


def read_prepared(folder: Path) -> Prepared:
    """Open a prepared folder: its splits are there and are the ones that `dataset.json` describes.

    Raises:
        InputError: a file is missing or was changed since.
    """
    dataset = read_document(folder / MARK, Dataset, next_step=_NEXT)
    problems = []
    for name in SPLITS:
        path = folder / f"{name}.parquet"
        if not path.is_file():
            problems.append(Problem(f"{path.name} is missing from {folder}", _NEXT, str(path)))
        elif digest_file(path) != dataset.digests.get(name):
            problems.append(Problem(f"{path.name} was changed after `check` wrote it", _NEXT, str(path)))
    if problems:
        raise InputError(problems)
    return Prepared(folder, dataset)


def scopes(frame: pl.DataFrame, *, label: str | None, slices: Sequence[str]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and rows of every slice and class of a frame, in the order in which every report lists them.

    Args:
        frame: rows of a split.
        label: name of the label column; None where rows have none.
        slices: names of the slice columns; a missing value is `(none)`.

    Yields:
        `slice:COLUMN=VALUE` for each slice column in the order given, then `class:LABEL`, values in alphabetical order;
        with each the mask of its rows, shape (rows,), at least one of them true.
    """
    columns = [(name, f"slice:{name}=") for name in slices] + ([] if label is None else [(label, "class:")])
    for column, prefix in columns:
        values = frame[column].cast(pl.String).fill_null(NO_VALUE)
        for value in sorted(set(values.to_list())):
            yield f"{prefix}{value}", (values == value).to_numpy()


def write_frame(frame: pl.DataFrame, path: Path, *, brief: bool = False) -> None:
    """Write a Parquet file; a full disk is the system's own error, as from any other write.

    Args:
        frame: what it holds.
        path: where it goes.
        brief: it is thrown away soon: fast to write rather than small.

    Raises:
        OSError: the system refused; polars wraps it into an error of its own, with the number in the text.
    """
    try:
        frame.write_parquet(path, compression="lz4" if brief else "zstd", statistics=not brief)
    except pl.exceptions.PolarsError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:  # where it is the end of the file that cannot be written, polars does not say why
            full = os.statvfs(path.parent).f_bavail == 0
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
