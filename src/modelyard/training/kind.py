"""What one task does otherwise than another, from prepared rows to what the report says of the trained model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from modelyard.artifacts.prepared import Prepared, Split
from modelyard.errors import Problem
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement
from modelyard.progress import Progress
from modelyard.tasks.written import Pair
from modelyard.training.batches import Rows
from modelyard.training.derive import Defaults
from modelyard.training.objective import Objective


class Evaluated(NamedTuple):
    """What is known when a training ends.

    Attributes:
        outputs: of the validation rows by the trained model, shape (rows, width of the objective).
        before: the same of the base model; None where the task does not ask, or the weights were drawn anew.
        vocabulary: token ids that the model knows.
        train: rows.
        validation: rows.
        frame: of the validation split, from which its rows were made.
        slices: columns of the frame.
        labels: names in the order of a classifier's outputs.
        written: what the model wrote to rows of that split, and what it was to write; nothing where the task does not
            write.
        seed: of what is drawn.
    """

    outputs: NDArray[np.float32]
    before: NDArray[np.float32] | None
    vocabulary: int
    train: Rows
    validation: Rows
    frame: pl.DataFrame
    slices: list[str]
    labels: list[str]
    written: Sequence[Pair] = ()
    seed: int = 0


class Found(NamedTuple):
    """What the report says: the first measurement is the one over all rows; in a sentence it is `headline`."""

    measurements: list[Measurement]
    verdict: Verdict
    headline: str
    notes: tuple[str, ...] = ()


class Kind(NamedTuple):
    """A task's own functions.

    Attributes:
        problems: of a prepared data set that this task cannot be trained on.
        load: the base model in fp32, from its folder, the data set, the seed of new weights, and whether all are new.
        read: rows of a split, not cut.
        needed: tokens that the model's positions must hold for each row.
        cut: those rows as they are trained on, of at most so many tokens, and what became of the long ones.
        objective: for the model and its train rows.
        found: from what is known in the end.
        asks_before: whether the base model is evaluated too.
        wanted: of a split and its shape the text that the model is to write for each row, None where there is none.
        defaults: what the settings are derived from.
    """

    problems: Callable[[Prepared], list[Problem]]
    load: Callable[[Path, Prepared, int, bool], PreTrainedModel]
    read: Callable[[Tokenizer, Path, Prepared, Split, Progress], Rows]
    needed: Callable[[Rows], Sequence[int]]
    cut: Callable[[Tokenizer, Rows, Prepared, Split, int], tuple[Rows, list[Measurement]]]
    objective: Callable[[PreTrainedModel, Rows], Objective]
    found: Callable[[Evaluated], Found]
    asks_before: bool
    wanted: Callable[[pl.DataFrame, str], list[str | None]]
    defaults: Defaults
