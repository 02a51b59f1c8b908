"""The limits on a request's head, byte by byte, on a transport that only remembers."""

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from modelyard.serving import protocol as module
from modelyard.serving.protocol import HEAD_BYTES, BoundedProtocol

GET = b"GET /info HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Remembers(asyncio.Transport):
    """What was written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def app(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"%05d" % len(body)})


def fed(*pieces: bytes | float) -> Remembers:
    """A connection on which these pieces came, with pauses of so many seconds between them."""
    transport = Remembers()

    async def feed() -> None:
        config = uvicorn.Config(app, http=BoundedProtocol, ws="none", log_config=None, lifespan="off")
        config.load()
        state = ServerState()
        protocol = BoundedProtocol(config, state, {}, asyncio.get_running_loop())
        protocol.connection_made(transport)
        for piece in pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            elif not transport.closed:
                protocol.data_received(piece)
                await asyncio.sleep(0)
        for task in list(state.tasks):
            if not transport.closed:
                await task
        closed = transport.closed
        protocol.connection_lost(None)
        for task in list(state.tasks):
            await task
        assert protocol.patience is None
        transport.closed = closed  # by us, before it was lost

    asyncio.run(feed())
    return transport


def line(letters: int) -> bytes:
    return b"X-A: " + b"a" * letters + b"\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [GET, *[line(1_000)] * 80],
        [GET + b"X-A: ", *[b"a" * 10_000] * 8],  # one line that does not end
        [b"GET /", *[b"a" * 10_000] * 8],
        [*[b"\r\n" * 5_000] * 8],  # nothing at all
        [CHUNKED, b"1\r\na\r\n0\r\n", *[line(1_000)] * 80],  # trailers
        [CHUNKED, b"1;", *[b"a" * 10_000] * 8],  # what a chunk says of itself
        [GET + b"\r\n", GET, *[line(1_000)] * 80],  # the second request of a connection
    ],
)
def test_a_head_that_does_not_end_is_refused(pieces: list[bytes]) -> None:
    transport = fed(*pieces)
    assert transport.closed
    head, _, body = transport.written.rpartition(b"\r\n\r\n")
    assert b" 431 " in head
    assert b"connection: close" in head
    (problem,) = json.loads(body)["problems"]
    assert "65,536 bytes" in problem["message"]


@pytest.mark.parametrize(
    ("pieces", "letters"),
    [
        ([GET + b"\r\n"], 0),
        ([GET + line(HEAD_BYTES - 200) + b"\r\n"], 0),
        ([POST + b"Content-Length: 99000\r\n\r\n" + b"a" * 99_000], 99_000),
        ([POST + b"Content-Length: 99000\r\n\r\n", *[b"a" * 9_000] * 11], 99_000),
        ([CHUNKED, *[b"1\r\na\r\n" * 10_000] * 2, b"0\r\n\r\n"], 20_000),  # a client that sends single bytes
        ([GET, b"X-B: b\r\n", b"\r\n"], 0),
    ],
)
def test_an_ordinary_request_is_answered(pieces: list[bytes], letters: int) -> None:
    transport = fed(*pieces)
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    assert transport.written.endswith(b"%05d" % letters)
    assert not transport.closed


@pytest.mark.parametrize("pieces", [[], [b"GET /in"], [b"\r\n"], [GET + b"\r\n", 0.0, b"\r\n"]])
def test_a_head_that_does_not_come_is_given_up(pieces: list[bytes | float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.02)
    assert fed(*pieces, 0.5).closed


def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.02)
    transport = fed(POST + b"Content-Length: 2\r\n\r\n", 0.3, b"ab")
    assert not transport.closed
    assert transport.written.endswith(b"00002")
