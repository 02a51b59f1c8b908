"""`candidates/reference/`: what the trained torch model answers, computed once, against which candidates are judged."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.artifacts.prepared import write_frame
from modelyard.engines.base import Logits
from modelyard.errors import InputError, Problem
from modelyard.tasks.classification import correct

FOLDER = "reference"
JudgedSplit = Literal["validation", "test"]


@dataclass(frozen=True)
class Reference:
    """The trained model's answers on one split, in the split's order.

    Attributes:
        ids: id of each row.
        logits: shape (rows, labels), float32.
        label_indices: shape (rows,), the row's true label as its index in the model's labels.
    """

    ids: list[str]
    logits: Logits
    label_indices: NDArray[np.int64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the trained model's label is the true one, shape (rows,)."""
        return correct(self.logits, self.label_indices)


def write_reference(candidates: Path, split: JudgedSplit, reference: Reference) -> None:
    """Write `candidates/reference/SPLIT.parquet`: columns `id`, `logits` (list of float32), `label_index`."""
    folder = candidates / FOLDER
    folder.mkdir(exist_ok=True)
    frame = pl.DataFrame(
        {"id": reference.ids, "logits": reference.logits.tolist(), "label_index": reference.label_indices},
        schema={"id": pl.String, "logits": pl.List(pl.Float32), "label_index": pl.Int64},
    )
    write_frame(frame, folder / f"{split}.parquet")


def read_reference(candidates: Path, split: JudgedSplit) -> Reference:
    """Read the trained model's answers on a split.

    Raises:
        InputError: they are missing or are not what `compress` wrote.
    """
    path = candidates / FOLDER / f"{split}.parquet"
    try:
        frame = pl.read_parquet(path, columns=["id", "logits", "label_index"])
        logits = np.array(frame["logits"].to_list(), dtype=np.float32)
        if logits.ndim != 2:
            raise ValueError("the logits are no table")
    except (OSError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(
            Problem(f"the reference answers cannot be read: {error}", "run `modelyard compress` again", str(path))
        ) from error
    return Reference(frame["id"].to_list(), logits, frame["label_index"].to_numpy())
