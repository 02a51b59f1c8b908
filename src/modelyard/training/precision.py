"""`precision: auto`: the number format in which a step is fastest on this machine, with this model and these rows."""

import copy
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

import torch
from transformers import PreTrainedModel

from modelyard.errors import InputError, Problem
from modelyard.progress import Progress, silent
from modelyard.training.batches import Rows
from modelyard.training.derive import SET
from modelyard.training.formats import Precision
from modelyard.training.group import ALONE, Group
from modelyard.training.memory import CAST_BYTES, TRAINED_BYTES, USED_SHARE, free_bytes, largest, pass_bytes
from modelyard.training.objective import Objective
from modelyard.training.sharding import is_sharded, tried_out
from modelyard.training.step import Learner, loss_scaler, make_learner, take_step

# fp32 is exact and never diverges: another format must save a tenth of the time or more, beyond what timing jitters
CLEARLY_FASTER = 1.1
ROUNDS = 5  # timed steps of each format, after one that is not counted
# a format that takes so many times the fastest one's time is not timed again: bf16 on a CPU that emulates it takes 20
HOPELESS = 5
# timing two formats costs as much as about 12 steps: below this it cannot pay
LEAST_STEPS = 60
log = logging.getLogger(__name__)
NO_ROOM = "the memory does not hold a copy of the model for every format: train.precision sets one"


def candidates(device: torch.device) -> list[Precision]:
    """Formats worth timing on a device, fp32 first."""
    if device.type != "cuda":
        return ["fp32", "bf16"]  # fp16 is emulated on a CPU
    return ["fp32", "bf16", "fp16"] if torch.cuda.is_bf16_supported() else ["fp32", "fp16"]


def check_precision(wanted: str, device: torch.device) -> None:
    """Refuse a format that a device does not have.

    Raises:
        InputError: fp16 without a CUDA GPU.
    """
    if wanted == "fp16" and device.type != "cuda":
        raise InputError(
            Problem(
                "train.precision is fp16, which needs a CUDA GPU, and this machine has none",
                "set train.precision: auto",
                "modelyard.yaml",
            )
        )


def pick(seconds: Mapping[str, Sequence[float]]) -> Precision:
    """The format with the lowest median, where it beats that of fp32 clearly; else fp32."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    fastest = min(medians, key=lambda name: medians[name])
    return cast("Precision", fastest) if medians["fp32"] >= CLEARLY_FASTER * medians[fastest] else "fp32"


def time_in_turns(
    work: Mapping[str, Callable[[], None]],
    *,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress = silent,
) -> tuple[dict[str, list[float]], dict[str, InputError]]:
    """Seconds of each piece of work, one after the other in every round, so that a busy moment hits them alike.

    Work that raises an InputError in any round is left out: it has no seconds, and its error is returned. Work that
    takes `HOPELESS` times as long as the fastest of its round, be it the one that warms up, is not done again.

    Args:
        work: name -> what is timed.
        rounds: timed ones; one before them warms up and is not counted.
        clock: in seconds.
        progress: told after each round.

    Returns:
        Name -> seconds of each timed round; name -> error of what was left out.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    failed: dict[str, InputError] = {}
    progress("time the precisions", 0, rounds + 1)
    going = list(work)
    for turn in range(rounds + 1):
        took: dict[str, float] = {}
        for name in going:
            start = clock()
            try:
                work[name]()
            except InputError as error:
                failed[name] = error
                del seconds[name]
                continue
            took[name] = clock() - start
        hopeless = {name for name, time in took.items() if time > HOPELESS * min(took.values())}
        going = [name for name in took if name not in hopeless]
        for name in took if turn > 0 else hopeless:
            seconds[name].append(took[name])
        progress("time the precisions", turn + 1, rounds + 1)
    return seconds, failed


