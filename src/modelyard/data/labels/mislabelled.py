"""Rows whose label is likely wrong: a small model's held-out opinion of each label, and a cut that aims at precision.

What happens, in two passes over the rows:

1. rows are turned into hashed n-grams (`ngrams`); of a large corpus, a sample that depends on the seed alone is kept;
2. linear models are fitted on the sample, each blind to a fifth of the rows, a group never on both sides (`crossfit`);
3. on the sample: class thresholds, confident joint, background rate, calibration (`confident`);
4. every row is scored by models that have not seen it, and flagged where its label is more likely wrong than right.

Exact duplicates must be gone before, near ones share a group: a copy with the same wrong label would vouch for it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from modelyard.data.labels import confident
from modelyard.data.labels.crossfit import Models, fit, outside_scores, softmax
from modelyard.data.labels.ngrams import hash_numbers, hash_strings, hashed_ngrams
from modelyard.evidence.interval import Interval
from modelyard.evidence.proportion import wilson

FOLDS = 5
"""A model sees four fifths of the rows: ten folds were no better at twice the cost."""
MAX_REPEATS = 3
"""Divisions into folds whose scores are averaged: each of them finds more flips at equal number flagged than one."""
MAX_LABELS = 200
MIN_ROWS = 500
"""Below it the background rate rests on fewer than 50 rows."""
MIN_LABEL_ROWS = 20
"""A label with fewer rows is not learnt by a model that sees four fifths of them: its rows are left alone."""
MAX_SAMPLE_ROWS = 200_000
MAX_SAMPLE_NGRAMS = 24_000_000
"""Kept at once: 192 MB, and as much again while they are put together or shuffled."""
MAX_MODEL_BYTES = 256 * 1024**2
MAX_BITS = 20
MIN_BITS = 16
SCORED_ROWS = 4_096
"""Rows whose scores by all models are held at once."""
WRONG = 0.5
"""A label is flagged when it is at least as likely wrong as right."""

Batches = Callable[[], Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class Mislabelled:
    """What was found.

    Attributes:
        rows: those whose label is at least as likely wrong as right: `row` (Int64), `given` and `suggested` (String),
            `confidence` (Float64), the lower end of the probability that the given label is wrong, by the interval of
            the background rate. The surest first, equal ones by row.
        reason: why nothing was judged; empty where it was.
        unjudged: labels whose rows were left alone, because they are too few or the model does not know them.
        accuracy: share of the sample's labels that the held-out prediction agrees with; None where none was made.
        noise: rate of wrong labels that does not depend on the text; an upper bound, see `confident`. None as above.
    """

    rows: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(
            schema={"row": pl.Int64, "given": pl.String, "suggested": pl.String, "confidence": pl.Float64}
        )
    )
    reason: str = ""
    unjudged: tuple[str, ...] = ()
    accuracy: Interval | None = None
    noise: Interval | None = None


@dataclass(frozen=True)
class Rows:
    """Rows ready for a model.

    Attributes:
        number: running number of each row.
        label: position of its label among the labels.
        features: shape (rows, columns).
        division: what folds are drawn from: one number per group, or per row without one.
        place: where the row stands in the order that a sample is drawn by.
    """

    number: NDArray[np.int64]
    label: NDArray[np.int32]
    features: sparse.csr_matrix
    division: NDArray[np.int64]
    place: NDArray[np.uint64]

    def where(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Some of the rows; shape (rows,)."""
        return Rows(
            self.number[chosen], self.label[chosen], self.features[chosen], self.division[chosen], self.place[chosen]
        )


