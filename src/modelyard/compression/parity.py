"""Parity: the exported model gives the trained model's answers, at other batch sizes and lengths than the example's."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelyard.engines.base import Engine, Logits, Row
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.progress import Progress, silent

LOGIT_TOLERANCE = 1e-4
TIE = 2 * LOGIT_TOLERANCE
"""Two logits closer than this may change places when each moves by the tolerance: no label is asked of such a row."""
SAMPLE_ROWS = 1000
BATCH_SIZES = (1, 2, 5, 17, 32, 50)  # none is the export example's 3


def choose_evenly(rows: int, wanted: int) -> NDArray[np.int64]:
    """Up to `wanted` row numbers spread evenly over `rows`, in order."""
    return np.unique(np.linspace(0, rows - 1, min(rows, wanted)).round().astype(np.int64))


def run_varied(engine: Engine, rows: Sequence[Row], *, progress: Progress = silent, what: str = "parity") -> Logits:
    """Logits of the rows in batches whose sizes go round `BATCH_SIZES`, shape (rows, labels)."""
    answers, start, turn = [], 0, 0
    while start < len(rows):
        stop = start + BATCH_SIZES[turn % len(BATCH_SIZES)]
        answers.append(engine.run(rows[start:stop]))
        start, turn = stop, turn + 1
        progress(what, min(start, len(rows)), len(rows))
    return np.concatenate(answers)


def judge_parity(reference: Logits, exported: Logits, *, subject: str) -> Verdict:
    """Judge an export by the number of rows on which it differs: none may.

    A row differs when a logit is off by more than 1e-4 or is no number, or when the label is another one and the
    reference's two largest logits are 2e-4 or more apart.

    Args:
        reference: the trained model's logits, shape (rows, labels).
        exported: the export's, same rows.
        subject: name of the export.

    Returns:
        The release verdict `parity`, an exact count.
    """
    deviation = np.abs(reference.astype(np.float64) - exported.astype(np.float64)).max(axis=1)
    top_two = np.sort(reference, axis=1)[:, -2:]
    tied = (top_two[:, -1] - top_two[:, 0]) < TIE
    relabelled = (reference.argmax(axis=1) != exported.argmax(axis=1)) & ~tied
    differs = relabelled | ~(deviation <= LOGIT_TOLERANCE)  # not `>`: NaN compares false
    return judge(
        Interval.exact(float(differs.sum()), n=len(reference), unit="rows"),
        at_most(0),
        rule="parity",
        subject=subject,
        next_step=(
            f"do not serve this export: of {len(reference)} rows {int(relabelled.sum())} change their label and the "
            f"largest logit difference is {deviation.max():.2g} (allowed {LOGIT_TOLERANCE:g}); report the model"
        ),
    )
