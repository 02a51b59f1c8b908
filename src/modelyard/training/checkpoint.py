"""A checkpoint: all that a training needs to go on as if it had never stopped, in a folder that is whole or absent.

Its tensors are whole, however many processes trained and however they shared the model.

model.checkpoints/lock    of the training that is going
model.checkpoints/step-000000120/
  weights.safetensors     of the model
  optimiser.safetensors   step and both moments of every weight, by its number
  best.safetensors        weights and outputs of the lowest validation loss; absent before the first evaluation
  random.safetensors      state of torch's generators
  state.json              everything else, and the digest of each file above: written last
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from modelyard.artifacts.files import digest_file, replacing_folder, write_json
from modelyard.artifacts.reports import describe_machine, installed_versions
from modelyard.errors import InputError, Problem
from modelyard.training.checkpoint_folder import (
    BEST,
    MARK,
    OPTIMISER,
    RANDOM,
    WEIGHTS,
    elsewhere,
    keep_newest,
    make_room,
)
from modelyard.training.checkpoint_state import OF_COURSE, About, Course, Saved, State, device_name
from modelyard.training.sharding import divided, is_sharded, put, undivided, whole
from modelyard.training.step import Learner

_OUTPUTS = "\x01outputs"
"""Among the best weights; no module has a name with a control character."""


def save(
    folder: Path,
    learner: Learner,
    course: Course,
    about: About,
    *,
    after: int,
    trained_seconds: float,
    restarts: int,
    elsewhere: Sequence[str] = (),
) -> None:
    """Write a checkpoint after a step, and remove all but the newest `KEPT`; every process of the group calls it.

    Args:
        folder: of the checkpoints.
        learner: model, optimiser and scaler.
        course: at least one step of it taken.
        about: what it belongs to.
        after: the step of the checkpoint before it, 0 where there is none.
        trained_seconds: until now, earlier attempts included.
        restarts: how often the training went on from a checkpoint.
        elsewhere: as in `State`.

    Raises:
        InputError: it cannot be written; those before it are as they were.
    """
    random = learner.group.gather(_random(learner.model.device))
    files = _tensors(learner, course, random)
    if learner.group.first:
        taken = {"trained_seconds": trained_seconds, "restarts": restarts, "elsewhere": list(elsewhere)}
        make_room(folder, after)
        _write(folder, learner, course, about, files, taken)
    for _ in files:  # whoever writes nothing has a part in each
        pass
    learner.group.wait()


def _write(
    folder: Path,
    learner: Learner,
    course: Course,
    about: About,
    files: Iterator[tuple[str, Mapping[str, torch.Tensor]]],
    taken: Mapping[str, Any],
) -> None:
    with replacing_folder(folder / f"step-{course.step:09d}", mark=MARK) as place:
        digests = {}
        for name, tensors in files:
            _write_tensors(_apart(tensors), place / name)
            digests[name] = digest_file(place / name)
            del tensors  # or they stay until the next file's are gathered
        state = State(
            training=dict(about.training),
            precision=about.precision,
            precision_reason=about.precision_reason,
            tokens_per_forward=int(about.tokens_per_forward.value),
            tokens_per_forward_reason=about.tokens_per_forward.reason,
            **{name: getattr(course, name) for name in OF_COURSE},
            scaler=learner.scaler.state_dict(),
            **taken,
            threads=torch.get_num_threads(),
            processes=learner.group.size,
            sharded=is_sharded(learner.model),
            processor=describe_machine()["processor"],
            device=device_name(),
            versions=installed_versions(),
            digests=digests,
        )
        write_json(place / MARK, state)
    keep_newest(folder)


def restore(saved: Saved, learner: Learner) -> Course:
    """Put the learner and torch's generators back to where they were.

    Args:
        saved: from `newest`.
        learner: fresh, around a model of the same architecture.

    Returns:
        The course as it was.

    Raises:
        InputError: its tensors do not fit the model.
    """
    state, device, sharded = saved.state, learner.model.device, is_sharded(learner.model)
    try:
        put(learner.model, load_file(saved.folder / WEIGHTS, device="cpu" if sharded else str(device)))
        learner.optimiser.load_state_dict(_optimiser_state(learner, load_file(saved.folder / OPTIMISER)))
        learner.scaler.load_state_dict(state.scaler)
        _set_random(load_file(saved.folder / RANDOM), learner.group.rank, device)
    except torch.OutOfMemoryError:  # the checkpoint is not at fault
        raise
    except (RuntimeError, ValueError, LookupError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        why, next_step = elsewhere(saved)
        message = f"the checkpoint does not fit this model: {reason}{why}"
        raise InputError(Problem(message, next_step, str(saved.folder))) from error
    best = load_file(saved.folder / BEST) if state.best_step else {}
    outputs = best.pop(_OUTPUTS).numpy() if best else np.empty(0, np.float32)
    if sharded and not learner.group.first:
        best = undivided(learner.model, best)
    return Course(**state.model_dump(include=set(OF_COURSE)), best_weights=best, best_outputs=outputs)


def _tensors(
    learner: Learner, course: Course, random: Sequence[Mapping[str, torch.Tensor]]
) -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    """Each file and its tensors, one after the other; whole in the first process."""
    first = learner.group.first
    yield WEIGHTS, dict(whole(learner.model.state_dict(), first=first))
    states = learner.optimiser.state_dict()["state"].items()
    moments = {f"{number}.{name}": value for number, of_one in states for name, value in of_one.items()}
    yield OPTIMISER, dict(whole(moments, first=first))
    yield RANDOM, {f"{rank}.{name}": state for rank, states in enumerate(random) for name, state in states.items()}
    if course.best_step:
        yield BEST, course.best_weights | {_OUTPUTS: torch.from_numpy(course.best_outputs)}


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors on the CPU; where two share their memory, as tied weights do, copies: safetensors refuses those."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        pointer = plain.untyped_storage().data_ptr()
        apart[name] = plain.clone() if pointer in seen else plain
        seen.add(pointer)
    return apart


def _write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
        with path.open("rb+") as written:  # or a power cut takes it after the one before was pruned
            os.fsync(written.fileno())
    except (SafetensorError, OSError) as error:  # the former is its word for what the system refused
        size = sum(tensor.nbytes for tensor in tensors.values())
        message = f"the checkpoint's {path.name} ({size / 1e6:,.1f} MB) cannot be written: {error}"
        next_step = (
            "free some space, then run the same command again: it goes on from the last checkpoint, or begins anew"
        )
        raise InputError(Problem(message, next_step, str(path.parent.parent))) from error


def _optimiser_state(learner: Learner, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    weights = [weight for parameters in learner.optimiser.param_groups for weight in parameters["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        like = weights[int(number)] if tensor.ndim else None  # the count of steps is a number in every process
        state.setdefault(int(number), {})[name] = divided(tensor, like)
    return learner.optimiser.state_dict() | {"state": state}


def _random(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random(states: Mapping[str, torch.Tensor], rank: int, device: torch.device) -> None:
    """Put the generators back; a process that was not there when they were saved goes on with what it began with."""
    if f"{rank}.cpu" in states:
        torch.set_rng_state(states[f"{rank}.cpu"])
    if device.type == "cuda" and f"{rank}.cuda" in states:
        torch.cuda.set_rng_state(states[f"{rank}.cuda"], device)