def find_mislabelled(batches: Batches, *, rows: int, labels: Sequence[str], seed: int) -> Mislabelled:
    """Find rows whose label is likely wrong.

    Args:
        batches: gives the frames anew at each call (it is called twice), in one order, with the columns `row`, `text`,
            `label` and, where rows belong together, `group`. A row without a text or with a label that is not among
            `labels` is passed over.
        rows: how many rows the frames hold.
        labels: every label, in any order.
        seed: of the sample, the folds and the order of training.

    Returns:
        The flagged rows, or none and the reason why nothing could be judged.
    """
    names = sorted(set(labels))
    reason = _refusal(rows, names)
    if reason:
        return Mislabelled(reason=reason)
    repeats, bits = size_of_models(len(names), rows)
    sample = sample_rows(batches, rows, names, bits, seed)
    counts = np.bincount(sample.label, minlength=len(names))
    reason = _refusal(len(sample.number), [name for name, count in zip(names, counts, strict=True) if count])
    if reason:
        return Mislabelled(reason=reason)
    models = [
        fit(sample.features, sample.label, left_out(sample, seed, repeat), len(names), seed + repeat)
        for repeat in range(repeats)
    ]
    probabilities = held_out_probabilities(models, sample, seed)
    accuracy = wilson(int((probabilities.argmax(axis=1) == sample.label).sum()), len(sample.label))
    if accuracy.low <= (most := counts.max() / counts.sum()):
        reason = (
            f"a small model agrees with {accuracy.estimate:.1%} of the labels (95% interval {accuracy.low:.1%} to "
            f"{accuracy.high:.1%}), which is no better than always saying the commonest one ({most:.1%})"
        )
        return Mislabelled(reason=reason, accuracy=accuracy)
    thresholds = confident.class_thresholds(probabilities, sample.label)
    judged = _known(probabilities, sample.label, thresholds) & (counts >= MIN_LABEL_ROWS)
    background = confident.background(probabilities, sample.label)
    found = [
        _flag(piece, held_out_probabilities(models, piece, seed), thresholds, judged, background)
        for piece in _pieces(batches, names, bits, seed)
    ]
    return Mislabelled(
        rows=_named(found, names),
        unjudged=tuple(name for name, known in zip(names, judged, strict=True) if not known),
        accuracy=accuracy,
        noise=background.noise,
    )


def _refusal(rows: int, labels: Sequence[str]) -> str:
    """Why nothing can be judged; empty where it can."""
    if len(labels) < 2:
        return f"there are {len(labels)} labels, and at least 2 are needed"
    if len(labels) > MAX_LABELS:
        return f"there are {len(labels)} labels, and at most {MAX_LABELS} are judged"
    if rows < MIN_ROWS:
        return f"there are {rows} labelled rows, and at least {MIN_ROWS} are needed"
    return ""


def size_of_models(classes: int, rows: int) -> tuple[int, int]:
    """Repeats, and bits of the hash.

    Weights and squares of one repeat stay within `MAX_MODEL_BYTES`; many classes get one repeat for the time it takes.
    A row brings some 100 n-grams, most of them seen before, so that 64 columns per row leave few to collide.
    """
    columns = MAX_MODEL_BYTES // (2 * 4 * FOLDS * classes)
    fitting = max(MIN_BITS, min(MAX_BITS, columns.bit_length() - 1))
    repeats = MAX_REPEATS if fitting >= MAX_BITS - 2 else 1
    return repeats, max(MIN_BITS, min(fitting, (64 * rows).bit_length()))


def _pieces(batches: Batches, names: Sequence[str], bits: int, seed: int, share: float = 1.0) -> Iterator[Rows]:
    """The rows, some thousand at a time; with a share below 1 those that come first in the order of the sample."""
    bound = np.uint64(min(share, 1.0) * (2**64 - 1025))
    positions = {name: position for position, name in enumerate(names)}
    for frame in batches():
        label = frame["label"].replace_strict(positions, default=-1, return_dtype=pl.Int32).to_numpy()
        number = frame["row"].cast(pl.Int64).to_numpy()
        place = hash_numbers(number, seed)
        wanted = (label >= 0) & frame["text"].is_not_null().to_numpy() & (place <= bound)
        division = _division(frame, number)
        for start in range(0, int(wanted.sum()), SCORED_ROWS):
            chosen = np.flatnonzero(wanted)[start : start + SCORED_ROWS]
            texts = frame["text"].gather(chosen)
            yield Rows(number[chosen], label[chosen], hashed_ngrams(texts, bits), division[chosen], place[chosen])


def _division(frame: pl.DataFrame, number: NDArray[np.int64]) -> NDArray[np.int64]:
    """A row without a group is a group of its own."""
    if "group" not in frame.columns:
        return number
    group = frame["group"].cast(pl.String)
    hashes = hash_strings(group, seed=0).view(np.int64)
    return np.where(group.is_null().to_numpy(), number, hashes)


