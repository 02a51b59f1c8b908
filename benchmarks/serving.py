"""The service against the plain handler of the guides and against LitServe, on the demo's model and its test texts.

    make demo && python benchmarks/serving.py

Two steps: batching at the same fp32 model, then the same int8 model. Every round asks every service at 1, 8 and 32
clients in turn, for some seconds each; ratios are taken round by round. Before, all must give the same answers.
LitServe is first tried at several batch sizes and waiting times, and its best is compared. Writes results/serving.json.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from results_file import write_results
from services import Service, ask_many, free_port, litserve_python, modelyard, running

from modelyard.artifacts.candidate import read_card, read_choice
from modelyard.artifacts.release import MARK, Manifest
from modelyard.engines.batching import run_in_batches
from modelyard.engines.opening import open_engine
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval, time_ratio
from modelyard.tasks.classification import encode, load_tokenizer

HERE = Path(__file__).parent
CLIENTS = (1, 8, 32)
GRID = [(rows, timeout) for rows in (16, 32, 64) for timeout in (0.005, 0.02)]
SAME = 300
PLAIN, LIT32, OUR32, LIT8, OUR8 = "plain fp32", "litserve fp32", "modelyard fp32", "litserve int8", "modelyard int8"


def commands(project: Path, work: Path, settings: dict[str, tuple[int, float]]) -> dict[str, Any]:
    """Name -> function from a port to the command that starts it."""
    python = litserve_python(work)
    peer, model, release = HERE / "peers", project / "model", project / "release"

    def litserve(kind: str, folder: Path, name: str, port: int) -> list[str]:
        rows, timeout = settings[name]
        return [python, str(peer / "litserve_server.py"), kind, str(folder), str(port), str(rows), str(timeout)]

    return {
        PLAIN: lambda port: [sys.executable, str(peer / "plain_server.py"), str(model), str(port)],
        LIT32: lambda port: litserve("fp32", model, LIT32, port),
        OUR32: lambda port: modelyard(project, port, unsigned=True),
        LIT8: lambda port: litserve("int8", release, LIT8, port),
        OUR8: lambda port: modelyard(project, port, unsigned=False),
    }


def tune(
    name: str, project: Path, work: Path, bodies: Path, seconds: float
) -> tuple[tuple[int, float], dict[str, float]]:
    """LitServe's best batch size and waiting time at 32 clients."""
    found = {}
    for setting in GRID:
        port = free_port()
        with running(f"tune {name}", commands(project, work, {name: setting})[name](port), port) as service:
            ask_many(service, bodies, clients=32, seconds=1)
            found[setting] = ask_many(service, bodies, clients=32, seconds=seconds)["per_second"]
        print(f"{name} {setting}: {found[setting]:.0f} requests/s", flush=True)
    best = max(found, key=lambda setting: found[setting])
    return best, {f"{rows} rows, {1000 * timeout:g} ms": round(rate, 1) for (rows, timeout), rate in found.items()}


def label_of(answer: dict[str, Any]) -> int:
    """The index of the winning label in any service's answer."""
    logits = answer["predictions"][0]["logits"] if "predictions" in answer else answer["logits"]
    return int(np.argmax(logits))


def same_answers(services: dict[str, Service], texts: list[str]) -> dict[str, int]:
    """Texts on which two services of one model differ; each is asked alone."""
    labels = {name: [label_of(service.ask(text)) for text in texts] for name, service in services.items()}
    return {
        f"{one} against {other}": sum(a != b for a, b in zip(labels[one], labels[other], strict=True))
        for one, other in ((PLAIN, LIT32), (PLAIN, OUR32), (LIT8, OUR8))
    }


def bare_loop(project: Path, texts: list[str]) -> Callable[[], dict[str, float]]:
    """A function that answers windows of 64 texts in the order of arrival, and returns rows/s of the engine alone.

    Batches of 32 as they come, or each window sorted by length first: the faster of the two.
    """
    manifest = Manifest.model_validate_json((project / "release" / MARK).read_text(encoding="utf-8"))
    engine = open_engine(project / "release", manifest.engine, manifest.artefact)
    rows = encode(load_tokenizer(project / "release"), texts, max_length_tokens=manifest.max_length_tokens)
    windows = [rows[start : start + 64] for start in range(0, min(len(rows), 1024), 64)]
    orders = {"as they come": windows, "by length": [sorted(window, key=len) for window in windows]}

    def measure() -> dict[str, float]:
        found = {}
        for name, ordered in orders.items():
            start = time.perf_counter()
            for window in ordered:
                run_in_batches(engine, window)
            found[name] = sum(map(len, windows)) / (time.perf_counter() - start)
        return found

    measure()
    return measure


