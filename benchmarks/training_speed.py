"""One epoch of the demo's MiniLM: Modelyard's loop against Transformers' Trainer, at its defaults and at its best.

    pip install --no-deps --target /tmp/peers/trainer accelerate==1.15.0
    python benchmarks/training_speed.py --project .work/reviews --peers /tmp/peers      # after `make demo`

Every contender gets the same encoded rows, 32 of them a step on average, the same optimiser and learning rate, and a
process of its own; they take turns in every round. Counted are tokens of text, not padding. On a machine with a CUDA
GPU everything runs there. Trainer runs in bf16 as well where the machine has it (a GPU, a CPU with AVX512_BF16); its
best is whatever was fastest of what it can be set to. The mean loss on the same validation rows, which each is left
with, is compared row by row: a faster training that learns less has won nothing.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_file import write_results

from modelyard.artifacts.prepared import read_prepared
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.paired import bca
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import time_ratio
from modelyard.tasks.classification import load_tokenizer
from modelyard.training import derive
from modelyard.training.batches import Rows
from modelyard.training.loop import WARM_UP
from modelyard.training.rows import cut_rows, encode_split

HERE = Path(__file__).parent
ROUNDS = 6
SAME_LOSS = 0.02  # nats above the peer's that still counts as the same: two seeds of one contender differ by as much
OVER_DEFAULTS, OVER_BEST = 1.8, 1.0
PEERS = {
    "trainer_defaults": {},
    "trainer_grouped": {"grouped": True},
    "trainer_grouped_bf16": {"grouped": True, "bf16": True},  # where the machine has it: most CPUs emulate it
}


def main() -> None:
    """Measure in turns, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--work", type=Path, default=Path(".work/training-speed"))
    parser.add_argument(
        "--rows", type=int, default=2_560, help="train rows; 0 takes all; fewer, and no precision is timed"
    )
    parser.add_argument("--validation", type=int, default=1_000, help="validation rows; 0 takes all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    settings = write_rows(options.project, options.work, options.rows, options.validation)
    on_gpu = torch.cuda.is_available()
    commands = {"ours": [str(HERE / "training_ours.py"), str(options.work), "{seed}"]}
    for name, peer in PEERS.items():
        if on_gpu or "bf16" not in peer or torch.cpu.get_capabilities().get("avx512_bf16"):
            commands[name] = [str(HERE / "peers" / "trainer.py"), str(options.work), "{seed}", json.dumps(peer)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for number in range(options.rounds):
        for name, command in commands.items():
            seeded = [str(number) if part == "{seed}" else part for part in command]
            found[name].append(run(seeded, options.peers / "trainer"))
            print(name, number, {key: value for key, value in found[name][-1].items() if key != "losses"}, flush=True)
    verdicts, measurements = compare(found)
    print(
        write_results(
            "training_speed_gpu" if on_gpu else "training_speed",
            verdicts=verdicts,
            measurements=measurements,
            parameters={
                "device": torch.cuda.get_device_name() if on_gpu else "CPU",
                "rounds": options.rounds,
                "our_precision": [run["precision"] for run in found["ours"]],
                **settings,
            },
            notes=["choosing the precision and loading are outside of the clock; see training_ours.py"],
        )
    )


def write_rows(project: Path, work: Path, count: int, judged: int) -> dict[str, Any]:
    """Encode the project's rows once for all; returns the settings that all contenders share."""
    data, base = read_prepared(project / "prepared"), (project / "models" / "minilm").resolve()
    tokenizer = load_tokenizer(base)
    uncut = {name: encode_split(tokenizer, data, name) for name in ("train", "validation")}
    limit = int(derive.max_length_tokens(uncut["train"].lengths, None, 512, derive.ENCODERS.longest).value)
    splits = {name: cut_rows(tokenizer, rows, data, name, limit)[0] for name, rows in uncut.items()}
    kept = {"train": count or None, "validation": judged or None}
    splits = {
        name: Rows(rows.ids[: kept[name]], rows.sources[: kept[name]], rows.labels[: kept[name]])
        for name, rows in splits.items()
    }
    lengths = splits["train"].lengths
    settings = {
        "rows": len(lengths),
        "validation_rows": len(splits["validation"].ids),
        "rows_per_batch": derive.ROWS_PER_BATCH,
        "tokens_per_batch": int(derive.tokens_per_batch(lengths, None, max(lengths)).value),
        "learning_rate": derive.ENCODERS.small_rate.value,
        "warm_up": WARM_UP,
    }
    document = {
        "base": str(base),
        "labels": data.dataset.labels,
        **settings,
        **{
            name: {"ids": [list(row) for row in rows.ids], "labels": rows.labels.tolist()}
            for name, rows in splits.items()
        },
    }
    (work / "rows.json").write_text(json.dumps(document))
    return settings


def run(command: list[str], peer: Path) -> dict[str, Any]:
    """The figures that one contender prints."""
    found = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {"PYTHONPATH": f"{found}{os.pathsep}{peer}", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def compare(found: dict[str, list[dict[str, Any]]]) -> tuple[list[Verdict], list[Measurement]]:
    """Tokens a second, padding, memory and loss of each contender, and the claims against each peer."""
    pace = {name: [run["seconds"] / run["tokens"] for run in runs] for name, runs in found.items()}
    loss = {name: np.mean([run["losses"] for run in runs], axis=0) for name, runs in found.items()}
    verdicts, measurements = [], []
    for name, runs in found.items():
        n = len(runs)
        figures = {
            "tokens_per_second": (1 / float(np.median(pace[name])), "tokens/s"),
            "padding_share": (float(np.mean([run["padding"] for run in runs])), "fraction"),
            "peak_bytes": (float(np.median([run["peak_bytes"] for run in runs])), "bytes"),
            "validation_loss": (float(loss[name].mean()), "nats"),
        }
        measurements += [
            Measurement(name=what, subject=name, interval=Interval.exact(value, n=n, unit=unit))
            for what, (value, unit) in figures.items()
        ]
    best = min((name for name in pace if name != "ours"), key=lambda name: np.median(pace[name]))
    for peer, limit in (("trainer_defaults", OVER_DEFAULTS), (best, OVER_BEST)):
        ratio = time_ratio(pace[peer], pace["ours"])
        verdicts.append(judge(ratio, at_least(limit), rule="speed_over_peer", subject=peer))
        worse = bca(loss["ours"], loss[peer], np.mean, 0, unit="nats")
        verdicts.append(judge(worse, at_most(SAME_LOSS), rule="loss_above_peer", subject=peer))
    return verdicts, measurements


if __name__ == "__main__":
    main()
