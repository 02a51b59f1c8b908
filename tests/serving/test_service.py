"""The service as a process: it drains on SIGTERM; put together around a real tiny model."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from modelyard.artifacts.release import open_release
from modelyard.serving.pace import Pace
from modelyard.serving.predict import opened
from modelyard.serving.service import started
from modelyard.serving.turns import BatchLimits

SLOW = """
import sys, time
from modelyard.engines import onnx_engine
plain = onnx_engine.OnnxEngine.run
def slow(self, rows):
    time.sleep(1.0 if any(len(row) > 4 for row in rows) else 0)
    return plain(self, rows)
from modelyard.serving import pace
pace.measure_pace.__globals__["ROW_TOKENS"] = 4  # a probe that is not slow
onnx_engine.OnnxEngine.run = slow
from modelyard.cli.main import main
main(sys.argv[1:])
"""


def test_a_release_answers_through_queue_and_app(sealed: Any) -> None:
    async def ask(app: Any) -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as client:
            many = await asyncio.gather(*(client.post("/predict", json={"inputs": "good " * n}) for n in (1, 2, 3)))
            return [response.json()["predictions"][0]["logits"] for response in many]

    with opened(open_release(sealed.folder, [sealed.key])) as predictor, started(predictor) as service:
        assert service.pace.batch.rows == 32
        assert service.pace.row_seconds > 0
        found = asyncio.run(ask(service.app))
    # [CLS] 2, good 4, [SEP] 3: number of tokens and their sum
    assert found == [[3.0, 9.0], [4.0, 13.0], [5.0, 17.0]]
    assert not service.queue.alive


def test_a_pace_that_is_given_is_not_measured(sealed: Any) -> None:
    pace = Pace(1.0, BatchLimits(2, 7, 7), 0.5)
    with opened(open_release(sealed.folder, [sealed.key])) as predictor:
        run, asked = predictor.engine.run, []
        predictor.engine.run = lambda rows: asked.append(len(rows)) or run(rows)  # type: ignore[method-assign,func-returns-value]
        with started(predictor, pace) as service:
            assert asked == []
            assert np.allclose(asyncio.run(service.queue.answer(["good"])).logits, [[3.0, 9.0]])


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_answered_before_it_stops(sealed: Any, stop: signal.Signals) -> None:
    command = [sys.executable, "-c", SLOW, "serve", str(sealed.folder), "--port", "0", "--trusted-key", str(sealed.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split("http://127.0.0.1:")[1].split(" ")[0])
            body = json.dumps({"inputs": "good good good"}).encode()
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(
                    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
                wait_until_busy(port)
                process.send_signal(stop)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert b" 200 " in answer.split(b"\r\n")[0]
            assert b'"logits":[5.0,17.0]' in answer
            _, errors = process.communicate(timeout=30)
            assert (process.returncode, errors) == (0, "")
        finally:
            process.kill()


def wait_until_busy(port: int) -> None:
    for _ in range(200):
        if "modelyard_queue_rows 1.0" in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text:
            return
    raise AssertionError("the request never reached the queue")


def test_the_tree_is_where_it_was(sealed: Any) -> None:
    """Serving writes nothing into a release: it is verified again at the next start."""
    before = sorted(path.name for path in Path(sealed.folder).rglob("*"))
    with opened(open_release(sealed.folder, [sealed.key])) as predictor, started(predictor):
        pass
    assert sorted(path.name for path in Path(sealed.folder).rglob("*")) == before
