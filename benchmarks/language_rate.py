"""Which peak learning rate is the default for small language models: SmolLM2-135M on the rows of language_speed.py.

    modelyard fetch smollm2
    python benchmarks/language_rate.py          # about 8 minutes on two cores

Every rate, given for 32 rows a step and scaled by the square root of the batch as `train` does, trains one epoch from
the same model with the same seeds; the loss of a learned token on the same validation rows is compared with that of the
default, row by row. The published rates on both sides: 2e-5 at 64 rows (Touvron et al. 2023, Llama 2) and 1e-3 at 128
rows (alignment-handbook, recipes/smollm2/sft/config_smol.yaml).

Writes `results/language_rate.json`.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from language_ours import rows_of
from language_speed import write_rows
from results_file import write_results

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.ratio import ratio_of_sums
from modelyard.evidence.report import Measurement
from modelyard.training.base import load_causal
from modelyard.training.batches import Rows
from modelyard.training.derive import DECODERS
from modelyard.training.language import language
from modelyard.training.loop import evaluate, fit, schedule
from modelyard.training.surroundings import keeping_freed_memory, quiet_transformers, reproducible

RATES = (1.4e-5, 5e-5, 1e-4, 2e-4, 5e-4)
"""At 32 rows: the first and the last are the two published ones, scaled."""
SEEDS = (0,)


def main() -> None:
    """Train with each, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/language-rate"))
    parser.add_argument("--rows", type=int, default=64)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    settings, tokens = write_rows(options.work, options.rows)
    given = json.loads((options.work / "rows.json").read_text())
    train, validation = rows_of(given["train"]), rows_of(given["validation"])
    found = {rate: np.mean([losses(given, train, validation, rate, seed) for seed in SEEDS], axis=0) for rate in RATES}
    with quiet_transformers():
        model = load_causal(Path(given["base"]))
    before = evaluate(model, validation, language(model, train))[:, 0].astype(np.float64)
    default = DECODERS.small_rate.value
    measurements = [
        Measurement(
            name="validation_loss",
            subject=name,
            interval=Interval.exact(float(loss.sum() / tokens.sum()), n=len(tokens), unit="nats"),
        )
        for name, loss in [("before", before), *((f"{rate:g}", loss) for rate, loss in found.items())]
    ]
    verdicts = [
        judge(
            ratio_of_sums(found[default] - loss, tokens, unit="nats"),
            at_most(0.05),
            rule="loss_above_rate",
            subject=f"{default:g} against {rate:g}",
        )
        for rate, loss in found.items()
        if rate != default
    ]
    print(
        write_results(
            "language_rate",
            verdicts=verdicts,
            measurements=measurements,
            parameters={"seeds": list(SEEDS), **{k: v for k, v in settings.items() if k != "learning_rate"}},
        )
    )


def losses(given: dict[str, Any], train: Rows, validation: Rows, rate: float, seed: int) -> np.ndarray:
    """The loss of each validation row after one epoch, in nats."""
    with reproducible(seed), quiet_transformers(), keeping_freed_memory():
        model = load_causal(Path(given["base"]))
        objective = language(model, train)
        rows_per_step = len(train.ids) * given["tokens_per_batch"] / sum(train.lengths)
        steps = list(
            schedule(
                train.lengths,
                epochs=1,
                tokens_per_batch=given["tokens_per_batch"],
                learning_rate=rate * math.sqrt(rows_per_step / DECODERS.small_rate.rows),
                evaluations_per_epoch=1,
                seed=seed,
                packs=objective.packs,
            )
        )
        done = fit(
            model,
            train,
            validation,
            objective,
            steps,
            precision="fp32",
            seed=seed,
            record=lambda figures: None,
        )
    print(rate, seed, done.history[-1]["validation_loss"], flush=True)
    return done.outputs[:, 0].astype(np.float64)


if __name__ == "__main__":
    main()
