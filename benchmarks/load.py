"""Load on a service: clients that each keep a connection and ask again as soon as they are answered (closed loop).

    python benchmarks/load.py URL BODIES.jsonl --clients 32 --seconds 8

prints one JSON object: answers by status, requests/s of answers with status 200, and their times in ms. Only addresses
of this machine are asked. Written on asyncio's protocols: a request costs the client some 50 us, which all services
that are compared pay alike.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
RETRY = re.compile(rb"retry-after: *(\d+)", re.IGNORECASE)
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass
class Seen:
    """What all clients saw."""

    until: float
    times_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    good_at: list[float] = field(default_factory=list)
    broken: int = 0


class Client(asyncio.Protocol):
    """One connection; asks until the time is over. `obey`: wait as long as a 429 says."""

    def __init__(self, requests: Iterator[bytes], seen: Seen, done: asyncio.Future[None], *, obey: bool) -> None:
        self.requests, self.seen, self.done, self.obey = requests, seen, done, obey
        self.buffer = b""
        self.start = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is not registered as one
        self.ask()

    def ask(self) -> None:
        """Ask once more, or end."""
        self.start = time.perf_counter()
        if self.start >= self.seen.until:
            if not self.done.done():
                self.done.set_result(None)
            self.transport.close()
            return
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        """Take what comes; on a whole answer note it and go on."""
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        now = time.perf_counter()
        status = int(head[9:12])
        self.buffer = b""
        self.seen.statuses[status] += 1
        if status == 200:
            self.seen.times_ms.append(1000 * (now - self.start))
            self.seen.good_at.append(now)
        retry = RETRY.search(head) if self.obey and status == 429 else None
        if retry:
            asyncio.get_running_loop().call_later(int(retry[1]), self.ask)
        else:
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that ends before its time is counted."""
        if not self.done.done():
            self.seen.broken += 1
            self.done.set_result(None)


def payload(host: str, path: str, body: bytes) -> bytes:
    """One whole request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(url: str, bodies: list[bytes], clients: int, seconds: float, *, obey: bool = False) -> Seen:
    """Ask for `seconds` with that many clients."""
    address = urlsplit(url)
    if address.hostname not in LOOPBACK or address.port is None:
        raise SystemExit(f"{url} is not an address of this machine with a port: only such are asked")
    requests = itertools.cycle([payload(address.netloc, address.path, body) for body in bodies])
    loop = asyncio.get_running_loop()
    seen = Seen(time.perf_counter() + seconds)
    ends = [loop.create_future() for _ in range(clients)]
    for end in ends:
        await loop.create_connection(
            lambda end=end: Client(requests, seen, end, obey=obey), address.hostname, address.port
        )
    await asyncio.wait_for(asyncio.gather(*ends), seconds + 60)
    return seen


def main() -> None:
    """Load one service once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--skip", type=int, default=0, help="start at this line of BODIES")
    parser.add_argument("--obey", action="store_true", help="wait as long as a 429 says")
    options = parser.parse_args()
    if not (1 <= options.clients <= 1000 and 0 < options.seconds <= 120):
        raise SystemExit("1 to 1000 clients, at most 120 seconds")
    bodies = options.bodies.read_bytes().splitlines()
    bodies = bodies[options.skip % len(bodies) :] + bodies[: options.skip % len(bodies)]
    start = time.perf_counter()
    seen = uvloop.run(load(options.url, bodies, options.clients, options.seconds, obey=options.obey))
    taken = time.perf_counter() - start
    json.dump(
        {
            "statuses": seen.statuses,
            "per_second": len(seen.times_ms) / taken,
            "asked_per_second": sum(seen.statuses.values()) / taken,
            "broken": seen.broken,
            "times_ms": sorted(seen.times_ms),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
