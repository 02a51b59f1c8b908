"""The service put together: pace measured, queue running, app ready; then served until it is told to stop."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from modelyard.serving.app import make_app
from modelyard.serving.metrics import Metrics
from modelyard.serving.pace import BATCH_SHARE, Pace, measure_pace
from modelyard.serving.predict import Predictor
from modelyard.serving.protocol import BoundedProtocol
from modelyard.serving.queue import EngineQueue

DRAIN_SECONDS = 30
"""Requests under way get this long after SIGTERM: what Kubernetes waits before it kills."""


@dataclass(frozen=True)
class Service:
    """An app whose queue runs, and the pace it was cut for."""

    app: FastAPI
    queue: EngineQueue
    pace: Pace


@contextlib.contextmanager
def started(predictor: Predictor, pace: Pace | None = None) -> Iterator[Service]:
    """Start the queue and make the app; at the end what waits is answered.

    Args:
        predictor: what answers.
        pace: what batches and queue are cut for; None measures it here.

    Raises:
        InputError: the engine does not answer a probe.
    """
    pace = pace or measure_pace(predictor)
    metrics = Metrics(predictor.digest, predictor.name, str(predictor.about.get("engine")))
    queue = EngineQueue(
        predictor.encode,
        predictor.engine.run,
        pace.batch,
        # rows go together by length, so that the last of a request may come a batch later than its turn
        wait_seconds=predictor.latency_ms / 1000 * (1 - 1 / BATCH_SHARE),
        row_seconds=pace.row_seconds,
        watch=metrics.batch_done,
    )
    with queue:
        yield Service(make_app(predictor, queue, metrics), queue, pace)


def serve_until_stopped(app: FastAPI, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C: no new connection then, and whatever is under way is answered first."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",  # nothing here speaks it
        log_level="error",  # it warns of bytes that are no request, as many times as a stranger sends them
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    # uvicorn stops in order and then raises the signal again, which would end the process before the queue is empty
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
