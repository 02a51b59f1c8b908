"""The door: where a full service says so, before a request is read, routed or parsed."""

import asyncio
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modelyard.serving.queue import EngineQueue, QueueClosed, QueueFull

HOLD_SECONDS = 1.0
"""A refusal waits this long, the least that `Retry-After` can say. A client that asks again the moment it is refused
would otherwise have the service spend its time on refusals: 320 such clients got 4,047 a second, and answers fell to
39% of what 32 clients got."""
HELD_MOST = 2048
"""Refusals that wait at a time; beyond them they are given at once, so that waiting ones cannot fill the memory."""


class Door:
    """Lets requests for `path` in while the queue has room, and answers 429 with `Retry-After` where it has none."""

    def __init__(self, app: ASGIApp, *, queue: EngineQueue, path: str, hold: "Hold") -> None:
        self.app, self.queue, self.path = app, queue, path
        self.hold = hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] == self.path:
            try:
                self.queue.refuse_if_full()
            except QueueFull as full:
                await self.hold.wait()
                await refusal(full, self.path)(scope, receive, send)
                return
            except QueueClosed:  # the app has the answer to that
                pass
        await self.app(scope, receive, send)


@dataclass
class Hold:
    """Where refusals wait, those at the door and those of requests that turn out too long once they are read.

    Attributes:
        held: how many wait now.
    """

    held: int = 0

    async def wait(self) -> None:
        """Wait as long as the client is told to, unless too many do."""
        if self.held >= HELD_MOST:
            return
        self.held += 1
        try:
            await asyncio.sleep(HOLD_SECONDS)
        finally:
            self.held -= 1


def refusal(full: QueueFull, path: str) -> JSONResponse:
    """The answer to a request that would wait too long."""
    seconds = full.retry_after_seconds
    problem = {
        "message": "more requests wait than can be answered in time",
        "next_step": f"try again in {seconds} s",
        "where": path,
    }
    return JSONResponse({"problems": [problem]}, status_code=429, headers={"Retry-After": str(seconds)})
