"""Companions: whether an answer depends on the rows it shares a batch with. Where it may, rows are answered alone.

Dynamic int8 takes its scale from the whole batch, and a rounding at the edge of an int8 step can fall the other way
when a kernel cuts the batch differently. A service puts rows of strangers into one batch, so that each answer would
depend on them; accuracy that was judged in batches says nothing of a row alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modelyard.compression.parity import choose_evenly
from modelyard.engines.base import Engine, Logits, Row
from modelyard.engines.batching import BATCH_ROWS, run_in_batches
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.proportion import samples_for_proportion, wilson
from modelyard.progress import Progress, silent

RULE = "batch_flips"
FLIPS_MAX = 0.005
"""Share of labels that may change between alone and in a batch: half of the point that `drop_max` allows by default."""
LOGIT_TOLERANCE = 1e-5
"""What the order of a sum may change in float32; rows that all stay within it are answered alike in any company."""
SAMPLE_ROWS = 2000
"""Up to 3 flips among these pass; with none, 765 rows are enough (the Wilson interval's upper end)."""


class Companions(NamedTuple):
    """What company does to a candidate's answers.

    Attributes:
        verdict: the candidate verdict `batch_flips`.
        batch_rows: rows that a batch may hold: 32 where it passed, else 1.
        alone: logits of the rows that were answered alone, by their token ids.
    """

    verdict: Verdict
    batch_rows: int
    alone: dict[tuple[int, ...], Logits]


def judge_companions(engine: Engine, rows: Sequence[Row], *, subject: str, progress: Progress = silent) -> Companions:
    """Answer up to 2,000 rows alone and in batches of 32, and judge how often the label changes.

    Labels are not asked for, so that rows of any split serve: nothing is learnt of a test split's truth.

    Args:
        engine: what answers.
        rows: encoded rows, at least one.
        subject: name of the candidate.
        progress: told how far it is.
    """
    sample = [rows[number] for number in choose_evenly(len(rows), SAMPLE_ROWS)]
    alone = run_in_batches(engine, sample, batch_rows=1, progress=progress, what=f"ask {subject} row by row")
    together = run_in_batches(engine, sample, progress=progress, what=f"ask {subject} in batches")
    verdict = judge_flips(alone, together, batch_rows=BATCH_ROWS, subject=subject)
    known = {tuple(row): logits for row, logits in zip(sample, alone, strict=True)}
    return Companions(verdict, BATCH_ROWS if verdict.outcome == "PASS" else 1, known)


def judge_flips(alone: Logits, together: Logits, *, batch_rows: int, subject: str) -> Verdict:
    """The candidate verdict `batch_flips`: labels that change between alone and in company.

    Args:
        alone: logits of rows answered one by one, shape (rows, labels).
        together: of the same rows in batches, or in requests of many.
        batch_rows: rows of one batch; where it is 1 there is no company, and any change is counted, not estimated.
        subject: name of the candidate.
    """
    moved = ~(np.abs(alone.astype(np.float64) - together).max(axis=1) <= LOGIT_TOLERANCE)  # not `>`: NaN compares false
    flips, limit = int((alone.argmax(axis=1) != together.argmax(axis=1)).sum()), at_most(FLIPS_MAX)
    exact = batch_rows == 1 or not moved.any()
    share = Interval.exact(flips / len(alone), n=len(alone), unit="fraction") if exact else wilson(flips, len(alone))
    return judge(
        share,
        limit,
        rule=RULE,
        kind="candidate",
        subject=subject,
        next_step=f"it is measured and served row by row: of {len(alone)} rows {int(moved.sum())} answer otherwise in "
        f"a batch, {flips} with another label",
        samples_needed=samples_for_proportion(share.estimate, limit),
    )
