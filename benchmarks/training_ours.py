"""One epoch as Modelyard steps through it, for benchmarks/training_speed.py: `training_ours.py WORK SEED`.

`WORK/rows.json` holds the base folder, the labels, the settings and the encoded rows; one JSON line of figures is
printed. A few steps on a copy come before the clock. `precision: auto` is timed before it too: Trainer has no such
choice to make, so its time is told apart.
"""

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelyard.artifacts.reports import own_peak_bytes
from modelyard.tasks.classification import losses
from modelyard.training.base import load_with_new_head
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier
from modelyard.training.loop import evaluate, schedule
from modelyard.training.precision import choose_precision
from modelyard.training.step import make_learner, take_step
from modelyard.training.surroundings import keeping_freed_memory, quick_dropout, quiet_transformers, reproducible
from modelyard.training.watching import padding_share


def rows_of(split: dict[str, Any]) -> Rows:
    """The encoded rows of one split."""
    return Rows(split["ids"], [str(n) for n in range(len(split["ids"]))], np.array(split["labels"], dtype=np.int64))


def main() -> None:
    """Train, time, tell."""
    work, seed = Path(sys.argv[1]), int(sys.argv[2])
    given = json.loads((work / "rows.json").read_text())
    train, validation = rows_of(given["train"]), rows_of(given["validation"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with reproducible(seed), quiet_transformers(), keeping_freed_memory(), quick_dropout():
        model = load_with_new_head(Path(given["base"]), given["labels"], seed=seed).to(device)
        objective = Classifier(int(model.config.pad_token_id))
        steps = list(
            schedule(
                train.lengths,
                epochs=1,
                tokens_per_batch=given["tokens_per_batch"],
                learning_rate=given["learning_rate"],
                evaluations_per_epoch=1,
                seed=seed,
            )
        )
        batches = [now.batch for now in steps]
        start = time.perf_counter()
        precision, _, _ = choose_precision(model, train, batches, objective, wanted="auto")
        choosing = time.perf_counter() - start
        warm = make_learner(copy.deepcopy(model).train(), objective, precision=precision)
        for now in steps[:3]:
            take_step(warm, train, now.batch, learning_rate=0.0, step=now.step)
        del warm
        if device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        torch.manual_seed(seed)
        start = time.perf_counter()
        learner = make_learner(model.train(), objective, precision=precision)
        for now in steps:
            take_step(learner, train, now.batch, learning_rate=now.learning_rate, step=now.step)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else own_peak_bytes()
        logits = evaluate(model, validation, objective)
    row_losses = losses(torch.from_numpy(logits).double(), torch.from_numpy(validation.labels))
    print(
        json.dumps(
            {
                "seconds": seconds,
                "choosing_seconds": choosing,
                "tokens": sum(train.lengths),
                "padding": padding_share(batches, train, objective),
                "steps": len(steps),
                "peak_bytes": peak,
                "precision": precision,
                "losses": row_losses.tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