def choose_precision(
    model: PreTrainedModel,
    rows: Rows,
    batches: Sequence[Sequence[int]],
    objective: Objective,
    *,
    wanted: str,
    group: Group = ALONE,
    progress: Progress = silent,
) -> tuple[Precision, str, dict[str, list[float]]]:
    """The precision to train in, the reason, and the seconds of each timed step by precision.

    Whole steps are timed, update included, on a copy of the model and the batch of median size. A format in which a
    step's loss or gradient is not finite is left out, and the reason says so. Of a sharded model there is no room for a
    copy: all processes step on it together, at a learning rate of 0, by the clock of the first.

    Args:
        model: as it will be trained; unchanged.
        rows: of the train split.
        batches: of every step that is planned.
        objective: what is minimised.
        wanted: `train.precision`.
        group: the processes that share the model, where it is sharded.
        progress: told after each round.

    Raises:
        InputError: this machine does not have the precision, or a step's loss is not finite in fp32 either.
    """
    check_precision(wanted, model.device)
    if wanted != "auto":
        return cast("Precision", wanted), SET, {}
    if len(batches) < LEAST_STEPS:
        return "fp32", f"training takes {len(batches)} steps, too few for timing other formats to pay", {}
    typical = sorted(batches, key=lambda batch: sum(rows.lengths[index] for index in batch))[len(batches) // 2]
    if not (is_sharded(model) or _has_room(model, rows, typical, objective)):
        return "fp32", NO_ROOM, {}
    try:
        found = _timed(model, rows, typical, objective, group, progress)
    except torch.OutOfMemoryError:
        if is_sharded(model):  # the others are in the midst of a pass
            raise
        found = None
    if found is None:
        torch.cuda.empty_cache()  # what the error's traceback held is free only now
        return "fp32", NO_ROOM, {}
    seconds, failed = found
    if "fp32" in failed:
        raise failed["fp32"]
    chosen = pick(seconds)
    # not in the reason: the report of an equal training is equal, and no clock is
    told = ", ".join(f"{name} {1000 * statistics.median(times):,.1f} ms" for name, times in seconds.items())
    log.info("a step takes %s (medians): %s is used", told, chosen)
    left_out = "".join(f"; {name} is left out: {error.problems[0].message}" for name, error in failed.items())
    return chosen, _reason(chosen, [name for name in seconds if name != chosen]) + left_out, seconds


def _has_room(model: PreTrainedModel, rows: Rows, batch: Sequence[int], objective: Objective) -> bool:
    """Whether the memory holds a copy of the model for every format and, where a GPU does not say so, a step of one."""
    weights = sum(weight.numel() for weight in model.parameters())
    needed: float = len(candidates(model.device)) * TRAINED_BYTES * weights
    if model.device.type != "cuda":
        needed += CAST_BYTES * weights + pass_bytes(model, rows, objective, largest([batch], rows, objective))
    return needed <= USED_SHARE * free_bytes(model.device)


def _timed(
    model: PreTrainedModel,
    rows: Rows,
    batch: Sequence[int],
    objective: Objective,
    group: Group,
    progress: Progress,
) -> tuple[dict[str, list[float]], dict[str, InputError]]:
    """What `time_in_turns` gives of a step on a batch in every format."""
    learner_in = _trials(model, objective, group)

    def step_in(precision: Precision) -> Callable[[], None]:
        learner = learner_in(precision)

        def run() -> None:
            take_step(learner, rows, batch, learning_rate=0.0, step=0)
            if model.device.type == "cuda":
                torch.cuda.synchronize()

        return run

    work: dict[str, Callable[[], None]] = {name: step_in(name) for name in candidates(model.device)}
    with tried_out(model):
        return time_in_turns(work, clock=_clock(model, group), progress=progress)


def _trials(model: PreTrainedModel, objective: Objective, group: Group) -> Callable[[Precision], Learner]:
    """What may take steps that are only tried: a copy for each format, or of a sharded model itself and one optimiser.

    The moments of a second one would take twice the room of the weights.
    """
    if not is_sharded(model):
        return lambda precision: make_learner(copy.deepcopy(model).train(), objective, precision=precision)
    one = make_learner(model.train(), objective, precision="fp32", group=group)
    return lambda precision: replace(one, precision=precision, scaler=loss_scaler(model, precision))


def _clock(model: PreTrainedModel, group: Group) -> Callable[[], float]:
    """Seconds; those of the first process where all must come to the same decisions."""
    return (lambda: group.from_first(time.perf_counter())) if is_sharded(model) else time.perf_counter


def step_on_copies(model: PreTrainedModel, rows: Rows, objective: Objective) -> None:
    """A whole step over the shortest and the longest row, in each format that a GPU trains in; on a CPU in fp32.

    Every process takes all of these rows, so that what an operation raises it raises in all. On a CPU `check_copy` has
    seen that there is room.
    """
    order = sorted(range(len(rows.ids)), key=lambda index: len(rows.ids[index]))
    formats: list[Precision] = candidates(model.device) if model.device.type == "cuda" else ["fp32"]
    learner_in = _trials(model, objective, ALONE)
    # told by the training itself; a sharded process that has no more memory leaves the others in the midst of a pass
    passed_over = (InputError,) if is_sharded(model) else (InputError, torch.OutOfMemoryError)
    for precision in formats:
        with tried_out(model), suppress(*passed_over):
            # twice the shortest: two rows that lie side by side take a kernel of their own
            take_step(learner_in(precision), rows, [order[0], order[0], order[-1]], learning_rate=0.0, step=0)


def _reason(chosen: Precision, others: Sequence[str]) -> str:
    if not others:
        return "the only format in which a step can be taken"
    if chosen == "fp32":
        return f"no other format ({', '.join(others)}) is clearly faster on this machine"
    return f"clearly faster on this machine than {', '.join(others)}, timed on this model and these rows"
