"""What wraps every request: its id, its time, its line in the metrics."""

import itertools
import os
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard.serving.metrics import Metrics

_CLIENT_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class Watched:
    """Adds `X-Process-Time` (seconds to the head of the answer) and `X-Request-Id`, and counts the request.

    A client's own `X-Request-Id` is kept where it is plain letters, digits and `._:-`: it goes into logs.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: frozenset[str]) -> None:
        self.app, self.metrics, self.routes = app, metrics, routes
        # random once, counted from then on: asking the system for each request cost more than parsing it
        self.prefix, self.numbers = os.urandom(8).hex(), itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        request_id = _client_id(scope) or f"{self.prefix}{next(self.numbers):016x}".encode()
        scope["request_id"] = request_id.decode()

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                taken = time.perf_counter() - start
                own = [(b"x-process-time", f"{taken:.6f}".encode()), (b"x-request-id", request_id)]
                message["headers"] = [*message.get("headers", []), *own]
                route = scope["path"] if scope["path"] in self.routes else "other"
                self.metrics.request_done(route, message["status"], taken)
            await send(message)

        await self.app(scope, receive, send_watched)


def _client_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _CLIENT_ID.fullmatch(value):
            return bytes(value)
    return b""
