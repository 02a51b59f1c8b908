"""How fast this machine answers, measured before the first request: from it come batch size and queue length."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.engines.base import Row
from modelyard.errors import InputError, Problem
from modelyard.serving.predict import Predictor
from modelyard.serving.turns import BatchLimits

PROBE_TEXT = "A probe: does the engine answer? 探测。"
ROW_TOKENS = 32
ROWS = (1, 16)
RUNS = 5
BATCH_SHARE = 5
"""A batch takes at most a fifth of the promised time: whoever comes just after one starts waits for it."""


@dataclass(frozen=True)
class Pace:
    """What was measured and derived.

    Attributes:
        token_seconds: of one token in a full batch.
        batch: what one batch may hold.
        row_seconds: of one row of 32 tokens in a full batch.
    """

    token_seconds: float
    batch: BatchLimits
    row_seconds: float


def measure_pace(predictor: Predictor) -> Pace:
    """Time batches of 1 and 16 rows of 32 tokens; the fastest of five runs each, as others only slow it down.

    Raises:
        InputError: the engine does not answer a probe with one finite number for each label.
    """
    row = probe_row(predictor)
    _check_answer(predictor, row)
    length = len(row)
    few, many = (_seconds(predictor, [row] * rows) for rows in ROWS)
    token_seconds = max((many - few) / ((ROWS[1] - ROWS[0]) * length), 1e-9)
    start_seconds = max(few - length * token_seconds, 0.0)
    wanted = predictor.latency_ms / 1000 / BATCH_SHARE
    batch = BatchLimits(
        rows=predictor.limits.batch_rows,
        tokens=max(predictor.max_length_tokens, int((wanted - start_seconds) / token_seconds)),
        overhead_tokens=max(1, round(start_seconds / token_seconds)),
    )
    return Pace(token_seconds, batch, many / ROWS[1])


def probe_row(predictor: Predictor) -> Row:
    """A row of 32 tokens, or as many as the model reads: the probe's tokens, repeated between its first and last."""
    row = predictor.encode([PROBE_TEXT])[0].row
    if len(row) < 3:  # a tokenizer that knows none of these letters
        return row
    first, *inner, last = row
    length = min(ROW_TOKENS, predictor.max_length_tokens)
    repeated = (inner * ROW_TOKENS)[: length - 2]
    return [first, *repeated, last]


def _check_answer(predictor: Predictor, row: Row) -> None:
    """Refuse to serve what would answer every request with an error."""
    next_step = "run `modelyard compress` and `modelyard release` again, or name another model"
    try:
        logits = predictor.engine.run([row])
    except Exception as error:  # an engine may raise anything
        message = f"the engine does not answer a probe: {type(error).__name__}: {error}"[:500]
        raise InputError(Problem(message, next_step, predictor.name)) from error
    wanted = (1, len(predictor.labels))
    if logits.shape != wanted or not np.isfinite(logits).all():
        message = f"the engine answers a probe with {np.array2string(logits, threshold=10)}, expected shape {wanted}"
        raise InputError(Problem(message[:500], f"its labels are {', '.join(predictor.labels[:5])}; {next_step}"))


def _seconds(predictor: Predictor, rows: Sequence[Row]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        predictor.engine.run(rows)
        times.append(time.perf_counter() - start)
    return min(times)
