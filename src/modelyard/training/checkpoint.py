"""A checkpoint: all that a training needs to go on as if it had never stopped, in a folder that is whole or absent.

Its tensors are whole, however many processes trained and however they shared the model.

model.checkpoints/step-000000120/
  weights.safetensors     of the model
  optimiser.safetensors   step and both moments of every weight, by its number
  best.safetensors        weights and outputs of the lowest validation loss; absent before the first evaluation
  random.safetensors      state of torch's generators
  state.json              everything else, and the digest of each file above: written last
"""

import logging
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from modelyard.artifacts.documents import read_document, read_object
from modelyard.artifacts.files import digest_file, leftovers, replacing_folder, write_json
from modelyard.artifacts.reports import describe_machine, installed_versions
from modelyard.errors import InputError, Problem
from modelyard.training.derive import Derived
from modelyard.training.formats import Precision
from modelyard.training.group import Group
from modelyard.training.sharding import divided, is_sharded, put, undivided, whole
from modelyard.training.step import Learner

MARK = "state.json"
KEPT = 2
"""Checkpoints that stay: the newest, and the one before it for the day on which the newest is damaged."""
_WEIGHTS, _OPTIMISER, _BEST, _RANDOM = (f"{name}.safetensors" for name in ("weights", "optimiser", "best", "random"))
PLAN = "plan"
"""The fact of a training that is the digest of its batches."""
_OUTPUTS = "\x01outputs"
"""Among the best weights; no module has a name with a control character."""
_STEP_FOLDER = r"step-\d{9,}"
log = logging.getLogger(__name__)


@dataclass
class Course:
    """How far a training is; `fit` moves it on. A checkpoint is taken after a step, before its evaluation.

    Attributes:
        step: of the schedule, the last one taken; 0 before the first.
        loss_sum: of the rows since the last evaluation, in nats.
        weight_seen: of the rows since the last evaluation, see `Rows.weights`.
        gradient_norm: of the last step.
        updated: whether any step changed the weights; fp16 skips those whose gradient is not finite.
        history: one entry per evaluation.
        best_step: with the lowest validation loss; 0 before the first evaluation.
        best_weights: by name, on the CPU; of a sharded training what is divided in the first process only.
        best_outputs: of the validation rows, shape (rows, width of the objective).
    """

    step: int = 0
    loss_sum: float = 0.0
    weight_seen: int = 0
    gradient_norm: float = math.nan
    updated: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    best_outputs: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


_OF_COURSE = ("step", "loss_sum", "weight_seen", "gradient_norm", "updated", "history", "best_step")
"""The fields of `Course` that are no arrays, which `State` has too."""


@dataclass(frozen=True)
class About:
    """What a checkpoint belongs to.

    Attributes:
        training: every fact that decides the steps: data, base model, settings. Only an equal training goes on from it.
        precision: that it is trained in.
        precision_reason: why, in words.
        tokens_per_forward: the most of a forward pass, and why.
    """

    training: Mapping[str, Any]
    precision: Precision
    precision_reason: str
    tokens_per_forward: Derived


class State(BaseModel):
    """`state.json`; the fields of `Course` that are no arrays, what it belongs to, and how it came about.

    Attributes:
        schema_version: `schema` in JSON.
        training: as in `About`.
        precision: as in `About`.
        precision_reason: as in `About`.
        tokens_per_forward: as in `About`; None in those of versions that had the objective's own.
        tokens_per_forward_reason: as in `About`.
        step: as in `Course`, like those up to `best_step`.
        scaler: of the loss in fp16; empty otherwise.
        trained_seconds: until here, earlier attempts included.
        restarts: how often the training went on from a checkpoint before.
        threads: of torch on the CPU, on which the order of its sums depends.
        processes: that trained together.
        sharded: whether they divided the model among them.
        elsewhere: how the training went on before otherwise than it began, in words.
        processor: of the first process; None in those of versions that did not note it.
        device: that the model was on, a GPU's name or cpu; None as before.
        versions: of the libraries.
        digests: of every other file of the checkpoint.
    """

    # a number that is not finite has no other form in JSON
    model_config = ConfigDict(extra="forbid", populate_by_name=True, ser_json_inf_nan="strings")

    schema_version: Literal[1] = Field(default=1, alias="schema")
    training: dict[str, Any]
    precision: Precision
    precision_reason: str
    tokens_per_forward: int | None = Field(default=None, ge=1)
    tokens_per_forward_reason: str = ""
    step: int = Field(ge=1)
    loss_sum: float
    weight_seen: int
    gradient_norm: float
    updated: bool
    history: list[dict[str, int | float]]
    best_step: int
    scaler: dict[str, int | float]
    trained_seconds: float
    restarts: int
    threads: int
    processes: int
    sharded: bool = False
    elsewhere: list[str]
    processor: str | None = None
    device: str | None = None
    versions: dict[str, str]
    digests: dict[str, str]


