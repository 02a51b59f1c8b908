"""One epoch of a language model as Modelyard steps through it, for language_speed.py: `language_ours.py WORK SEED`.

One JSON line of figures is printed: the time of the epoch, and of one median batch the time of its step and of its
matrix products alone.
"""

import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modelyard.artifacts.reports import own_peak_bytes
from modelyard.training.base import load_causal
from modelyard.training.batches import Rows, cut
from modelyard.training.language import Language, language
from modelyard.training.loop import evaluate, schedule
from modelyard.training.step import DTYPES, Precision, make_learner, take_step
from modelyard.training.surroundings import keeping_freed_memory, quick_dropout, quiet_transformers, reproducible
from modelyard.training.watching import padding_share

TIMED = 3


def rows_of(split: dict[str, Any]) -> Rows:
    """The encoded rows of one split."""
    return Rows(split["ids"], [str(n) for n in range(len(split["ids"]))], learned=[bytes(m) for m in split["marks"]])


def main() -> None:
    """Train, time, tell."""
    work, seed = Path(sys.argv[1]), int(sys.argv[2])
    given = json.loads((work / "rows.json").read_text())
    train, validation = rows_of(given["train"]), rows_of(given["validation"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision: Precision = "bf16" if device.type == "cuda" else "fp32"
    with reproducible(seed), quiet_transformers(), keeping_freed_memory(), quick_dropout():
        model = load_causal(Path(given["base"])).to(device)
        objective = language(model, train)
        steps = list(
            schedule(
                train.lengths,
                epochs=1,
                tokens_per_batch=given["tokens_per_batch"],
                learning_rate=given["learning_rate"],
                evaluations_per_epoch=1,
                seed=seed,
                packs=objective.packs,
            )
        )
        typical = sorted((now.batch for now in steps), key=lambda batch: sum(train.lengths[i] for i in batch))
        batch = typical[len(typical) // 2]
        step_seconds = timed(steps_on_a_copy(model, train, batch, objective, precision), device)
        matrix_seconds = timed(products(model, train, batch, objective, precision), device)
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
        losses = evaluate(model, validation, objective)[:, 0]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "tokens": sum(train.lengths),
                "padding": padding_share([now.batch for now in steps], train, objective),
                "steps": len(steps),
                "peak_bytes": peak,
                "step_seconds": step_seconds,
                "matrix_seconds": matrix_seconds,
                "losses": losses.tolist(),
            }
        )
    )


def steps_on_a_copy(
    model: PreTrainedModel, rows: Rows, batch: list[int], objective: Language, precision: Precision
) -> Callable[[], object]:
    """A whole step, update included."""
    learner = make_learner(copy.deepcopy(model).train(), objective, precision=precision)
    return lambda: take_step(learner, rows, batch, learning_rate=0.0, step=0)


def products(
    model: PreTrainedModel, rows: Rows, batch: list[int], objective: Language, precision: Precision
) -> Callable[[], None]:
    """The matrix products of a step on a batch: of every linear layer forward and both backward, not of attention."""
    head = model.get_output_embeddings()
    kind, device = DTYPES[precision], model.device
    work = []
    for part in cut(batch, rows.lengths, objective.tokens_per_forward, packs=objective.packs):
        places, learned = objective.places(rows, part), rows.weight(part)
        for module in model.modules():
            if isinstance(module, (torch.nn.Linear, Conv1D)):
                count = learned if module is head else places
                weight = module.weight.detach().to(kind)
                weight = weight.T if isinstance(module, Conv1D) else weight  # GPT-2 keeps them the other way round
                given = torch.randn(count, weight.shape[1], dtype=kind, device=device)
                back = torch.randn(count, weight.shape[0], dtype=kind, device=device)
                work.append((given, weight, back))

    def run() -> None:
        for given, weight, back in work:
            given @ weight.T
            back @ weight
            back.T @ given

    return run


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Median seconds, after one that is not counted."""
    found = []
    for _ in range(TIMED + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()
