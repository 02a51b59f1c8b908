"""Speed and memory, measured side by side on this machine."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from modelyard.compression.candidates import Candidate
from modelyard.engines.base import Engine, Row
from modelyard.engines.batching import BATCH_ROWS
from modelyard.errors import ModelyardError, Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.timing import median_interval
from modelyard.progress import Progress, silent

BATCHES = 8
ROUNDS = 24  # each batch three times; the interval of a median of 24 reaches from the 7th to the 18th
LATENCY_ROUNDS = 40
MEMORY_TIMEOUT_SECONDS = 600


class Way(NamedTuple):
    """An engine's name, and how many rows it answers at once."""

    name: str
    batch_rows: int


@dataclass(frozen=True)
class Speed:
    """Times of one engine.

    Attributes:
        batch_seconds: one time per round, the rounds of all engines over the same batches.
        latency_ms: time of one row of median length, alone: median with its interval.
    """

    batch_seconds: list[float]
    latency_ms: Interval


def measure_speed(
    engines: Mapping[str, Engine],
    rows: Sequence[Row],
    ways: Sequence[Way],
    *,
    progress: Progress = silent,
) -> dict[Way, Speed]:
    """Time engines in turn, A B C A B C, on the same 32 real rows, together or one by one.

    Every engine first answers each batch once, because OpenVINO compiles for a shape when it meets it. Before each
    timed batch an engine answers one untimed row, by which time the threads of the one before it have gone to sleep.

    Args:
        engines: by name.
        rows: encoded rows in the order of arrival.
        ways: each name with the number of rows that it answers at once; a name may stand here more than once.
        progress: told after each round.
    """
    last_start = max(0, len(rows) - BATCH_ROWS)
    starts = sorted({round(start) for start in np.linspace(0, last_start, BATCHES)})
    batches = [rows[start : start + BATCH_ROWS] for start in starts]
    typical = [sorted(rows, key=len)[len(rows) // 2]]
    progress("measure speed", 0, ROUNDS + LATENCY_ROUNDS)
    for name, batch_rows in ways:
        for batch in [*batches, typical]:
            _answer(engines[name], batch, batch_rows)
    seconds: dict[Way, list[float]] = {way: [] for way in ways}
    alone: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(ROUNDS):
        for way in ways:
            seconds[way].append(_seconds(engines[way.name], typical, batches[number % len(batches)], way.batch_rows))
        progress("measure speed", number + 1, ROUNDS + LATENCY_ROUNDS)
    for number in range(LATENCY_ROUNDS):  # one row is one row, whichever way its engine answers many
        for name, engine in engines.items():
            alone[name].append(_seconds(engine, typical, typical, 1))
        progress("measure speed", ROUNDS + number + 1, ROUNDS + LATENCY_ROUNDS)
    latency = {name: median_interval([1000 * value for value in times]) for name, times in alone.items()}
    return {way: Speed(seconds[way], latency[way.name]) for way in ways}


def _seconds(engine: Engine, untimed: Sequence[Row], rows: Sequence[Row], batch_rows: int) -> float:
    engine.run(untimed)
    start = time.perf_counter()
    _answer(engine, rows, batch_rows)
    return time.perf_counter() - start


def _answer(engine: Engine, rows: Sequence[Row], batch_rows: int) -> None:
    for start in range(0, len(rows), batch_rows):
        engine.run(rows[start : start + batch_rows])


def measure_memory(
    folder: Path, candidates: Sequence[Candidate], rows: Sequence[Row], *, progress: Progress = silent
) -> dict[str, int]:
    """Peak memory in bytes of a process that loads a candidate and answers, above one that loads nothing.

    The libraries of the engine count: they are part of what a service must hold.

    Args:
        folder: where each candidate has its folder.
        candidates: what is loaded, each in a process of its own.
        rows: one batch that is answered.
        progress: told after each candidate.

    Returns:
        By the candidate's name.

    Raises:
        ModelyardError: a process ended badly.
    """
    batch = json.dumps([list(row) for row in rows])
    progress("measure memory", 0, len(candidates))
    nothing = _peak_bytes([], batch)
    peaks = {}
    for number, candidate in enumerate(candidates):
        own = str((folder / candidate.name).resolve())
        peaks[candidate.name] = max(0, _peak_bytes([own, candidate.engine, *candidate.artefact], batch) - nothing)
        progress("measure memory", number + 1, len(candidates))
    return peaks


def _peak_bytes(arguments: list[str], batch: str) -> int:
    command = [sys.executable, "-m", "modelyard.compression.memory", *arguments]
    try:
        done = subprocess.run(command, input=batch, capture_output=True, text=True, timeout=MEMORY_TIMEOUT_SECONDS)
        complaint = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
    except subprocess.TimeoutExpired:
        done, complaint = None, f"it took more than {MEMORY_TIMEOUT_SECONDS} seconds"
    if done is None or done.returncode != 0:
        raise ModelyardError(
            Problem(
                f"the process that measures memory ended badly: {complaint}",
                "free some memory and run `modelyard compress` again",
                " ".join(arguments),
            )
        )
    return int(done.stdout)