def sample_rows(batches: Batches, rows: int, names: Sequence[str], bits: int, seed: int) -> Rows:
    """All rows, or as many of the first in an order that depends on the seed alone as fit in memory."""
    kept: list[Rows] = []
    for piece in _pieces(batches, names, bits, seed, share=MAX_SAMPLE_ROWS / rows):
        kept.append(piece)
        while sum(part.features.nnz for part in kept) > MAX_SAMPLE_NGRAMS:
            middle = np.median(np.concatenate([part.place for part in kept]))
            kept = [part.where(part.place < middle) for part in kept]
    if not kept:
        empty = np.zeros(0, dtype=np.int64)
        features = sparse.csr_matrix((0, 1 << bits), dtype=np.float32)
        return Rows(empty, empty.astype(np.int32), features, empty, empty.astype(np.uint64))
    return Rows(
        np.concatenate([part.number for part in kept]),
        np.concatenate([part.label for part in kept]),
        sparse.vstack([part.features for part in kept], format="csr"),
        np.concatenate([part.division for part in kept]),
        np.concatenate([part.place for part in kept]),
    )


def left_out(rows: Rows, seed: int, repeat: int) -> NDArray[np.bool_]:
    """Shape (rows, folds): the one fold that each row is left out of. Rows of one group share it."""
    fold = hash_numbers(rows.division, seed=(seed + 1) * MAX_REPEATS + repeat) % np.uint64(FOLDS)
    return np.asarray(fold[:, None] == np.arange(FOLDS, dtype=np.uint64))


def held_out_probabilities(models: Sequence[Models], rows: Rows, seed: int) -> NDArray[np.float32]:
    """Shape (rows, classes): of the scores' mean over the repeats, each by models that have not seen the row."""
    parts = []
    for start in range(0, len(rows.number), SCORED_ROWS):
        chosen = np.zeros(len(rows.number), dtype=bool)
        chosen[start : start + SCORED_ROWS] = True
        part = rows.where(chosen)
        scores = [outside_scores(own, part.features, left_out(part, seed, repeat)) for repeat, own in enumerate(models)]
        parts.append(softmax(np.mean(scores, axis=0)))
    return np.concatenate(parts)


def _known(
    probabilities: NDArray[np.float32], given: NDArray[np.int32], thresholds: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Labels that the model confirms more often than it takes them for any other one.

    Confident learning stands on it (Northcutt et al. 2021, section 2: the right label is the likeliest one of each
    class): of a label that the model does not know, every row would look wrong.
    """
    classes = probabilities.shape[1]
    joint = confident.confident_joint(given, confident.confident_labels(probabilities, thresholds), classes)
    others = joint - np.diag(np.diag(joint))
    return np.asarray(np.diag(joint) > others.max(axis=1))


def _flag(
    rows: Rows,
    probabilities: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    judged: NDArray[np.bool_],
    background: confident.Background,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Row, given label, suggested label and confidence of the rows whose label is at least as likely wrong as right.

    Suggested is the confident label, or else the likeliest one, among the judged labels other than the given one.
    """
    own = (np.arange(len(rows.label)), rows.label)
    wrong = background.wrong(probabilities[own], background.rate.estimate)
    confidence = background.wrong(probabilities[own], background.rate.low)
    others = np.where(judged, probabilities, -1)
    others[own] = -1
    sure = confident.confident_labels(others, thresholds)
    suggested = np.where(sure >= 0, sure, others.argmax(axis=1)).astype(np.int32)
    flagged = (wrong >= WRONG) & judged[rows.label] & (others[own[0], suggested] >= 0)
    return rows.number[flagged], rows.label[flagged], suggested[flagged], confidence[flagged]


def _named(
    found: Sequence[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]],
    names: Sequence[str],
) -> pl.DataFrame:
    """One frame of all pieces, labels by name."""
    number, given, suggested, confidence = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((number, -confidence))
    return pl.DataFrame(
        {
            "row": number[order],
            "given": [names[position] for position in given[order]],
            "suggested": [names[position] for position in suggested[order]],
            "confidence": confidence[order],
        },
        schema=Mislabelled().rows.schema,
    )
