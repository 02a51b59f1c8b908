"""How a training gets on: its pace, how much of the machine it uses, how long it will take, and how right that was."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modelyard.artifacts.reports import own_peak_bytes
from modelyard.training.batches import Rows, cut
from modelyard.training.formats import DTYPES, Precision
from modelyard.training.group import ALONE, Group
from modelyard.training.objective import Objective

FIRST_MINUTE = 60.0
"""Until the time left is told: the pace of the first steps is not that of the rest."""
VARYING = frozenset({"tokens_per_second", "peak_memory_bytes", "utilisation", "data_seconds", "seconds_left"})
"""Figures of a step that are others when the same step is taken again."""
_SIDE = 2_048
_TIMED = 5


def peak_flops(device: torch.device, precision: Precision) -> float:
    """Floating point operations a second of a large matrix product in a format, the fastest of five.

    Args:
        device: where.
        precision: of both factors.
    """
    one = torch.ones(_SIDE, _SIDE, dtype=DTYPES[precision], device=device)
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        one @ one
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * _SIDE**3 / min(times)


def flops_per_token(model: PreTrainedModel) -> tuple[int, int]:
    """Operations of the products with weights that a step takes for every token, and those more of a learned one.

    Two a weight forward, two backward, and two for a gradient of the weight where it is trained (Kaplan et al. 2020,
    Scaling laws for neural language models, section 2.1). Attention's own products are left out. A learned token
    goes through the output layer too, which a classifier has not; that of a sequence to sequence model through the
    decoder in the place of the encoder.
    """
    head = model.get_output_embeddings()
    found = {
        id(module): (6 if module.weight.requires_grad else 4) * module.weight.numel()
        for module in model.modules()
        if isinstance(module, (torch.nn.Linear, Conv1D))
    }
    of_head = found.pop(id(head), 0)
    if not model.config.is_encoder_decoder:
        return sum(found.values()), of_head
    encoder = sum(found.get(id(module), 0) for module in model.get_encoder().modules())
    return encoder, sum(found.values()) - 2 * encoder + of_head


def padding_share(batches: Sequence[Sequence[int]], rows: Rows, objective: Objective, processes: int = 1) -> float:
    """Share of the places in the forward passes of some batches that hold padding; 0 of no batches.

    Each process of a training pads its own rows; who has which is known to all, so that nothing is asked.
    """
    most, packs = objective.tokens_per_forward, objective.packs
    shares = [Group(rank, processes).share(batch) for batch in batches for rank in range(processes)]
    parts = [part for share in shares for part in cut(share, rows.lengths, most, padded=not packs)]
    places = sum(objective.places(rows, part) for part in parts)
    return 1.0 - sum(rows.lengths[index] for part in parts for index in part) / places if places else 0.0


@dataclass
class Watch:
    """Adds to the figures of every step what they say together.

    Attributes:
        model: that is trained.
        rows: of the train split.
        objective: what is minimised.
        steps: of the schedule.
        group: the processes that train together; each watches.
        peak: of `peak_flops` by one of them; None tells no utilisation.
        clock: in seconds.
    """

    model: PreTrainedModel
    rows: Rows
    objective: Objective
    steps: int
    group: Group = ALONE
    peak: float | None = None
    clock: Callable[[], float] = time.monotonic
    _flops: tuple[int, int] = field(init=False)
    _began: float = field(init=False)
    _first: int = field(init=False)
    _predicted: float | None = field(init=False, default=None)

    def begin(self, step: int) -> None:
        """The training starts after a step."""
        self._began, self._first = self.clock(), step
        self._flops = flops_per_token(self.model)

    def of_step(self, step: int, batch: Sequence[int], seconds: float, data_seconds: float) -> dict[str, Any]:
        """Padding, memory, time for data and utilisation of a step; after the first minute, once, the seconds left.

        Memory and time for data are those of the process with the most.

        Args:
            step: its number.
            batch: indices of its rows.
            seconds: that it took.
            data_seconds: of them this process took for the arrays of its rows.
        """
        tokens = sum(len(self.rows.ids[index]) for index in batch)
        mine = torch.cuda.max_memory_allocated() if self.model.device.type == "cuda" else own_peak_bytes()
        memory, waited = self.group.most(mine, data_seconds)
        figures: dict[str, Any] = {
            "padding_share": round(padding_share([batch], self.rows, self.objective, self.group.size), 4),
            "peak_memory_bytes": int(memory),
            "data_seconds": round(waited, 6),
        }
        if self.peak is not None:
            every, learned = self._flops
            flops = every * tokens + learned * self.rows.weight(batch)
            figures["utilisation"] = round(flops / seconds / (self.group.size * self.peak), 4)
        gone = self.clock() - self._began
        if self._predicted is None and gone >= FIRST_MINUTE:
            self._predicted = gone + gone / (step - self._first) * (self.steps - step)
            figures["seconds_left"] = round(self._predicted - gone, 1)
        return figures

    def in_the_end(self, step: int) -> dict[str, Any]:
        """What the training took, and what was said after its first minute; that only where all steps were taken."""
        took = self.clock() - self._began
        figures: dict[str, Any] = {"took_seconds": round(took, 1)}
        if self._predicted is not None and step == self.steps:
            figures["predicted_seconds"] = round(self._predicted, 1)
        return figures
