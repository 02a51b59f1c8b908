"""Many rows through an engine, as the service would answer them."""

from collections.abc import Sequence

import numpy as np

from modelyard.engines.base import Engine, Logits, Row
from modelyard.progress import Progress, silent

BATCH_ROWS = 32


def run_in_batches(
    engine: Engine,
    rows: Sequence[Row],
    *,
    batch_rows: int = BATCH_ROWS,
    progress: Progress = silent,
    what: str = "answer",
) -> Logits:
    """Logits of all rows, as served: in the order of arrival, `batch_rows` at a time, padded to the longest of each.

    Dynamic int8 lets an answer depend on its batch companions (findings.md 1), so accuracy is judged like this.

    Args:
        engine: what answers.
        rows: encoded rows, at least one.
        batch_rows: rows of one batch.
        progress: told after each batch.
        what: its phrase.

    Returns:
        Shape (rows, labels), in the order of `rows`.
    """
    answers = []
    for start in range(0, len(rows), batch_rows):
        answers.append(engine.run(rows[start : start + batch_rows]))
        progress(what, min(start + batch_rows, len(rows)), len(rows))
    return np.concatenate(answers)


def run_by_length(
    engine: Engine,
    rows: Sequence[Row],
    *,
    batch_rows: int = BATCH_ROWS,
    progress: Progress = silent,
    what: str = "answer",
) -> Logits:
    """`run_in_batches` on the rows sorted by length, answers put back in order: less padding, so faster.

    Only for an engine whose answers do not depend on their companions, such as the fp32 reference.
    """
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    sorted_answers = run_in_batches(
        engine, [rows[index] for index in order], batch_rows=batch_rows, progress=progress, what=what
    )
    answers = np.empty_like(sorted_answers)
    answers[order] = sorted_answers
    return answers