def main() -> None:
    """Start all, check that they agree, measure in turn, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--work", type=Path, default=Path(".work/peers"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    texts = pl.read_parquet(options.project / "prepared/test.parquet")["text"].to_list()
    bodies = options.work / "bodies.jsonl"
    bodies.write_text("".join(json.dumps({"inputs": text}) + "\n" for text in texts), encoding="utf-8")
    settings, tried = {}, {}
    for name in (LIT32, LIT8):
        settings[name], tried[name] = tune(name, options.project, options.work, bodies, options.seconds)
    with contextlib.ExitStack() as stack:
        services = {}
        for name, command in commands(options.project, options.work, settings).items():
            port = free_port()
            services[name] = stack.enter_context(running(name.replace(" ", "-"), command(port), port))
        differ = same_answers(services, texts[:SAME])
        print(differ, flush=True)
        measured = measure_rounds(services, bodies, bare_loop(options.project, texts), options.rounds, options.seconds)
        memory = {name: service.memory_bytes() for name, service in services.items()}
    write(options, measured, memory, differ, settings, tried)


def measure_rounds(
    services: dict[str, Service], bodies: Path, bare: Callable[[], dict[str, float]], rounds: int, seconds: float
) -> dict[tuple[str, int], list[Any]]:
    """(service, clients) -> what each round saw; ("bare", 64) -> rows/s of the engine alone."""
    measured: dict[tuple[str, int], list[Any]] = {("bare", 64): []}
    for service in services.values():
        ask_many(service, bodies, clients=8, seconds=2)
    for number in range(rounds):
        names = list(services)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            for clients in CLIENTS:
                found = ask_many(services[name], bodies, clients=clients, seconds=seconds, skip=501 * number)
                assert set(found["statuses"]) == {"200"} and not found["broken"], (name, found["statuses"])
                measured.setdefault((name, clients), []).append(found)
        measured["bare", 64].append(bare())
        rates = {
            f"{name} {clients}": round(found[-1]["per_second"])
            for (name, clients), found in measured.items()
            if name != "bare"
        }
        print(f"round {number + 1} of {rounds}: {rates} bare {measured['bare', 64][-1]}", flush=True)
    return measured


def write(
    options: argparse.Namespace,
    measured: dict[tuple[str, int], list[Any]],
    memory: dict[str, int],
    differ: dict[str, int],
    settings: dict[str, Any],
    tried: dict[str, Any],
) -> None:
    """Judge the claims and write results/serving.json."""

    def rates(name: str, clients: int) -> list[float]:
        return [found["per_second"] for found in measured[name, clients]]

    def ratio(ours: str, theirs: str, clients: int) -> Interval:
        return time_ratio(rates(ours, clients), rates(theirs, clients))

    bare = {order: [found[order] for found in measured["bare", 64]] for order in ("as they come", "by length")}
    p95 = {
        key: [float(np.quantile(found["times_ms"], 0.95)) for found in runs]
        for key, runs in measured.items()
        if key[0] != "bare"
    }
    verdicts: list[Verdict] = []
    for ours, theirs, limits in (
        (OUR32, PLAIN, {1: None, 8: None, 32: None}),
        (OUR32, LIT32, {1: None, 8: None, 32: None}),
        (OUR8, PLAIN, {1: 2.0, 8: None, 32: 4.0}),
        (OUR8, LIT8, {1: None, 8: None, 32: 1.5}),
    ):
        for clients, limit in limits.items():
            scope = f"{clients} clients, {ours} over {theirs}"
            rule, allowed = ("throughput", at_least(limit)) if limit else ("not_slower", at_least(1.0))
            verdicts.append(judge(ratio(ours, theirs, clients), allowed, rule=rule, scope=scope))
    verdicts += [
        judge(
            time_ratio(rates(OUR8, 32), bare[order]),
            at_least(0.75),
            rule="share_of_bare_loop",
            scope=f"32 clients, int8, windows of 64 rows {order}",
        )
        for order in bare
    ]
    verdicts.append(
        judge(
            time_ratio(p95[OUR8, 32], p95[PLAIN, 32]),
            at_most(0.4),
            rule="p95_latency",
            scope=f"32 clients, {OUR8} over {PLAIN}",
        )
    )
    verdicts.append(
        judge(
            Interval.exact(memory[OUR8] / memory[PLAIN], n=1, unit="ratio"),
            at_most(1.0),
            rule="memory",
            scope=f"{OUR8} over {PLAIN}",
        )
    )
    verdicts.append(
        judge(Interval.exact(sum(differ.values()), n=3 * SAME, unit="labels"), at_most(0), rule="same_answers")
    )
    measurements = [
        Measurement(name="memory", subject=name, interval=Interval.exact(value, n=1, unit="bytes"))
        for name, value in memory.items()
    ]
    for (name, clients), times in p95.items():
        measurements.append(
            Measurement(name="p95", scope=f"{clients} clients", subject=name, interval=median_interval(times))
        )
        measurements.append(
            Measurement(
                name="requests", scope=f"{clients} clients", subject=name, interval=per_second(rates(name, clients))
            )
        )
    measurements += [
        Measurement(name="engine alone", scope=f"windows of 64 rows {order}", interval=per_second(found))
        for order, found in bare.items()
    ]
    choice = read_choice(options.project / "candidates")
    card = read_card(options.project / "candidates" / choice.chosen)
    write_results(
        "serving",
        verdicts=verdicts,
        measurements=measurements,
        parameters={
            "rounds": options.rounds,
            "seconds": options.seconds,
            "model": card.name,
            "batch_rows": card.batch_rows,
            "litserve": {name: f"{rows} rows, {1000 * timeout:g} ms" for name, (rows, timeout) in settings.items()},
            "litserve_tried": tried,
            "differing_labels": differ,
        },
        notes=[
            "clients, services and engine share the same cores; every client keeps one connection and sends one text"
        ],
    )


def per_second(rates: list[float]) -> Interval:
    """Median and its interval, in requests (rows) a second."""
    return median_interval(rates).model_copy(update={"unit": "per second"})


if __name__ == "__main__":
    main()
