"""Trainings in turns: what training_speed.py and language_speed.py share, from encoded rows to verdicts.

Every contender gets the same rows from one file and a process of its own, and they take turns in every round. Our
precision is what `auto` chooses in the first round. Where that is bf16, clearly faster on this model and these rows, a
peer in fp32 whose twin in bf16 was faster in that round, too, is not run again, because it cannot be the best: its
figures are of one round. Trainer's defaults always take part.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from results_file import write_results

from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.ratio import ratio_of_sums
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval, time_ratio
from modelyard.training.batches import Rows

HERE = Path(__file__).parent
ROUNDS = 6  # fewer make no interval of 95%
SAME_LOSS = 0.02  # nats above the peer's that still counts as the same: two seeds of one contender differ by as much
OF_LIMIT = 0.85
DEFAULTS = "trainer_defaults"
TRAINERS: dict[str, dict[str, bool]] = {
    DEFAULTS: {},
    "trainer_grouped": {"grouped": True},
    "trainer_grouped_bf16": {"grouped": True, "bf16": True},
}


class Targets(NamedTuple):
    """How many times as fast as Trainer's defaults and as the best peer we claim to be."""

    over_defaults: float
    over_best: float


def has_bf16() -> bool:
    """Whether this machine multiplies in bf16: other CPUs emulate it at a twentieth of the speed."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def write_rows(
    work: Path, base: Path, train: Rows, validation: Rows, settings: dict[str, Any], labels: list[str] | None = None
) -> None:
    """Write what every contender reads: `WORK/rows.json`.

    Args:
        work: a folder, made where it is not there.
        base: of the model.
        train: what is learned.
        validation: what the models are judged by afterwards.
        settings: that all contenders share.
        labels: of a classifier; None of a language model.
    """
    work.mkdir(parents=True, exist_ok=True)
    document = {
        "base": str(base),
        "labels": labels,
        **settings,
        "train": _split(train),
        "validation": _split(validation),
    }
    (work / "rows.json").write_text(json.dumps(document))


def _split(rows: Rows) -> dict[str, Any]:
    marks = [list(row) for row in rows.learned]
    return {"ids": [list(row) for row in rows.ids], "labels": rows.labels.tolist(), "learned": marks}


def measure(
    name: str,
    *,
    work: Path,
    packages: Path,
    peers: Mapping[str, Mapping[str, bool]],
    rounds: int,
    weights: NDArray[np.int64],
    targets: Targets,
    settings: dict[str, Any],
) -> Path:
    """Run all in turns, judge, and write `results/NAME.json`, on a GPU `NAME_gpu.json`.

    Args:
        name: of the results.
        work: where `write_rows` wrote.
        packages: folder of what the peers need beside our environment.
        peers: name -> what peers/trainer.py is set to; those in bf16 are left out where the machine emulates it.
        rounds: `ROUNDS`, fewer to try a script.
        weights: of each validation row in the mean loss, shape (rows,).
        targets: what is claimed.
        settings: told in the results.
    """
    found = in_turns(work, packages, peers, rounds)
    verdicts, measurements = compare(found, weights.astype(np.float64), targets)
    on_gpu = torch.cuda.is_available()
    return write_results(
        f"{name}_gpu" if on_gpu else name,
        verdicts=verdicts,
        measurements=measurements,
        parameters={
            "device": torch.cuda.get_device_name() if on_gpu else "CPU",
            "rounds": rounds,
            "rounds_of_peer": {peer: len(runs) for peer, runs in found.items() if peer != "ours"},
            "our_precision": found["ours"][0]["precision"],
            "steps": {contender: runs[0]["steps"] for contender, runs in found.items()},
            **settings,
        },
        notes=[
            "loading, choosing our precision and steps on a copy are outside of the clock and of the peak memory",
            "`auto` chooses once and is given the batches again and again where there are fewer than it would time",
            "a peer of one round, which is not judged, was slower in it than its twin in bf16, as `auto` found ours",
        ],
    )


def in_turns(
    work: Path, packages: Path, peers: Mapping[str, Mapping[str, bool]], rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """The figures of each contender, those of ours under `ours`, one of each round that it took part in."""
    ours, theirs = HERE / "training_ours.py", HERE / "peers" / "trainer.py"
    precision = "auto"
    going = {name: peer for name, peer in peers.items() if has_bf16() or "bf16" not in peer}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ours", *going)}
    for seed in range(rounds):
        commands = {"ours": [str(ours), str(work), str(seed), precision]}
        commands |= {name: [str(theirs), str(work), str(seed), json.dumps(peer)] for name, peer in going.items()}
        for name, command in commands.items():
            found[name].append(run(command, packages))
            told = {key: value for key, value in found[name][-1].items() if key != "losses"}
            print(name, seed, told, flush=True)
        if seed == 0:
            precision = found["ours"][0]["precision"]
            took = {name: found[name][0]["seconds"] for name in going}
            slower = {name for name in took if took[name] > took.get(f"{name}_bf16", math.inf)}
            going = {name: peer for name, peer in going.items() if precision != "bf16" or name not in slower}
    return found


def run(command: list[str], packages: Path) -> dict[str, Any]:
    """The figures that one contender prints."""
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(packages), str(HERE)])
    environment = os.environ | {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def compare(
    found: dict[str, list[dict[str, Any]]], weights: NDArray[np.float64], targets: Targets
) -> tuple[list[Verdict], list[Measurement]]:
    """Tokens a second, padding, memory and loss of each contender, and the claims against each peer and the machine.

    Args:
        found: what `in_turns` gives.
        weights: of each validation row in the mean loss, shape (rows,).
        targets: what is claimed.
    """
    pace = {name: np.array([run["seconds"] / run["tokens"] for run in runs]) for name, runs in found.items()}
    loss = {name: np.mean([run["losses"] for run in runs], axis=0) for name, runs in found.items()}
    verdicts, measurements = [], []
    for name, runs in found.items():
        figures = {
            "tokens_per_second": (1 / float(np.median(pace[name])), "tokens/s"),
            "padding_share": (float(np.mean([run["padding"] for run in runs])), "fraction"),
            "peak_bytes": (float(np.median([run["peak_bytes"] for run in runs])), "bytes"),
            "validation_loss": (float(loss[name].sum() / weights.sum()), "nats"),
        }
        measurements += [
            Measurement(name=what, subject=name, interval=Interval.exact(value, n=len(runs), unit=unit))
            for what, (value, unit) in figures.items()
        ]
    whole = [name for name in pace if name != "ours" and len(pace[name]) == len(pace["ours"])]
    best = min(whole, key=lambda name: float(np.median(pace[name])))
    for peer, limit in ((DEFAULTS, targets.over_defaults), (best, targets.over_best)):
        ratio = time_ratio(pace[peer], pace["ours"])
        verdicts.append(judge(ratio, at_least(limit), rule="speed_over_peer", subject=peer))
    for peer in whole:
        worse = ratio_of_sums(loss["ours"] - loss[peer], weights, unit="nats")
        verdicts.append(judge(worse, at_most(SAME_LOSS), rule="loss_above_peer", subject=peer))
    shares = np.array([run["matrix_seconds"] / run["step_seconds"] for run in found["ours"]])
    share = median_interval(shares).model_copy(update={"unit": "fraction"})
    verdicts.append(judge(share, at_least(OF_LIMIT), rule="share_of_matrix_limit", subject="ours"))
    return verdicts, measurements
