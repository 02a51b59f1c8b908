"""What a checkpoint says: how far a training is, what it belongs to, and on what it was trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modelyard.artifacts.reports import describe_machine, installed_versions
from modelyard.training.derive import Derived
from modelyard.training.formats import Precision

PLAN = "plan"
"""The fact of a training that is the digest of its rows' tokens and of its batches."""
CONSEQUENCES = (PLAN, "steps", "evaluations_per_epoch")
"""Facts that nobody sets: they follow from the others and from the versions of the libraries."""


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


OF_COURSE = ("step", "loss_sum", "weight_seen", "gradient_norm", "updated", "history", "best_step")
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
        tokens_per_forward: as in `About`.
        tokens_per_forward_reason: as in `About`.
        step: as in `Course`, like those up to `best_step`.
        scaler: of the loss in fp16; empty otherwise.
        trained_seconds: until here, earlier attempts included.
        restarts: how often the training went on from a checkpoint before.
        threads: of torch on the CPU, on which the order of its sums depends.
        processes: that trained together.
        sharded: whether they divided the model among them.
        elsewhere: how the training went on before otherwise than it began, in words.
        processor: of the first process.
        device: that the model was on, a GPU's name or cpu.
        versions: of the libraries.
        digests: of every other file of the checkpoint.
    """

    # a number that is not finite has no other form in JSON
    model_config = ConfigDict(extra="forbid", populate_by_name=True, ser_json_inf_nan="strings")

    schema_version: Literal[1] = Field(default=1, alias="schema")
    training: dict[str, Any]
    precision: Precision
    precision_reason: str
    tokens_per_forward: int = Field(ge=1)
    tokens_per_forward_reason: str
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
    sharded: bool
    elsewhere: list[str]
    processor: str
    device: str
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
                ("device", self.state.device, device_name()),
            )
            if then != now
        ]
        if self.state.threads != torch.get_num_threads():
            found.append(f"{self.state.threads} threads, now {torch.get_num_threads()}")
        if self.state.processes != processes:
            found.append(f"{self.state.processes} processes, now {processes}")
        if self.state.sharded != sharded:
            found.append("whole, now sharded" if sharded else "sharded, now whole")
        if tokens_per_forward not in (None, self.state.tokens_per_forward):
            found.append(f"{self.state.tokens_per_forward} tokens a forward pass, now {tokens_per_forward:g}")
        return list(dict.fromkeys(found))

    def other_versions(self) -> list[str]:
        """Libraries, and Python, whose versions are not those of then."""
        then, now = self.state.versions, installed_versions()
        return [
            f"{name} {then.get(name, 'none')}, now {now.get(name, 'none')}"
            for name in dict.fromkeys((*then, *now))
            if then.get(name) != now.get(name)
        ]


def device_name() -> str:
    """Of the GPU that this process trains on; cpu where there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
