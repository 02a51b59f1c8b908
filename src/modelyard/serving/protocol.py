"""uvicorn's HTTP/1.1 with limits on the head of a request, which it has none of: on its size and on its time."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
"""Of a request line and headers, or of what a chunked body carries besides its text. nginx takes 32 KiB. Headers are
kept until the request ends: 300 MB of them made uvicorn's own protocol, and so the service, 300 MB larger."""
CHUNKING = 8
"""Bytes of chunk sizes that one byte of body may bring along: a client that sends single bytes needs 5."""
HEAD_SECONDS = 10.0
"""A head that is not here by then is given up, as is a connection on which nothing was asked."""


class BoundedProtocol(HttpToolsProtocol):  # type: ignore[misc]  # pyproject skips its types
    """Answers 431 to a head that is too long, and closes a connection whose head does not come."""

    patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._begin(in_head=True)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse it where too much of it is neither body nor a head that ended."""
        self.fed_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.fed_bytes > HEAD_BYTES + (1 + CHUNKING) * self.body_bytes:
            self._refuse()
        elif self.in_head and self.patience is None and self._is_idle():
            self._wait()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._begin(in_head=True)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: nothing is waited for, and its bytes count no more."""
        self._begin(in_head=False)
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What comes next is a head again."""
        self._begin(in_head=True)
        super().on_message_complete()

    def _begin(self, *, in_head: bool) -> None:
        self.in_head, self.fed_bytes, self.body_bytes = in_head, 0, 0

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self.patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _wait_no_more(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None

    def _refuse(self) -> None:
        problem = {
            "message": f"the request line and headers are longer than {HEAD_BYTES:,} bytes",
            "next_step": "send the texts in the body of POST /predict",
            "where": "headers",
        }
        body = json.dumps({"problems": [problem]}).encode()
        if self._is_idle() or not self.cycle.response_started:
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
        self.transport.close()
