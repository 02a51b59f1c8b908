"""The queue with an engine that does what a test wants: holds, breaks, dies."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelyard.serving import queue as module
from modelyard.serving.queue import BatchDone, EngineQueue, QueueClosed, QueueFull, RowFailed
from modelyard.serving.turns import BatchLimits
from modelyard.tasks.classification import Encoded

LIMITS = BatchLimits(rows=4, tokens=1_000, overhead_tokens=1_000)


def encode(texts: Sequence[str]) -> list[Encoded]:
    """One token per letter; `?` cannot be encoded."""
    if "?" in "".join(texts):
        raise ValueError("no token for ?")
    return [Encoded([ord(letter) for letter in text], len(text) > 4) for text in texts]


def lengths(rows: Sequence[Sequence[int]]) -> Any:
    """Logits: the row's length and its sum. A row with a `!` breaks its batch; one with a `~` has no number."""
    if any(ord("!") in row for row in rows):
        raise RuntimeError("a kernel fell over")
    return np.array([[len(row), np.nan if ord("~") in row else sum(row)] for row in rows], dtype=np.float32)


class Gate:
    """An engine that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, rows: Sequence[Sequence[int]]) -> Any:
        self.batches.append(["".join(map(chr, row)) for row in rows])
        self.entered.set()
        assert self.go.wait(30)
        return lengths(rows)


def make_queue(run: Callable[..., Any] = lengths, **changes: Any) -> EngineQueue:
    return EngineQueue(encode, run, LIMITS, **{"wait_seconds": 60.0, "row_seconds": 0.001, **changes})


async def behind(queue: EngineQueue, gate: Gate, *requests: list[str]) -> list[Any]:
    """Answers (or errors) of requests that all came while the engine was busy with one of `x`."""
    first = asyncio.create_task(queue.answer(["x"]))
    await asyncio.to_thread(gate.entered.wait, 30)
    tasks = [asyncio.create_task(queue.answer(texts)) for texts in requests]
    await asyncio.sleep(0.01)  # each task has run up to its wait
    gate.go.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_answers_come_back_to_who_asked_in_their_order() -> None:
    async def ask(queue: EngineQueue) -> list[Any]:
        return await asyncio.gather(queue.answer(["aaa", "b", "cc"]), queue.answer(["dddd"]))

    with make_queue() as queue:
        three, one = asyncio.run(ask(queue))
    assert three.logits[:, 0].tolist() == [3, 1, 2]
    assert one.logits.tolist() == [[4, 4 * ord("d")]]
    assert queue.waiting_rows == 0


def test_a_text_that_was_cut_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_ROWS", 1)
    with make_queue() as queue:
        answer = asyncio.run(queue.answer(["aaaaa", "bbbb", "ccccccc"]))
    assert answer.truncated == [True, False, True]


def test_what_arrives_while_the_engine_works_is_the_next_batch() -> None:
    gate, done = Gate(), list[BatchDone]()
    with make_queue(gate, watch=done.append) as queue:
        answers = asyncio.run(behind(queue, gate, ["aa"], ["bbb"], ["c"]))
    assert gate.batches == [["x"], ["aa", "bbb", "c"]]
    assert [answer.logits[0, 0] for answer in answers] == [2, 3, 1]
    assert (done[1].rows, done[1].tokens, done[1].padded_tokens) == (3, 6, 9)


def test_a_small_request_does_not_wait_behind_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_ROWS", 2)
    gate = Gate()
    with make_queue(gate) as queue:
        asyncio.run(behind(queue, gate, ["aa"] * 9, ["bb"]))
    assert gate.batches == [["x"], ["aa", "aa", "bb", "aa"], ["aa"] * 4, ["aa"] * 2]


def test_requests_of_a_few_rows_are_answered_in_the_order_in_which_they_came() -> None:
    gate = Gate()
    with make_queue(gate) as queue:
        asyncio.run(behind(queue, gate, ["aa"] * 3, ["bb"] * 3, ["cc"] * 2))
    assert gate.batches == [["x"], ["aa", "aa", "aa", "bb"], ["bb", "bb", "cc", "cc"]]


def test_a_large_request_is_not_passed_by_all_who_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_ROWS", 2)
    monkeypatch.setattr(module, "WINDOW_ROWS", 4)
    gate, tasks, later = Gate(), list[asyncio.Task[Any]](), iter(range(8))

    async def ask(queue: EngineQueue) -> None:
        loop = asyncio.get_running_loop()

        def come(_: BatchDone) -> None:  # with every batch four more come: the queue is never empty
            if next(later, None) is not None:
                standing = threading.Event()

                def start() -> None:
                    tasks.extend(asyncio.create_task(queue.answer([x])) for x in ("b", "c", "d", "e"))
                    loop.call_soon(standing.set)  # behind the first step of each, which puts it in line

                loop.call_soon_threadsafe(start)
                assert standing.wait(30)

        queue._watch = come
        await behind(queue, gate, ["aa"] * 6)
        await asyncio.gather(*tasks)

    with make_queue(gate) as queue:
        asyncio.run(ask(queue))
    answered = [place for place, batch in enumerate(gate.batches) if "aa" in batch]
    assert sum(batch.count("aa") for batch in gate.batches) == 6
    assert answered[-1] <= 5  # of 10 batches: three turns of two rows, each behind those who came meanwhile


def test_who_waits_is_told_when_the_thread_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, deaths = Gate(), list[Any]()
    monkeypatch.setattr(threading, "excepthook", deaths.append)

    def watch(_: BatchDone) -> None:
        raise RuntimeError("a fault of our own")

    with make_queue(gate, watch=watch) as queue:

        async def ask() -> list[Any]:
            first = asyncio.create_task(queue.answer(["x"]))
            await asyncio.to_thread(gate.entered.wait, 30)
            waiting = [asyncio.create_task(queue.answer(["y"] * rows)) for rows in (1, 100)]
            await asyncio.sleep(0.01)
            gate.go.set()
            return await asyncio.wait_for(asyncio.gather(first, *waiting, return_exceptions=True), 30)

        answered, *lost = asyncio.run(ask())
        assert answered.logits.shape == (1, 2)
        assert [type(error) for error in lost] == [QueueClosed, QueueClosed]
        with pytest.raises(QueueClosed):
            asyncio.run(queue.answer(["z"]))
    assert str(deaths[0].exc_value) == "a fault of our own"


def test_an_engine_that_answers_too_few_rows_fails_those_requests_alone() -> None:
    def short(rows: Sequence[Sequence[int]]) -> Any:
        return lengths(rows)[: 1 if len(rows) > 1 else None]

    with make_queue(short) as queue:
        assert asyncio.run(queue.answer(["aa", "b"])).logits[:, 0].tolist() == [2, 1]  # one by one
    with make_queue(lambda rows: lengths(rows)[:0]) as queue, pytest.raises(RowFailed, match="answered 0 of 1 rows"):
        asyncio.run(queue.answer(["aa"]))


def test_only_the_request_that_breaks_its_batch_fails() -> None:
    gate = Gate()
    with make_queue(gate) as queue:
        fine, broken, nan, also_fine, unknown = asyncio.run(
            behind(queue, gate, ["aa"], ["b!", "b"], ["c~"], ["dd"], ["?", "e"])
        )
    assert fine.logits[0, 0] == also_fine.logits[0, 0] == 2
    for error, words in ((broken, "RuntimeError: a kernel fell over"), (nan, "no number"), (unknown, "no token")):
        assert isinstance(error, RowFailed)
        assert words in str(error)
    assert queue.waiting_rows == 0


def test_who_would_wait_too_long_is_told_when_to_come_back() -> None:
    gate = Gate()

    async def fill(queue: EngineQueue) -> None:
        waiting = [asyncio.create_task(queue.answer(["a"] * 30)), asyncio.create_task(queue.answer(["a"] * 19))]
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull) as caught:  # 49 rows of 0.1 s wait, and 2 more would take 5.1 s
            await queue.answer(["b", "b"])
        assert caught.value.retry_after_seconds == 5
        waiting.append(asyncio.create_task(queue.answer(["b"])))
        await asyncio.sleep(0.01)
        gate.go.set()
        await asyncio.gather(*waiting)
        assert (await queue.answer(["b"])).logits.shape == (1, 2)

    with make_queue(gate, wait_seconds=5.0, row_seconds=0.1) as queue:
        asyncio.run(fill(queue))


def test_the_door_counts_as_many_rows_as_requests_have() -> None:
    gate = Gate()

    async def fill(queue: EngineQueue) -> None:
        waiting = []
        for _ in range(6):  # 36 rows; requests had 1 row, and after these 1 + 5 * (1 - 0.9 ** 6), or 3.3
            waiting.append(asyncio.create_task(queue.answer(["a"] * 6)))
            await asyncio.sleep(0.01)
        queue.refuse_if_full(4)
        with pytest.raises(QueueFull):
            queue.refuse_if_full(5)
        for _ in range(20):  # whoever is refused does not count
            with pytest.raises(QueueFull):
                await queue.answer(["a"] * 200)
        queue.refuse_if_full()
        waiting.append(asyncio.create_task(queue.answer(["a"])))
        await asyncio.sleep(0.01)
        queue.refuse_if_full(3)
        with pytest.raises(QueueFull):  # 37 rows wait, 3.1 more are expected
            queue.refuse_if_full()
        gate.go.set()
        await asyncio.gather(*waiting)

    with make_queue(gate, wait_seconds=4.0, row_seconds=0.1) as queue:
        asyncio.run(fill(queue))


def test_a_request_that_is_late_by_itself_is_let_in_while_others_need_half() -> None:
    gate = Gate()

    async def fill(queue: EngineQueue) -> None:
        waiting = [asyncio.create_task(queue.answer(["a"] * 20))]
        await asyncio.sleep(0.01)
        queue.refuse_if_full(256)
        waiting.append(asyncio.create_task(queue.answer(["a"])))
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull):
            queue.refuse_if_full(256)
        gate.go.set()
        await asyncio.gather(*waiting)

    with make_queue(gate, wait_seconds=4.0, row_seconds=0.1) as queue:
        asyncio.run(fill(queue))


def test_an_empty_queue_takes_any_request() -> None:
    with make_queue(wait_seconds=0.001, row_seconds=10.0) as queue:
        assert asyncio.run(queue.answer(["a"] * 20)).logits.shape == (20, 2)


def test_who_went_away_is_not_computed() -> None:
    gate = Gate()

    async def leave(queue: EngineQueue) -> None:
        first = asyncio.create_task(queue.answer(["x"]))
        await asyncio.to_thread(gate.entered.wait, 30)
        gone = asyncio.create_task(queue.answer(["gone"]))
        stays = asyncio.create_task(queue.answer(["stays"]))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        gate.go.set()
        await asyncio.gather(first, stays)

    with make_queue(gate) as queue:
        asyncio.run(leave(queue))
    assert gate.batches == [["x"], ["stays"]]
    assert queue.waiting_rows == 0
    assert not queue._open  # nothing is kept of it


def test_closing_answers_what_waits_and_takes_no_more() -> None:
    gate = Gate()

    async def close_while_busy() -> tuple[Any, Any]:
        queue = make_queue(gate)
        queue.__enter__()
        tasks = [asyncio.create_task(queue.answer([text])) for text in ("x", "yy")]
        await asyncio.to_thread(gate.entered.wait, 30)
        closing = asyncio.create_task(asyncio.to_thread(queue.__exit__))
        while not queue._closed:
            await asyncio.sleep(0.001)
        with pytest.raises(QueueClosed):
            await queue.answer(["z"])
        gate.go.set()
        await closing
        assert not queue.alive
        return tuple(await asyncio.gather(*tasks))

    one, two = asyncio.run(close_while_busy())
    assert (one.logits[0, 0], two.logits[0, 0]) == (1, 2)


def test_a_batch_that_does_not_end_can_be_seen() -> None:
    gate = Gate()

    async def look(queue: EngineQueue) -> float:
        task = asyncio.create_task(queue.answer(["x"]))
        await asyncio.to_thread(gate.entered.wait, 30)
        time.sleep(0.02)
        stuck = queue.stuck_seconds
        gate.go.set()
        await task
        return stuck

    with make_queue(gate) as queue:
        assert asyncio.run(look(queue)) >= 0.02
        assert queue.stuck_seconds == 0.0


def test_rows_that_are_asked_alone_are_not_one_stuck_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stuck = [0.0], list[float]()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slow(rows: Sequence[Sequence[int]]) -> Any:
        clock[0] += 40.0
        stuck.append(queue.stuck_seconds)
        return lengths(rows)

    with make_queue(slow) as queue:
        error, fine = asyncio.run(gathered(queue, ["!"], ["aa"]))
    assert isinstance(error, RowFailed) and fine.logits[0, 0] == 2
    assert max(stuck) == 40.0


async def gathered(queue: EngineQueue, *requests: list[str]) -> list[Any]:
    return await asyncio.gather(*map(queue.answer, requests), return_exceptions=True)


@pytest.mark.parametrize(("share", "batches"), [(1e6, [2, 2]), (0.0, [2, 1, 1])])
def test_those_who_were_answered_together_are_waited_for(
    share: float, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_SHARE", share)
    seen: list[int] = []

    async def come_back(queue: EngineQueue) -> None:
        await queue.answer(["a", "b"])
        first = asyncio.create_task(queue.answer(["a"]))
        if share == 0.0:
            await first  # nobody waits for the second
        else:
            await asyncio.sleep(0.01)
        await asyncio.gather(first, queue.answer(["b"]))

    with make_queue(watch=lambda done: seen.append(done.rows)) as queue:
        asyncio.run(come_back(queue))
    assert seen == batches
