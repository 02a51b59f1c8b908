"""The service's queue: rows of many requests, one engine, one thread.

    submit (event loop) -> arrivals -> encode -> backlog -> ready -> cut_batch -> engine -> deliver (event loop)

Nothing waits on purpose: an idle engine starts at once, and what arrives while it works is the next batch. Texts become
tokens here too, all arrivals in one call, off the event loop.

Requests take turns of 32 rows: one that has more goes back to the end of the backlog, behind those who came meanwhile
and before those who come later (Shreedhar and Varghese 1995, Efficient fair queueing using deficit round robin, SIGCOMM
95: 231-242). So a request of 256 rows does not stand before one of a few, and nobody waits for ever.
"""

import asyncio
import contextlib
import itertools
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from modelyard.engines.base import Logits, Row
from modelyard.serving.turns import WINDOW_ROWS, BatchLimits, cut_batch
from modelyard.tasks.classification import Encoded

MAX_WAITING_ROWS = 65_536
"""Rows that may wait whatever the engine's speed: their texts are held in memory."""
TURN_ROWS = 32
"""Rows of a request that share a turn. One at a time would answer all requests at the end of all: 320 clients with 8
texts each waited 1.6 s where the queue was cut for 0.5 s."""
LINGER_SHARE = 0.1
"""Of a batch's time, spent at most on waiting for those whom it answered."""
_SMOOTHING = 0.1  # weight of the newest in the running means of seconds per row and of rows per request
OWN_SHARE = 0.5
"""Of the promised time, counted at most for a request's own rows: one that is longer than the promise by itself is let
in while others need no more than half, or it would be refused for ever where a few always wait."""


class QueueFull(Exception):
    """The answer would come later than the service promises; try again in `retry_after_seconds`."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class QueueClosed(Exception):
    """The service is stopping, or its worker is gone."""


class RowFailed(Exception):
    """The engine could not answer this request, also when it was asked for its rows alone."""


class Answer(NamedTuple):
    """Logits of a request's texts, shape (texts, labels), in their order, and whether each text was cut."""

    logits: Logits
    truncated: Sequence[bool]


Deliver = Callable[[Answer | Exception], None]


@dataclass(eq=False)
class _Request:
    """One request: its texts and rows, where its answer goes, how many rows are still to come.

    Attributes:
        taken: rows that had their turn.
        left: rows that are not answered.
        over: it was answered, or failed.
    """

    texts: Sequence[str]
    deliver: Deliver
    is_gone: Callable[[], bool]
    rows: Sequence[Encoded] = ()
    logits: list[Logits | None] = field(default_factory=list)
    taken: int = 0
    left: int = 0
    over: bool = False


@dataclass(frozen=True)
class _Waiting:
    """One row whose turn it is, and its place in its request."""

    row: Row
    place: int
    request: _Request


@dataclass(frozen=True)
class BatchDone:
    """What the queue tells a watcher after each batch: rows, tokens with and without padding, seconds."""

    rows: int
    tokens: int
    padded_tokens: int
    seconds: float


