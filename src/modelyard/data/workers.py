"""Who maps: this process for a few MiB, else as many workers as there are cores, started before there is work.

A worker takes a second to load its libraries: it does so while this process looks the files through.
"""

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from pydantic import TypeAdapter

from modelyard.data.contamination.index import save_grams
from modelyard.data.mapping import BUNDLE_PARTS, GRAMS, PLAN, Bundle, Mapped, Refused, Task, map_bundle
from modelyard.data.reading.locate import COMPRESSED
from modelyard.data.reading.survey import PARQUET_GROWTH, PIECE_BYTES
from modelyard.errors import InputError, Problem
from modelyard.progress import Progress

INLINE_BYTES = 4 * PIECE_BYTES
"""Up to here the rows are judged in this process: starting others would take longer than the work."""
INLINE_FILES = 8 * BUNDLE_PARTS
COMPRESSED_GROWTH = 3
"""What a compressed file is taken to hold, before it is read: text compresses 3 to 20 times."""
WORKER_BYTES = 400 * 1024**2
"""What one worker takes at most: the interpreter and its libraries, and some twenty times a piece."""
# glibc hands arrays of some MiB back to the kernel and asks for them again at every step: a sixth of a worker's time
KEEP_MEMORY = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(128 * 1024**2))
_MAPPED = TypeAdapter(Mapped)

Worker = subprocess.Popen[str]


@contextmanager
def started(task: Task, files: Sequence[Path], most: int) -> Iterator[list[Worker]]:
    """At most `most` workers for these files, none where this process is as quick; killed when the block ends."""
    size = sum(_plain_bytes(path) for path in files)
    if most <= 1 or (size <= INLINE_BYTES and len(files) <= INLINE_FILES):
        yield []
        return
    if task.grams is not None:
        save_grams(task.grams, task.scratch / GRAMS)
    (task.scratch / PLAN).write_text(task.plan.model_dump_json(), encoding="utf-8")
    bundles = 1 + size // PIECE_BYTES + len(files) // BUNDLE_PARTS
    workers = [_start_worker(task.scratch) for _ in range(min(most, bundles))]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes


def _plain_bytes(path: Path) -> int:
    """About what a file holds as text, by its name and its size."""
    growth = PARQUET_GROWTH if path.suffix == ".parquet" else COMPRESSED_GROWTH if path.suffix in COMPRESSED else 1
    with suppress(OSError):  # a file that is gone is told when it is looked through
        return growth * path.stat().st_size
    return 0


def _start_worker(scratch: Path) -> Worker:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "modelyard.data.mapping", str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"POLARS_MAX_THREADS": "1"} | KEEP_MEMORY,
    )


def map_bundles(work: Sequence[Bundle], task: Task, workers: Sequence[Worker], progress: Progress) -> list[Mapped]:
    """Map every bundle, by the workers or, where there are none, in this process; results in the order of the bundles.

    Raises:
        InputError: the disk is full, or a worker died of what it read.
    """
    total = sum(bundle.size_bytes for bundle in work)
    results = _by_workers(work, workers) if workers else (map_bundle(bundle, task) for bundle in work)
    sizes = {bundle.number: bundle.size_bytes for bundle in work}
    done, rows, found, start = 0, 0, [], time.monotonic()
    last = math.ceil(total / 1e6)
    progress("MB read and judged", 0, last)
    for mapped in results:
        found.append(mapped)
        done += sizes[mapped.number]
        rows += mapped.rows
        pace = rows / max(time.monotonic() - start, 1e-3)
        there = last if len(found) == len(work) else max(0, min(done // 10**6, last - 1))
        progress(f"MB read and judged, {rows:,} rows, {pace:,.0f} rows/s", there, last)
    return sorted(found, key=lambda mapped: mapped.number)


def _by_workers(work: Sequence[Bundle], workers: Sequence[Worker]) -> Iterator[Mapped]:
    """Results as they come. A thread feeds each worker; the first failure stops all."""
    waiting: SimpleQueue[Bundle] = SimpleQueue()
    for bundle in work:
        waiting.put(bundle)
    results: SimpleQueue[Mapped | BaseException] = SimpleQueue()
    threads = [threading.Thread(target=_feed, args=(worker, waiting, results), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for _ in work:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        with suppress(Empty):
            while True:
                waiting.get_nowait()
        for worker, thread in zip(workers, threads, strict=True):
            worker.kill()
            thread.join()


def _feed(worker: Worker, waiting: SimpleQueue[Bundle], results: SimpleQueue[Mapped | BaseException]) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    while True:
        try:
            bundle = waiting.get_nowait()
        except Empty:
            with suppress(OSError):
                worker.stdin.close()
            return
        try:
            worker.stdin.write(bundle.model_dump_json() + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            names = ", ".join(sorted({part.surveyed.path for part in bundle.parts})[:3])
            results.put(_worker_died(worker.wait(), names))
            return
        refusal = _refusal(answer)
        results.put(refusal if refusal else _MAPPED.validate_json(answer))


def _worker_died(status: int, names: str) -> InputError:
    reason = f"signal {-status}" if status < 0 else f"exit status {status}"
    return InputError(
        Problem(
            f"the process that read {names} ended with {reason}",
            "look at what it printed; where memory ran out give fewer processes room with a larger --memory",
            names,
        )
    )


def _refusal(answer: str) -> InputError | None:
    if not answer.startswith('{"refused"'):
        return None
    return InputError(Refused.model_validate_json(answer).refused)
