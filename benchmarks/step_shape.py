"""What a step of a classifier should have as many of, rows or tokens, and what its losses are divided by.

    python benchmarks/step_shape.py --project .work/reviews      # ten minutes on two cores; after `make demo`

The demo's MiniLM, one epoch over 2,048 reviews in as many steps, three ways: steps of as many rows, whose losses are
divided by what a step counts on average, as the product trains; steps of as many tokens (fewer rows where
reviews are long), divided by that average too; and those divided by what each step counts itself, as most
loops do. Each with several seeds. Compared is the loss of the same validation rows, the mean over the seeds.

Writes `results/step_shape.json`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from results_file import write_results
from training_ours import course
from training_speed import write_reviews
from training_turns import has_bf16

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.ratio import ratio_of_sums
from modelyard.evidence.report import Measurement
from modelyard.training.formats import Precision
from modelyard.training.loop import evaluate, mean_weight
from modelyard.training.step import make_learner, take_step
from modelyard.training.surroundings import for_training

ROWS, VALIDATION_ROWS, SEEDS = 2_048, 1_000, 4
OURS = "as many rows"
WAYS = {OURS: (True, True), "as many tokens": (False, True), "as many tokens, by its own mean": (False, False)}
"""Way -> whether steps have as many rows, not tokens, and whether losses are divided by the average of all steps."""


def main() -> None:
    """Train each way, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--work", type=Path, default=Path(".work/step-shape"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    precision: Precision = "bf16" if has_bf16() else "fp32"
    validation, settings = write_reviews(options.project, options.work, ROWS, VALIDATION_ROWS)
    found: dict[str, list[NDArray[np.float64]]] = {way: [] for way in WAYS}
    for seed in range(options.seeds):
        for way, (by_rows, on_average) in WAYS.items():
            losses = trained(options.work, precision, seed, by_rows=by_rows, on_average=on_average)
            found[way].append(losses)
            print(way, seed, round(float(losses.mean()), 4), flush=True)
    mean = {way: np.mean(losses, axis=0) for way, losses in found.items()}
    verdicts, measurements = [], []
    for way, losses in found.items():
        of_seeds = sorted(float(one.mean()) for one in losses)
        for name, value in (("lowest", of_seeds[0]), ("mean", float(np.mean(of_seeds))), ("highest", of_seeds[-1])):
            exact = Interval.exact(value, n=len(of_seeds), unit="nats")
            measurements.append(Measurement(name=f"validation_loss_{name}", subject=way, interval=exact))
        if way != OURS:
            above = ratio_of_sums(mean[OURS] - mean[way], validation.weights.astype(np.float64), unit="nats")
            verdicts.append(judge(above, at_most(0), rule="loss_above_other_steps", subject=way))
    print(
        write_results(
            "step_shape",
            verdicts=verdicts,
            measurements=measurements,
            parameters=settings | {"precision": precision, "seeds": options.seeds},
            notes=["lowest, mean and highest are over seeds; intervals are over validation rows, not over seeds"],
        )
    )


def trained(work: Path, precision: Precision, seed: int, *, by_rows: bool, on_average: bool) -> NDArray[np.float64]:
    """One epoch; the loss of each validation row in nats, shape (rows,)."""
    with for_training(seed):
        model, objective, train, validation, steps = course(work, seed, by_rows=by_rows)
        torch.manual_seed(seed)
        weight = mean_weight(train, steps) if on_average else None
        learner = make_learner(model.train(), objective, precision=precision, step_weight=weight)
        for now in steps:
            take_step(learner, train, now.batch, learning_rate=now.learning_rate, step=now.step)
        losses, _ = objective.judged(evaluate(model, validation, objective), validation)
    return losses


if __name__ == "__main__":
    main()
