"""The service asked ten times what it can answer, for 30 s: what it still answers, and how it comes back.

    make demo && python benchmarks/overload.py

Peak: requests/s at 32 clients. Overload: for 30 s so many connections, each asking again the moment it is answered or
refused (which is held back for a second), that together they ask for ten times the peak and a little more. A request
has 8 texts, so that the engine is what is short. Judged: that it was ten times, goodput against the peak, only 200 and
429, the 95th percentile of what was answered, as the clients saw it, against the promised one, memory, and how soon
after the end a lone client is answered at most twice as slowly as before.
Writes results/overload.json.
"""

import argparse
import json
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from results_file import write_results
from services import Service, ask_many, free_port, modelyard, running

from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval, time_ratio
from modelyard.serving.door import HOLD_SECONDS

TEXTS = 8
CLIENTS = 32
TIMES = 10
MARGIN = 1.2
SETTLE_SECONDS = 60
RECOVERY_SECONDS = 2.0
PROMISED_P95_MS = 500.0  # `serve.objectives.latency_p95_ms` of the demo's project


def ready(service: Service) -> bool:
    """Whether the service says so."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/health/ready", timeout=30) as response:
        return bool(response.status == 200)


def alone_ms(service: Service, texts: list[str]) -> list[float]:
    """Times of a lone client's requests."""
    found = []
    for text in texts:
        start = time.perf_counter()
        service.ask(text)
        found.append(1000 * (time.perf_counter() - start))
    return found


def watch_memory(service: Service, stop: threading.Event, found: list[int]) -> None:
    """Memory once a second."""
    while not stop.wait(1.0):
        found.append(service.memory_bytes())


def main() -> None:
    """Peak, overload, recovery, several times over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    work = Path(".work/peers")
    work.mkdir(parents=True, exist_ok=True)
    texts = pl.read_parquet(options.project / "prepared/test.parquet")["text"].to_list()
    bodies = work / "bodies8.jsonl"
    groups = [texts[start : start + TEXTS] for start in range(0, len(texts) - TEXTS, TEXTS)]
    bodies.write_text("".join(json.dumps({"inputs": group}) + "\n" for group in groups), encoding="utf-8")
    port = free_port()
    rounds: list[dict[str, Any]] = []
    memory: list[int] = []
    with running("overload", modelyard(options.project, port, unsigned=False), port) as service:
        # long enough to meet the shapes of batches: OpenVINO prepares kernels for each, and keeps them
        peak = ask_many(service, bodies, clients=CLIENTS, seconds=SETTLE_SECONDS)["per_second"]
        connections = max(2 * CLIENTS, round(MARGIN * TIMES * peak * HOLD_SECONDS))
        settled = service.memory_bytes()
        for number in range(options.rounds):
            rounds.append(one_round(service, bodies, texts, options.seconds, memory, connections, skip=37 * number))
            print(
                f"round {number + 1}: {json.dumps({k: v for k, v in rounds[-1].items() if k != 'alone'})}", flush=True
            )
    write(options, rounds, settled, memory, connections)


def one_round(
    service: Service,
    bodies: Path,
    texts: list[str],
    seconds: float,
    memory: list[int],
    connections: int,
    *,
    skip: int,
) -> dict[str, Any]:
    """Peak before and after the overload, so that a machine that drifts does so for both."""
    alone = alone_ms(service, texts[:40])
    before = ask_many(service, bodies, clients=CLIENTS, seconds=seconds / 6, skip=skip)
    stop = threading.Event()
    watching = threading.Thread(target=watch_memory, args=(service, stop, memory))
    watching.start()
    over = ask_many(service, bodies, clients=connections, seconds=seconds, skip=skip)
    end = time.perf_counter()
    stop.set()
    watching.join()
    back = None
    while back is None and time.perf_counter() - end < 30:
        times = alone_ms(service, texts[:5])
        if ready(service) and np.median(times) <= 2 * np.median(alone):
            back = time.perf_counter() - end
    after = ask_many(service, bodies, clients=CLIENTS, seconds=seconds / 6, skip=skip)
    return {
        "peak": (before["per_second"] + after["per_second"]) / 2,
        "goodput": over["per_second"],
        "asked": over["asked_per_second"],
        "statuses": over["statuses"],
        "broken": over["broken"],
        "p95_ms": float(np.quantile(over["times_ms"], 0.95)),
        "recovered_seconds": back if back is not None else 30.0,
        "alone": alone,
    }


def write(
    options: argparse.Namespace, rounds: list[dict[str, Any]], settled: int, memory: list[int], connections: int
) -> None:
    """Judge the claims and write results/overload.json."""
    goodput = time_ratio([one["goodput"] for one in rounds], [one["peak"] for one in rounds])
    strange = sum(
        count for one in rounds for status, count in one["statuses"].items() if status not in ("200", "429")
    ) + sum(one["broken"] for one in rounds)
    asked = sum(sum(one["statuses"].values()) for one in rounds)
    slowest = max(one["recovered_seconds"] for one in rounds)
    grown = max(memory) / settled
    asked_rate = time_ratio([one["asked"] for one in rounds], [one["peak"] for one in rounds])
    verdicts = [
        judge(asked_rate, at_least(TIMES), rule="asked", scope="requests over the peak"),
        judge(goodput, at_least(0.9), rule="goodput", scope=f"{connections} clients over {CLIENTS}"),
        judge(Interval.exact(strange, n=asked, unit="answers"), at_most(0), rule="only_200_and_429"),
        judge(median_interval([one["p95_ms"] for one in rounds]), at_most(PROMISED_P95_MS), rule="latency_p95"),
        judge(
            Interval.exact(grown, n=len(memory), unit="ratio"),
            at_most(1.1),
            rule="memory",
            scope="largest over settled",
        ),
        judge(Interval.exact(slowest, n=len(rounds), unit="s"), at_most(RECOVERY_SECONDS), rule="recovery"),
    ]
    measurements = [
        Measurement(name=name, interval=median_interval([one[key] for one in rounds]).model_copy(update={"unit": unit}))
        for name, key, unit in (
            ("peak", "peak", "requests/s"),
            ("goodput", "goodput", "requests/s"),
            ("asked", "asked", "requests/s"),
            ("p95 of what was answered", "p95_ms", "ms"),
            ("recovery", "recovered_seconds", "s"),
        )
    ]
    write_results(
        "overload",
        verdicts=verdicts,
        measurements=measurements,
        parameters={
            "rounds": options.rounds,
            "seconds": options.seconds,
            "texts_per_request": TEXTS,
            "clients": CLIENTS,
            "connections": connections,
        },
        notes=[
            f"{strange} of {asked} answers were neither 200 nor 429, or a connection that ended early",
            "clients and service share the same cores",
        ],
    )
    sys.stdout.write("".join(f"{verdict.outcome} {verdict.rule}: {verdict.reason}\n" for verdict in verdicts))


if __name__ == "__main__":
    main()
