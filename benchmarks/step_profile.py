"""Where the time of a training step goes, by operator: MiniLM, SmolLM2-135M, and GPT-2-small with its dropout.

    python benchmarks/step_profile.py --project .work/reviews      # one minute on two cores; after `make demo`

The rows, steps and formats of training_speed.py and language_speed.py. Three steps of median size are profiled by
torch's own profiler, after one that is not, and the time that each operator takes by itself is summed by what it does.
It says why the matrix products do not take more of a step.

Writes `results/step_profile.json`.
"""

import argparse
import re
from pathlib import Path

import torch
from language_speed import SETUPS, write_language
from results_file import write_results
from torch.profiler import ProfilerActivity, profile
from training_ours import course, median_batch
from training_speed import write_reviews
from training_turns import has_bf16

from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Measurement
from modelyard.training.formats import Precision
from modelyard.training.step import make_learner, take_step
from modelyard.training.surroundings import for_training

STEPS = 3
KINDS = {
    "loss over the vocabulary": "log_softmax|nll",
    "attention": "attention|bmm|softmax|isneginf|::all$",
    "products with weights": "mm$|linear|matmul",
    "update": "adamw",
    "dropout": "dropout|bernoulli|random",
    "clearing of new tensors": "fill|zero",
    "casts and copies": "copy|_to$|clone|contiguous|cat$",
    "embeddings": "embedding|index|gather|scatter",
    "norms": "norm|mean|rsqrt|pow",
    "activations": "gelu|silu|tanh|relu",
    "sums, products and masks of places": "add|mul|sub|div|sum|where|mask|neg|bitwise|eq$|lt$|ge$",
}
"""What an operator is counted to: the first kind whose pattern its name has."""


def main() -> None:
    """Profile each model, sum, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--work", type=Path, default=Path(".work/step-profile"))
    options = parser.parse_args()
    precision: Precision = "bf16" if has_bf16() else "fp32"
    write_reviews(options.project, options.work / "minilm", 2_048, 1_000)
    for model in SETUPS:
        write_language(model, options.work / model, SETUPS[model].rows)
    measurements = []
    for name in ("minilm", *SETUPS):
        shares = shares_by_kind(options.work / name, precision)
        for kind, share in sorted(shares.items(), key=lambda item: -item[1]):
            exact = Interval.exact(share, n=STEPS, unit="fraction")
            measurements.append(Measurement(name="share_of_step", subject=f"{name}, {kind}", interval=exact))
            print(f"{name}, {kind}: {share:.1%}", flush=True)
    print(
        write_results(
            "step_profile",
            verdicts=[],
            measurements=measurements,
            parameters={"precision": precision, "steps": STEPS, "kinds": KINDS},
            notes=["shares of the operators' own time; what the profiler itself costs falls on the small ones"],
        )
    )


def shares_by_kind(work: Path, precision: Precision) -> dict[str, float]:
    """The share of each kind of operator in the time of a step on the batch of median size."""
    with for_training(0):
        model, objective, train, _, steps = course(work, 0)
        batch = median_batch([now.batch for now in steps], train)
        torch.manual_seed(0)
        learner = make_learner(model.train(), objective, precision=precision)
        take_step(learner, train, batch, learning_rate=1e-5, step=0)
        with profile(activities=[ProfilerActivity.CPU]) as trace:
            for step in range(STEPS):
                take_step(learner, train, batch, learning_rate=1e-5, step=step)
    found: dict[str, float] = {}
    for event in trace.key_averages():
        kind = next((kind for kind, names in KINDS.items() if re.search(names, event.key.lower())), "the rest")
        found[kind] = found.get(kind, 0.0) + event.self_cpu_time_total
    return {kind: took / sum(found.values()) for kind, took in found.items()}


if __name__ == "__main__":
    main()
