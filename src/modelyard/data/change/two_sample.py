"""The classifier two-sample test: can a model tell the texts of two sets apart, on texts it has not seen?

Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests, ICLR: where both sets come from one source, no model
is right more often than a coin. The model here is a logistic regression on hashed character n-grams: it needs no word
boundaries, so that Chinese is read like English, and it trains in a second.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from scipy.special import ndtri

from modelyard.evidence.interval import Z_95
from modelyard.evidence.paired import POWER

ORDERS = 3  # n-grams of 1 to 3 characters
BUCKET_BITS = 18
MAX_CHARACTERS = 500
"""Of a text that are read: a source shows in its first lines, and memory stays bounded."""
MAX_ROWS = 10_000
"""Of each side. Half of both are held out: 10,000 answers, whose 95% interval is 2 points wide."""
PIECE_ROWS = 2_000  # whose n-grams are held at once: 2,000 texts of 500 characters are 50 MB
EPOCHS = 5
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, The Art of Computer Programming 3, 6.4
_MIX = np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64's finaliser: Steele, Lea and Flood 2014, OOPSLA


@dataclass(frozen=True)
class Told:
    """How well the sides were told apart.

    Attributes:
        right: held-out texts whose side was named rightly.
        n: held-out texts, half of them of each side.
        unlike_old: rows of NEW, by their place in it, that the model was surest do not come from OLD; surest first.
    """

    right: int
    n: int
    unlike_old: list[int]


def tell_apart(old: pl.DataFrame, new: pl.DataFrame, *, seed: int, shown: int = 3) -> Told | None:
    """Train on half of the texts and name the side of the others.

    All copies of a text go to the same half, by its key: else a text that stands on both sides would be learnt on one
    and asked on the other. Both halves hold as many texts of one side as of the other, so that chance is 0.5.

    Args:
        old: `text` (no nulls) and `key`, an unsigned 64-bit hash of the normalised text.
        new: the same.
        seed: of the samples and of the training.
        shown: most rows of `unlike_old`.

    Returns:
        None where a half would lack texts of one side.
    """
    draw = np.random.default_rng(seed)
    sides = [side.select("text", "key").with_row_index("place") for side in (old, new)]
    halves = []
    for odd in (0, 1):
        parts = [side.filter(pl.col("key") % 2 == odd) for side in sides]
        size = min(MAX_ROWS // 2, *(part.height for part in parts))
        if size == 0:
            return None
        halves.append([part[np.sort(draw.choice(part.height, size, replace=False))] for part in parts])
    train, test = halves
    model = _trained(train, seed)
    scores = [model.decision_function(hashed_ngrams(part["text"])) for part in test]
    right = int((scores[0] <= 0.0).sum() + (scores[1] > 0.0).sum())
    surest = np.argsort(-scores[1], kind="stable")[:shown]
    return Told(right, 2 * test[0].height, test[1]["place"][surest].to_list())


def rows_to_tell(limit_value: float) -> int | None:
    """Rows of each side at which a classifier that only guesses passes `right <= limit` with 80% power.

    Half of both sides are held out, which is as many texts as one side has rows. Wilson's upper end reaches the limit L
    at L - z sqrt(L (1 - L) / n), and a guess is right in 0.5 +- 0.5 / sqrt(n). None where no number is enough.
    """
    if not 0.5 < limit_value < 1.0:
        return None if limit_value <= 0.5 else 1
    reach = Z_95 * math.sqrt(limit_value * (1.0 - limit_value)) + float(ndtri(POWER)) * 0.5
    return math.ceil((reach / (limit_value - 0.5)) ** 2)


def _trained(sides: list[pl.DataFrame], seed: int):  # type: ignore[no-untyped-def]  # noqa: ANN202  (scikit-learn)
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(loss="log_loss", max_iter=EPOCHS, tol=None, average=True, random_state=seed)
    truth = np.repeat([0, 1], [side.height for side in sides])
    return model.fit(vstack([hashed_ngrams(side["text"]) for side in sides]).tocsr(), truth)


def hashed_ngrams(texts: pl.Series) -> csr_matrix:
    """Which n-grams of 1 to 3 characters each text has, each row of length 1; shape (texts, 2^18).

    Args:
        texts: without nulls.
    """
    pieces = [_ngrams_of(texts.slice(start, PIECE_ROWS)) for start in range(0, max(1, len(texts)), PIECE_ROWS)]
    return vstack(pieces).tocsr()


def _ngrams_of(texts: pl.Series) -> csr_matrix:
    cut = texts.str.to_lowercase().str.slice(0, MAX_CHARACTERS)
    codes = np.frombuffer("".join(cut.to_list()).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    row_of = np.repeat(np.arange(len(cut)), cut.str.len_chars().to_numpy().astype(np.int64))
    cells = []
    rolled = np.zeros(codes.size + 1, dtype=np.uint64)
    for order in range(1, ORDERS + 1):
        last = codes[order - 1 :]
        rolled = (rolled[: last.size] + np.uint64(order)) * _SPREAD + last
        inside = row_of[: last.size] == row_of[order - 1 :]  # an n-gram does not go on into the next text
        cells.append((row_of[: last.size][inside] << BUCKET_BITS) | _buckets(rolled[inside]))
    every = np.sort(np.concatenate(cells))
    found = every[np.diff(every, prepend=-1) > 0]  # NumPy's own `unique` hashes and takes twenty times as long
    counts = np.bincount(found >> BUCKET_BITS, minlength=len(cut))
    weights = np.repeat(1.0 / np.sqrt(np.maximum(counts, 1)), counts)
    starts = np.concatenate([[0], counts.cumsum()])
    return csr_matrix((weights, found & (2**BUCKET_BITS - 1), starts), shape=(len(cut), 2**BUCKET_BITS))


def _buckets(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    mixed = (hashes ^ (hashes >> np.uint64(30))) * _MIX
    return (mixed >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
