from typing import Any

import numpy as np

from modelyard.engines.batching import run_by_length, run_in_batches


class Recorder:
    """Answers [number of rows in the batch, first token]."""

    def __init__(self) -> None:
        self.batches = []

    def run(self, rows: Any) -> Any:
        self.batches.append([row[0] for row in rows])
        return np.array([[len(rows), row[0]] for row in rows], dtype=np.float32)

    def close(self) -> None:
        pass


def test_batches_in_order_of_arrival() -> None:
    engine, told = Recorder(), []
    rows = [[number] for number in range(5)]
    logits = run_in_batches(engine, rows, batch_rows=2, progress=lambda *now: told.append(now), what="judge")
    assert engine.batches == [[0, 1], [2, 3], [4]]
    assert logits.tolist() == [[2, 0], [2, 1], [2, 2], [2, 3], [1, 4]]
    assert told == [("judge", 2, 5), ("judge", 4, 5), ("judge", 5, 5)]


def test_sorted_by_length_and_put_back() -> None:
    engine = Recorder()
    rows = [[0, 1, 1], [1], [2, 1]]
    logits = run_by_length(engine, rows, batch_rows=2)
    assert engine.batches == [[1, 2], [0]]
    assert logits[:, 1].tolist() == [0, 1, 2]