class EngineQueue:
    """Answers requests through one engine; entered, its thread runs, left, what waits is answered and it ends.

    Args:
        encode: texts -> rows of token ids, and whether each text was cut; called in the queue's thread.
        run: rows of one batch -> logits; called in the queue's thread.
        limits: of one batch.
        wait_seconds: a request is refused when those before it and its own rows would take longer than this.
        row_seconds: how long one row takes, until the queue has seen for itself.
        watch: told of every batch, in the queue's thread.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], list[Encoded]],
        run: Callable[[Sequence[Row]], Logits],
        limits: BatchLimits,
        *,
        wait_seconds: float,
        row_seconds: float,
        watch: Callable[[BatchDone], None] = lambda _: None,
    ) -> None:
        self._encode, self._run, self._limits, self._watch = encode, run, limits, watch
        self._wait_seconds, self._row_seconds = wait_seconds, row_seconds
        self._arrivals: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._backlog: deque[_Request] = deque()
        self._ready: deque[_Waiting] = deque()
        self._open: set[_Request] = set()
        self._lock = threading.Lock()
        self._waiting_rows, self._rows_asked = 0, 1.0
        self._closed = False
        self._batch_since: float | None = None
        self._may_return, self._linger_until, self._busy_since = 0, 0.0, time.monotonic()
        self.answered_at = -math.inf
        self._thread = threading.Thread(target=self._work, name="engine-queue", daemon=True)

    def __enter__(self) -> "EngineQueue":
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer what waits, then end the thread."""
        with self._lock:
            self._closed = True
            self._arrivals.put(None)
        self._thread.join()

    @property
    def waiting_rows(self) -> int:
        """Rows that were submitted and are not answered."""
        return self._waiting_rows

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def stuck_seconds(self) -> float:
        """How long the batch that runs now has been running; 0 where none is."""
        since = self._batch_since
        return 0.0 if since is None else time.monotonic() - since

    def refuse_if_full(self, rows: int | None = None) -> None:
        """Refuse a request that would be answered later than the service promises.

        Args:
            rows: of the request; None before it is read: as many as those had that were let in, on average.

        Raises:
            QueueFull: those who wait and this one would take longer than that.
            QueueClosed: the service is stopping, or its worker is gone.
        """
        if self._closed or not self.alive:
            raise QueueClosed
        wait = self._waiting_rows * self._row_seconds
        own = (self._rows_asked if rows is None else rows) * self._row_seconds
        late = wait + min(own, OWN_SHARE * self._wait_seconds) > self._wait_seconds
        if self._waiting_rows and (late or self._waiting_rows > MAX_WAITING_ROWS):
            raise QueueFull(max(1, math.ceil(wait)))

    async def answer(self, texts: Sequence[str]) -> Answer:
        """What the engine answers to the texts.

        Raises:
            QueueFull: as `refuse_if_full`.
            QueueClosed: the same.
            RowFailed: the engine could not answer.
        """
        self.refuse_if_full(len(texts))
        self._rows_asked += _SMOOTHING * (len(texts) - self._rows_asked)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def settle(answer: Answer | Exception) -> None:
            if future.done():  # whoever asked went away
                return
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        def deliver(answer: Answer | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and whoever asked is gone with it
                loop.call_soon_threadsafe(settle, answer)

        with self._lock:  # whoever is let in here is answered: nothing comes after the last
            if self._closed:
                raise QueueClosed
            self._waiting_rows += len(texts)
            self._arrivals.put(_Request(texts, deliver, future.done))
        return await future

    def _work(self) -> None:
        try:
            open_ = True
            while open_ or self._ready or self._backlog:
                open_ = self._admit(block=open_ and not (self._ready or self._backlog)) and open_
                self._take_turns()
                if self._ready:
                    self._answer_batch()
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """Tell all who still wait that nobody will answer: none does unless the thread dies of a fault of its own."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                request = self._arrivals.get_nowait()
                if request is not None:
                    self._open.add(request)
        for request in self._open:
            request.deliver(QueueClosed())

    def _take_turns(self) -> None:
        """Fill the window: each request of the backlog in turn with its next rows."""
        while self._backlog and len(self._ready) < WINDOW_ROWS:
            request = self._backlog.popleft()
            start, stop = request.taken, min(request.taken + TURN_ROWS, len(request.rows))
            if request.over or request.is_gone():
                self._open.discard(request)
                self._leave(len(request.rows) - start)
                continue
            self._ready.extend(_Waiting(request.rows[place].row, place, request) for place in range(start, stop))
            request.taken = stop
            if stop < len(request.rows):
                self._backlog.append(request)

    def _admit(self, *, block: bool) -> bool:
        """Encode what has arrived and put it at the end of the backlog; False once the queue was closed.

        After a batch of several rows those who were answered may ask again: they are waited for, at most a tenth of
        the time that the batch took. Without this, clients that ask again at once fall into two groups that take turns,
        each with half of the batch.
        """
        arrived: list[_Request] = []
        is_open = True
        try:
            while True:
                patience = self._linger_until - time.monotonic() if len(arrived) < self._may_return else 0.0
                request = self._arrivals.get(block=block or patience > 0, timeout=None if block else max(patience, 0.0))
                if block:  # it was idle until now
                    self._busy_since, block = time.monotonic(), False
                if request is None:
                    is_open = False
                    break  # it was the last
                elif request.is_gone():
                    self._leave(len(request.texts))
                else:
                    arrived.append(request)
        except queue.Empty:
            pass
        self._may_return = 0
        self._open.update(arrived)
        for request, rows in zip(arrived, self._encoded(arrived), strict=True):
            if isinstance(rows, Exception):
                self._fail(request, rows, len(request.texts))
                continue
            request.rows, request.logits, request.left = rows, [None] * len(rows), len(rows)
            self._backlog.append(request)
        return is_open

    def _encoded(self, requests: Sequence[_Request]) -> list[list[Encoded] | Exception]:
        """Rows of each request, all encoded in one call; each alone where that call fails."""
        try:
            rows = iter(self._encode([text for request in requests for text in request.texts]) if requests else [])
            return [list(itertools.islice(rows, len(request.texts))) for request in requests]
        except Exception as error:  # a tokenizer may raise anything: only the request that made it fails
            if len(requests) == 1:
                return [error]
            return [one for request in requests for one in self._encoded([request])]

    def _answer_batch(self) -> None:
        window = [self._ready.popleft() for _ in range(min(WINDOW_ROWS, len(self._ready)))]
        wanted = [item for item in window if not (item.request.over or item.request.is_gone())]
        self._open.difference_update(item.request for item in window if item.request.is_gone())
        self._leave(len(window) - len(wanted))
        if not wanted:
            return
        chosen = set(cut_batch([len(item.row) for item in wanted], self._limits))
        self._ready.extendleft(item for place, item in reversed(list(enumerate(wanted))) if place not in chosen)
        batch = [wanted[place] for place in sorted(chosen)]
        start = time.monotonic()
        answers = self._answers([item.row for item in batch])
        seconds = time.monotonic() - start
        self._batch_since = None
        # all that a batch takes, not the engine alone: encoding, waiting for the event loop, handing out the answers
        busy = start + seconds - self._busy_since
        self._row_seconds += _SMOOTHING * (busy / len(batch) - self._row_seconds)
        self._busy_since = start + seconds
        self._may_return = len(batch) if len(batch) > 1 else 0
        self._linger_until = start + seconds * (1 + LINGER_SHARE)
        for item, answer in zip(batch, answers, strict=True):
            self._settle(item, answer)
        lengths = [len(item.row) for item in batch]
        self._watch(BatchDone(len(batch), sum(lengths), len(batch) * max(lengths), seconds))

    def _answers(self, rows: Sequence[Row]) -> list[Logits | Exception]:
        """Logits of each row; where a batch fails, each of its rows is asked alone, so that only the culprit fails."""
        self._batch_since = time.monotonic()  # of each row alone too: many that take their time are not stuck
        try:
            logits = self._run(rows)
            if len(logits) != len(rows):
                raise ValueError(f"the engine answered {len(logits)} of {len(rows)} rows")
            bad = np.logical_not(np.isfinite(logits).all(axis=1))
        except Exception as error:  # an engine may raise anything: only the request that made it fails
            if len(rows) == 1:
                return [error]
            return [one for row in rows for one in self._answers([row])]
        if not bad.all():
            self.answered_at = time.monotonic()
        if len(rows) > 1:
            return [self._answers([row])[0] if bad[place] else logits[place] for place, row in enumerate(rows)]
        return [ArithmeticError("the engine answered with what is no number") if bad[0] else logits[0]]

    def _settle(self, item: _Waiting, answer: Logits | Exception) -> None:
        request = item.request
        self._leave(1)
        if request.over:
            return
        if isinstance(answer, Exception):
            self._fail(request, answer, 0)
            return
        request.logits[item.place] = answer
        request.left -= 1
        if request.left == 0:
            request.over = True
            self._open.discard(request)
            logits = np.stack([one for one in request.logits if one is not None])
            request.deliver(Answer(logits, [encoded.truncated for encoded in request.rows]))

    def _fail(self, request: _Request, error: Exception, rows: int) -> None:
        """Fail one request; rows of it that wait still are dropped when their turn comes."""
        request.over = True
        self._open.discard(request)
        self._leave(rows)
        failure = RowFailed(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        request.deliver(failure)

    def _leave(self, rows: int) -> None:
        with self._lock:
            self._waiting_rows -= rows