@dataclass(frozen=True)
class Saved:
    """A whole checkpoint on disk."""

    folder: Path
    state: State

    def differences(
        self, processes: int, *, sharded: bool = False, tokens_per_forward: float | None = None
    ) -> list[str]:
        """What is not as it was when this was saved, in words: the steps are the same, the last bits may not be.

        Args:
            processes: that train together now.
            sharded: whether they divide the model among them.
            tokens_per_forward: of a forward pass now; None: as many as then.
        """
        found = [*self.state.elsewhere, *self.other_versions()]
        found += [
            f"{name} {then}, now {now}"
            for name, then, now in (
                ("processor", self.state.processor, describe_machine()["processor"]),
                ("device", self.state.device, _device_name()),
            )
            if then is not None and then != now
        ]
        if self.state.threads != torch.get_num_threads():
            found.append(f"{self.state.threads} threads, now {torch.get_num_threads()}")
        if self.state.processes != processes:
            found.append(f"{self.state.processes} processes, now {processes}")
        if self.state.sharded != sharded:
            found.append("whole, now sharded" if sharded else "sharded, now whole")
        then = self.state.tokens_per_forward
        if then is not None and tokens_per_forward is not None and then != tokens_per_forward:
            found.append(f"{then} tokens a forward pass, now {tokens_per_forward:g}")
        return list(dict.fromkeys(found))

    def other_versions(self) -> list[str]:
        """Libraries, and Python, whose versions are not those of then."""
        then, now = self.state.versions, installed_versions()
        return [
            f"{name} {then.get(name, 'none')}, now {now.get(name, 'none')}"
            for name in dict.fromkeys((*then, *now))
            if then.get(name) != now.get(name)
        ]


def checkpoints_of(output: Path) -> Path:
    """The folder of the checkpoints of the model that is written to `output`: `model.checkpoints` beside `model`."""
    place = output.absolute()
    return place.with_name(f"{place.name}.checkpoints")


