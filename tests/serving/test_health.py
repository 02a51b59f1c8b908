"""Live and ready with engines that answer, fail, hang and die."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from modelyard.serving import health
from modelyard.serving.health import why_not_live, why_not_ready
from modelyard.serving.queue import EngineQueue
from modelyard.serving.turns import BatchLimits
from modelyard.tasks.classification import Encoded


def make_queue(run: Callable[[Sequence[Any]], Any]) -> EngineQueue:
    def encode(texts: Sequence[str]) -> list[Encoded]:
        return [Encoded([1], False) for _ in texts]

    return EngineQueue(encode, run, BatchLimits(4, 100, 100), wait_seconds=1.0, row_seconds=0.001)


def zeros(rows: Sequence[Any]) -> Any:
    return np.zeros((len(rows), 2), dtype=np.float32)


def test_ready_only_after_the_engine_has_answered_a_probe() -> None:
    asked = []

    def run(rows: Sequence[Any]) -> Any:
        asked.append(len(rows))
        return zeros(rows)

    with make_queue(run) as queue:
        assert queue.answered_at < time.monotonic() - 1e6  # never
        assert asyncio.run(why_not_ready(queue)) == ""
        assert asked == [1]
        assert asyncio.run(why_not_ready(queue)) == ""
        assert asked == [1]  # an answer this fresh is proof enough
        queue.answered_at -= health.FRESH_SECONDS
        assert asyncio.run(why_not_ready(queue)) == ""
        assert asked == [1, 1]


@pytest.mark.parametrize("answer", [np.full((1, 2), np.nan, dtype=np.float32), None])
def test_an_engine_that_answers_nonsense_or_fails_is_not_ready(answer: Any) -> None:
    def run(rows: Sequence[Any]) -> Any:
        if answer is None:
            raise MemoryError
        return answer

    with make_queue(run) as queue:
        assert "failed a probe" in asyncio.run(why_not_ready(queue))
        assert why_not_live(queue) == ""  # it may come back


def test_an_engine_that_hangs_is_neither_ready_nor_for_ever_live(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def run(rows: Sequence[Any]) -> Any:
        assert go.wait(30)
        return zeros(rows)

    monkeypatch.setattr(health, "PROBE_SECONDS", 0.05)
    with make_queue(run) as queue:
        assert "has not answered a probe" in asyncio.run(why_not_ready(queue))
        assert why_not_live(queue) == ""
        monkeypatch.setattr(health, "STUCK_SECONDS", 0.0)
        assert "a batch has been running" in why_not_live(queue)
        go.set()


def test_a_queue_without_its_thread_is_dead() -> None:
    queue = make_queue(zeros)
    assert "thread is gone" in why_not_live(queue)
    assert "thread is gone" in asyncio.run(why_not_ready(queue))
