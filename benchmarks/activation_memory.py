"""What bf16 and activation checkpointing save and cost: BERT-base and a decoder of GPT-2's size, on this machine.

    python benchmarks/activation_memory.py          # about five minutes on two cores

Counted are the bytes that a forward pass leaves for the backward pass: every distinct storage that autograd keeps,
weights aside. Activations are what of it grows with the rows, twice the difference between all rows and half of them;
the rest, in bf16 the casts of the weights, is told beside it. Steps with and without checkpointing are timed in turns,
and must give the same loss. The weights are random: neither size nor time depends on them.

Half is to the nearest hundredth: token ids and the statistics of norms are as wide in bf16 as in fp32.

Writes `results/activation_memory.json`.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from results_file import write_results
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    GPT2Config,
    PreTrainedModel,
)

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import time_ratio
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier
from modelyard.training.formats import Precision
from modelyard.training.language import Language
from modelyard.training.memory import kept_bytes
from modelyard.training.objective import Objective
from modelyard.training.step import compute_again, make_learner, take_step
from modelyard.training.surroundings import for_training

ROUNDS = 6
ROWS, TOKENS = 32, 128
TIMED_ROWS = 4
FORMATS: tuple[Precision, ...] = ("fp32", "bf16")
HALF_TO_A_HUNDREDTH = 0.505


def models() -> dict[str, tuple[Any, Rows, Objective]]:
    """Name -> a function that makes the model, its rows, its objective."""
    ids = np.random.default_rng(0).integers(1_000, 20_000, (ROWS, TOKENS)).tolist()
    sources = [""] * ROWS
    labelled = Rows(ids, sources, np.zeros(ROWS, np.int64))
    written = Rows(ids, sources, learned=[b"\0" + b"\1" * (TOKENS - 1)] * ROWS)
    gpt2 = GPT2Config(attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    return {
        "BERT-base": (lambda: AutoModelForSequenceClassification.from_config(BertConfig()), labelled, Classifier(0)),
        "GPT-2 small": (
            lambda: AutoModelForCausalLM.from_config(gpt2),
            written,
            Language(packs=True, tokens_per_forward=8_192, hidden_size=768),
        ),
    }


def main() -> None:
    """Count, time, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    verdicts, measurements = [], []
    for name, (make, rows, objective) in models().items():
        kept, beside, seconds, losses = dict[str, int](), dict[str, int](), {False: [], True: []}, {}
        learners = {}
        for again in (False, True):
            torch.manual_seed(0)
            model = make().train()
            if again:
                compute_again(model)
            with for_training(0):
                for precision in FORMATS:
                    how = f"{precision}, {'computed again' if again else 'kept'}"
                    kept[how], beside[how] = activations(model, rows, objective, precision)
            learners[again] = make_learner(model, objective, precision="fp32")
        with for_training(0):
            for number in range(options.rounds + 1):
                for again, learner in learners.items():
                    torch.manual_seed(number)
                    start = time.perf_counter()
                    result = take_step(learner, rows, list(range(TIMED_ROWS)), learning_rate=1e-5, step=number)
                    if number:  # the first warms up
                        seconds[again].append(time.perf_counter() - start)
                    losses[again] = result.loss_sum
        if losses[False] != losses[True]:
            raise SystemExit(f"{name}: the loss is {losses[True]} with and {losses[False]} without")
        for saved in ("fp32, computed again", "bf16, kept"):
            share = Interval.exact(kept[saved] / kept["fp32, kept"], n=1, unit="fraction")
            verdicts.append(
                judge(share, at_most(HALF_TO_A_HUNDREDTH), rule="activation_memory", subject=f"{name}, {saved}")
            )
        ratio = time_ratio(np.array(seconds[True]), np.array(seconds[False]))
        measurements += [
            Measurement(name="step_time", subject=name, interval=ratio),
            *counted("activation_bytes", name, kept),
            *counted("bytes_beside", name, beside),
        ]
    print(
        write_results(
            "activation_memory",
            verdicts=verdicts,
            measurements=measurements,
            parameters={"rows": ROWS, "tokens": TOKENS, "rounds": options.rounds},
            notes=["step_time: seconds with over seconds without", "bytes_beside: kept whatever the rows"],
        )
    )


def activations(model: PreTrainedModel, rows: Rows, objective: Objective, precision: Precision) -> tuple[int, int]:
    """Bytes kept of all rows that grow with them, and those that do not."""
    return growing(lambda count: kept_bytes(model, rows, objective, range(count), precision).total, ROWS)


def growing(kept: Callable[[int], int], rows: int) -> tuple[int, int]:
    """Of the bytes that are kept of so many rows, those that grow with them, and those that do not."""
    some, every = kept(rows // 2), kept(rows)
    return 2 * (every - some), every - 2 * (every - some)


def counted(what: str, name: str, kept: dict[str, int]) -> list[Measurement]:
    """Bytes of a model as measurements."""
    return [
        Measurement(name=what, subject=f"{name}, {how}", interval=Interval.exact(count, n=1, unit="bytes"))
        for how, count in kept.items()
    ]


if __name__ == "__main__":
    main()