def save(
    folder: Path,
    learner: Learner,
    course: Course,
    about: About,
    *,
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
    # one of a later step is damaged, or it would have been gone on from; what a kill left of a save has no other end
    ahead = [place for place in _places(folder) if _step_of(place) >= course.step]
    for place in (*ahead, *leftovers(folder, _STEP_FOLDER)):
        shutil.rmtree(place, ignore_errors=True)
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
            **{name: getattr(course, name) for name in _OF_COURSE},
            scaler=learner.scaler.state_dict(),
            **taken,
            threads=torch.get_num_threads(),
            processes=learner.group.size,
            sharded=is_sharded(learner.model),
            processor=describe_machine()["processor"],
            device=_device_name(),
            versions=installed_versions(),
            digests=digests,
        )
        write_json(place / MARK, state)
    for old in _places(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest(folder: Path, training: Mapping[str, Any]) -> Saved | None:
    """The newest whole checkpoint of a training; one that is damaged is passed over with a warning.

    Only such a one: the next save removes it.

    Args:
        folder: of the checkpoints.
        training: as in `About`.

    Raises:
        InputError: it belongs to another training, of which all that differs is named, or is of another version.
    """
    for place in _places(folder):
        next_step = f"go on with the Modelyard that wrote it, or remove {folder} to begin anew"
        try:
            read_object(place / MARK, next_step=next_step)
        except InputError as error:
            log.warning("%s is passed over: %s", place, error.problems[0].message)
            continue
        state = read_document(place / MARK, State, next_step=next_step)
        if damaged := _damaged(place, state):
            log.warning("%s is passed over: %s missing or not as written", place, ", ".join(damaged))
            continue
        found = Saved(place, state)
        _refuse_another(found, training, folder)
        return found
    return None


def agreed(saved: Saved | None, group: Group) -> Saved | None:
    """The checkpoint to go on from, where every process has found the same.

    Raises:
        InputError: they have not.
    """
    found = group.gather(None if saved is None else (saved.state.step, saved.state.digests))
    if any(one != found[0] for one in found):
        steps = ", ".join("none" if one is None else f"step {one[0]}" for one in found)
        message = f"the processes find other checkpoints: {steps}"
        raise InputError(Problem(message, "let every machine see the same folder", "--output"))
    return saved


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
        put(learner.model, load_file(saved.folder / _WEIGHTS, device="cpu" if sharded else str(device)))
        learner.optimiser.load_state_dict(_optimiser_state(learner, load_file(saved.folder / _OPTIMISER)))
        learner.scaler.load_state_dict(state.scaler)
    except (RuntimeError, ValueError, LookupError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0]
        message = f"the checkpoint does not fit this model: {reason}"
        raise InputError(Problem(message, _BEGIN_ANEW.format(saved.folder.parent), str(saved.folder))) from error
    _set_random(load_file(saved.folder / _RANDOM), learner.group.rank, device)
    best = load_file(saved.folder / _BEST) if state.best_step else {}
    outputs = best.pop(_OUTPUTS).numpy() if best else np.empty(0, np.float32)
    if sharded and not learner.group.first:
        best = undivided(learner.model, best)
    return Course(**state.model_dump(include=set(_OF_COURSE)), best_weights=best, best_outputs=outputs)


def saved_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, the last first."""
    return [_step_of(path) for path in _places(folder)]


def remove_step(folder: Path, step: int) -> None:
    """Remove the checkpoint of a step, where there is one, of whose weights a loss was not finite."""
    for place in (path for path in _places(folder) if _step_of(path) == step):
        log.warning("%s is removed: no further step can be taken from its weights", place)
        shutil.rmtree(place, ignore_errors=True)
    _remove_empty(folder)


def remove_all(folder: Path) -> None:
    """Remove the checkpoints of a training whose model is written, and their folder where nothing else is in it."""
    for place in (*_places(folder), *leftovers(folder, _STEP_FOLDER)):
        shutil.rmtree(place, ignore_errors=True)
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


_BEGIN_ANEW = "set it back to go on from there, or remove {} to begin anew"


def _places(folder: Path) -> list[Path]:
    """Checkpoints of ours, the newest first, whole or not."""
    found = [
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if re.fullmatch(_STEP_FOLDER, path.name) and path.is_dir() and not path.is_symlink()
    ]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(place: Path) -> int:
    return int(place.name.removeprefix("step-"))


def _damaged(place: Path, state: State) -> list[str]:
    """Files of a checkpoint that are missing or not as they were written."""
    names = (_WEIGHTS, _OPTIMISER, _RANDOM, *([_BEST] if state.best_step else []))
    damaged = []
    for name in names:
        try:
            as_written = (place / name).is_file() and digest_file(place / name) == state.digests.get(name)
        except OSError:
            as_written = False
        if not as_written:
            damaged.append(name)
    return damaged


def _refuse_another(found: Saved, training: Mapping[str, Any], folder: Path) -> None:
    saved = found.state.training
    problems = [
        Problem(
            f"{folder.name} is of another training: {name} was {saved.get(name)!r}, is {training.get(name)!r}",
            _BEGIN_ANEW.format(folder),
            str(folder),
        )
        for name in dict.fromkeys((*saved, *training))
        if name != PLAN and saved.get(name) != training.get(name)
    ]
    if not problems and saved.get(PLAN) != training.get(PLAN):  # of other settings the batches are others anyway
        versions = found.other_versions()
        why = f" ({', '.join(versions)})" if versions else ""
        how = "with its rows in other batches" if PLAN in saved else "by a version that did not note its batches"
        message = f"{folder.name} is of the same training {how}{why}"
        next_step = f"go on with the versions that wrote it, or remove {folder} to begin anew"
        problems = [Problem(message, next_step, str(folder))]
    if problems:
        raise InputError(problems)


def _tensors(
    learner: Learner, course: Course, random: Sequence[Mapping[str, torch.Tensor]]
) -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    """Each file and its tensors, one after the other; whole in the first process."""
    first = learner.group.first
    yield _WEIGHTS, dict(whole(learner.model.state_dict(), first=first))
    states = learner.optimiser.state_dict()["state"].items()
    moments = {f"{number}.{name}": value for number, of_one in states for name, value in of_one.items()}
    yield _OPTIMISER, dict(whole(moments, first=first))
    yield _RANDOM, {f"{rank}.{name}": state for rank, states in enumerate(random) for name, state in states.items()}
    if course.best_step:
        yield _BEST, course.best_weights | {_OUTPUTS: torch.from_numpy(course.best_outputs)}


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
    except SafetensorError as error:  # its word for what the system refused
        message = f"the checkpoint {path.name} cannot be written: {error}"
        next_step = "free some space, then run the same command again: it goes on from the checkpoint before this one"
        raise InputError(Problem(message, next_step, str(path.parent.parent))) from error


def _optimiser_state(learner: Learner, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    weights = [weight for parameters in learner.optimiser.param_groups for weight in parameters["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        like = weights[int(number)] if tensor.ndim else None  # the count of steps is a number in every process
        state.setdefault(int(number), {})[name] = divided(tensor, like)
    return learner.optimiser.state_dict() | {"state": state}


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


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
