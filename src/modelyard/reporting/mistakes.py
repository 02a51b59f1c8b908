"""Where the trained model is wrong: its most confident wrong answers, and which labels it takes for which."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from modelyard.compression.reference import Reference
from modelyard.tasks.classification import correct

MOST = 20
MOST_LABELS = 12  # of a square table; beyond it the pairs most often confused are listed
MOST_PAIRS = 20
FIRST_CHARACTERS = 2_000  # of a text that are looked at


@dataclass(frozen=True)
class Mistake:
    """One wrong answer.

    Attributes:
        text: the row's text, its first characters.
        true: its label.
        given: the label that was answered.
        probability: of the given label, by softmax.
        source: `file:line`.
    """

    text: str
    true: str
    given: str
    probability: float
    source: str


@dataclass(frozen=True)
class Pair:
    """A label taken for another one: `rows` of the `total` rows that have the label `true`."""

    true: str
    given: str
    rows: int
    total: int


@dataclass(frozen=True)
class Mistakes:
    """What the trained model gets wrong on the test split.

    Attributes:
        rows: rows of the split.
        wrong: how many were answered wrongly.
        worst: the wrong answers of the highest probability.
        labels: names in the order of the table; empty where there are too many for one.
        table: shape (labels, labels): rows by true label, then by given label; empty where there are too many.
        pairs: labels most often confused, the most rows first.
        other_pairs: how many more pairs there are.
        not_numbers: rows whose answer is no finite number; they are left out of `worst`.
    """

    rows: int
    wrong: int
    worst: list[Mistake]
    labels: list[str]
    table: list[list[int]]
    pairs: list[Pair]
    other_pairs: int
    not_numbers: int


def find_mistakes(reference: Reference, frame: pl.DataFrame, labels: list[str]) -> Mistakes:
    """The trained model's wrong answers on a split.

    Args:
        reference: its answers.
        frame: the rows of that split in the same order, with `id`, `source`, `text`.
        labels: names in the order of the logits.

    Raises:
        ValueError: the answers are about other rows or other labels.
    """
    if reference.ids != frame["id"].to_list() or reference.logits.shape != (frame.height, len(labels)):
        raise ValueError("the trained model's answers are not about these rows and labels")
    finite = np.isfinite(reference.logits).all(axis=1)
    wrong = ~correct(reference.logits, reference.label_indices) | ~finite
    given = reference.logits.argmax(axis=1)
    table = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(table, (reference.label_indices[finite], given[finite]), 1)
    pairs = [
        Pair(labels[true], labels[answer], int(table[true, answer]), int(table[true].sum()))
        for true, answer in zip(*np.nonzero(table), strict=True)
        if true != answer
    ]
    pairs.sort(key=lambda pair: (-pair.rows, pair.true, pair.given))
    small = len(labels) <= MOST_LABELS
    return Mistakes(
        rows=frame.height,
        wrong=int(wrong.sum()),
        worst=_worst(reference, frame, labels, wrong & finite),
        labels=labels if small else [],
        table=table.tolist() if small else [],
        pairs=pairs[:MOST_PAIRS],
        other_pairs=max(0, len(pairs) - MOST_PAIRS),
        not_numbers=int((~finite).sum()),
    )


def _worst(reference: Reference, frame: pl.DataFrame, labels: list[str], wrong: np.ndarray) -> list[Mistake]:
    """The wrong answers of the highest probability; of equal ones the first row."""
    rows = np.flatnonzero(wrong)
    logits = reference.logits[rows].astype(np.float64)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True)) if rows.size else logits
    probability = shifted.max(axis=1) / shifted.sum(axis=1) if rows.size else np.empty(0)
    order = np.argsort(-probability, kind="stable")[:MOST]
    shown = frame[rows[order]].with_columns(pl.col("text").str.slice(0, FIRST_CHARACTERS))
    return [
        Mistake(
            text=row["text"] or "",
            true=labels[int(reference.label_indices[rows[place]])],
            given=labels[int(reference.logits[rows[place]].argmax())],
            probability=float(probability[place]),
            source=row["source"] or "",
        )
        for place, row in zip(order, shown.iter_rows(named=True), strict=True)
    ]
