"""One epoch as Modelyard steps through it, for training_turns.py: `training_ours.py WORK SEED PRECISION`.

`WORK/rows.json` holds the base folder, the labels of a classifier, the settings and the encoded rows; one JSON line of
figures is printed: the time of the epoch, and of one median batch the time of its step and of its matrix products.
`auto` is timed before the clock: the peers have no such choice to make, so its time is told apart. A plan shorter than
what it takes to pay is given to it several times over, because here the length is the benchmark's, not the training's.
"""

import copy
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peak_memory
import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modelyard.training.base import load_causal, load_with_new_head
from modelyard.training.batches import Rows, cut
from modelyard.training.classifier import Classifier
from modelyard.training.formats import DTYPES, Precision
from modelyard.training.language import language
from modelyard.training.loop import Scheduled, evaluate, mean_weight, schedule
from modelyard.training.objective import Objective
from modelyard.training.precision import LEAST_STEPS, choose_precision
from modelyard.training.step import make_learner, take_step
from modelyard.training.surroundings import for_training
from modelyard.training.watching import padding_share

TIMED = 3


class Course(NamedTuple):
    """A model before its training, what it learns, what it is judged by, and every step."""

    model: PreTrainedModel
    objective: Objective
    train: Rows
    validation: Rows
    steps: list[Scheduled]


def course(work: Path, seed: int, *, by_rows: bool | None = None) -> Course:
    """What `training_turns.write_rows` wrote, on the GPU where there is one; `by_rows` as in `plan`, None: as we do."""
    given = json.loads((work / "rows.json").read_text())
    train, validation = rows_of(given["train"]), rows_of(given["validation"])
    device, labels = "cuda" if torch.cuda.is_available() else "cpu", given["labels"]
    objective: Objective
    if labels is None:
        model = load_causal(Path(given["base"])).to(device)
        objective = language(model, train)
    else:
        model = load_with_new_head(Path(given["base"]), labels, seed=seed).to(device)
        objective = Classifier(int(model.config.pad_token_id))
    steps = schedule(
        train.lengths,
        epochs=1,
        tokens_per_batch=given["tokens_per_batch"],
        learning_rate=given["learning_rate"],
        evaluations_per_epoch=1,
        seed=seed,
        packs=objective.packs,
        by_rows=not train.learned if by_rows is None else by_rows,
    )
    return Course(model, objective, train, validation, list(steps))


def rows_of(split: dict[str, Any]) -> Rows:
    """The encoded rows of one split."""
    return Rows(
        split["ids"],
        [str(n) for n in range(len(split["ids"]))],
        np.array(split["labels"], dtype=np.int64),
        [bytes(marks) for marks in split["learned"]],
    )


def main() -> None:
    """Train, time, tell."""
    work, seed, wanted = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with for_training(seed):
        model, objective, train, validation, steps = course(work, seed)
        batches = [now.batch for now in steps]
        start = time.perf_counter()
        repeated = batches * math.ceil(LEAST_STEPS / len(batches))
        precision, _, _ = choose_precision(model, train, repeated, objective, wanted=wanted)
        choosing = time.perf_counter() - start
        batch = median_batch(batches, train)
        step_seconds = timed(steps_on_a_copy(model, train, batch, objective, precision))
        matrix_seconds = timed(products(model, train, batch, objective, precision))
        peak_memory.begin()
        torch.manual_seed(seed)
        start = time.perf_counter()
        weight = mean_weight(train, steps)
        learner = make_learner(model.train(), objective, precision=precision, step_weight=weight)
        for now in steps:
            take_step(learner, train, now.batch, learning_rate=now.learning_rate, step=now.step)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        peak = peak_memory.peak_bytes()
        losses, _ = objective.judged(evaluate(model, validation, objective), validation)
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
                "step_seconds": step_seconds,
                "matrix_seconds": matrix_seconds,
                "losses": losses.tolist(),
            }
        )
    )


def median_batch(batches: Sequence[list[int]], rows: Rows) -> list[int]:
    """The batch of median size."""
    return sorted(batches, key=lambda batch: sum(rows.lengths[index] for index in batch))[len(batches) // 2]


def steps_on_a_copy(
    model: PreTrainedModel, rows: Rows, batch: list[int], objective: Objective, precision: Precision
) -> Callable[[], object]:
    """A whole step, update included."""
    learner = make_learner(copy.deepcopy(model).train(), objective, precision=precision)
    return lambda: take_step(learner, rows, batch, learning_rate=0.0, step=0)


def products(
    model: PreTrainedModel, rows: Rows, batch: list[int], objective: Objective, precision: Precision
) -> Callable[[], None]:
    """The matrix products of a step on a batch: of every linear layer forward and both backward, not of attention."""
    kind, device = DTYPES[precision], model.device
    work = []
    for weight, count in linear_layers(model, rows, batch, objective):
        weight = weight.to(kind)
        given = torch.randn(count, weight.shape[1], dtype=kind, device=device)
        back = torch.randn(count, weight.shape[0], dtype=kind, device=device)
        work.append((given, weight, back))

    def run() -> None:
        for given, weight, back in work:
            given @ weight.T
            back @ weight
            back.T @ given

    return run


def linear_layers(
    model: PreTrainedModel, rows: Rows, batch: list[int], objective: Objective
) -> list[tuple[torch.Tensor, int]]:
    """Of each call of a linear layer in a step, the weight, shape (outputs, inputs), and the places given to it."""
    called: list[tuple[torch.Tensor, int]] = []

    def note(module: torch.nn.Module, given: tuple[torch.Tensor, ...], _: object) -> None:
        weight = module.weight.detach()
        weight = weight.T if isinstance(module, Conv1D) else weight  # GPT-2 keeps them the other way round
        called.append((weight, given[0].numel() // weight.shape[1]))

    layers = [module for module in model.modules() if isinstance(module, (torch.nn.Linear, Conv1D))]
    handles = [module.register_forward_hook(note) for module in layers]
    with torch.no_grad():
        for part in cut(batch, rows.lengths, objective.tokens_per_forward, padded=not objective.packs):
            objective.read(rows, part)(model)
    for handle in handles:
        handle.remove()
    return called


def timed(work: Callable[[], object]) -> float:
    """Median seconds, after one that is not counted."""
    found = []
    for _ in range(TIMED + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()
