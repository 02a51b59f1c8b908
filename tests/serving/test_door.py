"""The door with a queue that is full or not."""

import asyncio
import json
from typing import Any

import pytest

from modelyard.serving import door
from modelyard.serving.door import Door, Hold
from modelyard.serving.queue import QueueFull


class Queue:
    """Full for a while."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def refuse_if_full(self) -> None:
        if self.seconds:
            raise QueueFull(self.seconds)


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def asked(entrance: Door, path: str = "/predict") -> list[Any]:
    """What is sent; a request that is refused is not read."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the request was read")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(entrance({"type": "http", "path": path}, receive, send))
    return sent


def test_a_full_queue_refuses_unread_and_only_where_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HOLD_SECONDS", 0.0)
    full = Door(app, queue=Queue(7), path="/predict", hold=Hold())  # type: ignore[arg-type]
    start, body = asked(full)
    assert start["status"] == 429
    assert (b"retry-after", b"7") in start["headers"]
    assert json.loads(body["body"])["problems"][0]["next_step"] == "try again in 7 s"
    assert asked(full, "/health/live")[0]["status"] == 200
    assert asked(Door(app, queue=Queue(0), path="/predict", hold=Hold()))[0]["status"] == 200  # type: ignore[arg-type]


@pytest.mark.parametrize(("held", "waits"), [(0, [1.0]), (door.HELD_MOST, [])])
def test_a_refusal_is_held_back_unless_too_many_are(
    held: int, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(door.asyncio, "sleep", sleep)
    full = Door(app, queue=Queue(1), path="/predict", hold=Hold(held))  # type: ignore[arg-type]
    assert asked(full)[0]["status"] == 429
    assert (slept, full.hold.held) == (waits, held)
