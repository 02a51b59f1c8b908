"""A predictor whose answers can be counted by hand, and an app around it whose queue runs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from modelyard.artifacts.release import Limits
from modelyard.serving.app import make_app
from modelyard.serving.metrics import Metrics
from modelyard.serving.predict import Predictor
from modelyard.serving.queue import EngineQueue
from modelyard.serving.turns import BatchLimits
from modelyard.tasks.classification import Encoded

Run = Callable[[Sequence[Sequence[int]]], Any]


def by_length(rows: Sequence[Sequence[int]]) -> Any:
    """Logits: [number of tokens, 0]."""
    return np.array([[float(len(row)), 0.0] for row in rows], dtype=np.float32)


@dataclass
class FakeEngine:
    """`run` can be changed while it is served."""

    run: Run = by_length
    closed: bool = field(default=False)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def predictor() -> Predictor:
    """One token per letter; label `long` wins where there is a letter."""
    return Predictor(
        name="letters",
        digest="sha256:" + "1" * 64,
        about={"release": "sha256:" + "1" * 64, "engine": "fake", "labels": ["long", "大"]},
        labels=["long", "大"],
        limits=Limits(inputs=3, characters=20, body_bytes=200),
        latency_ms=500.0,
        max_length_tokens=20,
        temperature=1.0,
        encode=lambda texts: [Encoded([ord(letter) for letter in text], len(text) > 20) for text in texts],
        engine=FakeEngine(),
    )


@pytest.fixture
def serving(predictor: Predictor) -> Callable[..., contextlib.AbstractContextManager[TestClient]]:
    """`serving(run=…, latency_ms=…, temperature=…)`: a client of a running service; `client.queue` is its queue."""

    @contextlib.contextmanager
    def serve(run: Run = by_length, row_seconds: float = 0.001, **changes: Any) -> Iterator[TestClient]:
        own = replace(predictor, engine=FakeEngine(run), **changes)
        metrics = Metrics(own.digest, own.name, "fake")
        queue = EngineQueue(
            own.encode,
            lambda rows: own.engine.run(rows),
            BatchLimits(4, 1000, 1000),
            wait_seconds=own.latency_ms / 1000,
            row_seconds=row_seconds,
            watch=metrics.batch_done,
        )
        with queue, TestClient(make_app(own, queue, metrics)) as client:
            client.queue = queue  # type: ignore[attr-defined]
            yield client

    return serve


@pytest.fixture
def client(serving: Callable[..., contextlib.AbstractContextManager[TestClient]]) -> Iterator[TestClient]:
    """A client of the plain service."""
    with serving() as client:
        yield client
