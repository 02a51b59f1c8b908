"""The pace of an engine whose speed is known."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelyard.errors import InputError
from modelyard.serving import pace
from modelyard.serving.pace import measure_pace, probe_row
from modelyard.serving.predict import Predictor
from modelyard.tasks.classification import Encoded


def test_batch_and_queue_follow_from_two_times(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def run(rows: Sequence[Sequence[int]]) -> Any:
        clock[0] += 0.002 + 0.0001 * len(rows) * len(rows[0])  # 2 ms to start, 0.1 ms a token
        return np.zeros((len(rows), 2), dtype=np.float32)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    predictor.engine.run = run  # type: ignore[method-assign]
    found = measure_pace(replace(predictor, max_length_tokens=100))
    assert found.token_seconds == pytest.approx(0.0001)
    assert found.batch.overhead_tokens == 20
    assert found.batch.tokens == pytest.approx(980, abs=1)  # (500 ms / 5 - 2 ms) / 0.1 ms
    assert found.batch.rows == predictor.limits.batch_rows
    assert found.row_seconds == pytest.approx((0.002 + 16 * 32 * 0.0001) / 16)
    # a promise that one long row breaks: the longest row still fits a batch
    assert measure_pace(replace(predictor, latency_ms=1.0, max_length_tokens=100)).batch.tokens == 100


def test_an_engine_that_would_answer_nobody_is_not_served(predictor: Predictor) -> None:
    def broken(rows: Sequence[Sequence[int]]) -> Any:
        raise RuntimeError("no such kernel")

    answers = {
        "RuntimeError: no such kernel": broken,
        "expected shape (1, 2)": lambda rows: np.zeros((len(rows), 3), dtype=np.float32),  # three labels, two names
        "nan": lambda rows: np.full((len(rows), 2), np.nan, dtype=np.float32),
    }
    for words, run in answers.items():
        predictor.engine.run = run  # type: ignore[method-assign]
        with pytest.raises(InputError) as caught:
            measure_pace(predictor)
        assert words in str(caught.value) and caught.value.exit_status == 2


def test_a_tokenizer_that_knows_no_letter_of_the_probe_is_probed_with_what_it_makes(predictor: Predictor) -> None:
    assert probe_row(replace(predictor, encode=lambda texts: [Encoded([7], False) for _ in texts])) == [7]


def test_the_probe_has_as_many_tokens_as_the_model_reads(predictor: Predictor) -> None:
    for longest, length in ((2, 2), (7, 7), (32, 32), (512, pace.ROW_TOKENS)):
        row = probe_row(replace(predictor, max_length_tokens=longest))
        assert len(row) == length
        assert (row[0], row[-1]) == (ord("A"), ord("。"))
