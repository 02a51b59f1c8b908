"""How many tokens go through the model at once: as many as the memory of the device holds, found before the first step.

The gradient does not depend on it but for rounding: a batch in parts gives that of the whole (`step.take_step`). A GPU
says when it has no more, so it is tried; a CPU's process is killed, so it is estimated.
"""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from modelyard.artifacts.memory import available_memory_bytes
from modelyard.errors import InputError, Problem
from modelyard.training.batches import Rows, cut
from modelyard.training.derive import MULTIPLE, Derived
from modelyard.training.formats import Precision, in_format
from modelyard.training.group import Group
from modelyard.training.objective import Objective
from modelyard.training.place import own_place
from modelyard.training.sharding import is_sharded
from modelyard.training.surroundings import hand_back_freed

TRAINED_BYTES = 16
"""Of a weight that is trained in fp32: itself, its gradient, both moments of AdamW."""
CAST_BYTES = 2
"""Of a weight while a pass in another format than fp32 goes on: its copy in that format, see `formats`."""
TRIED_BYTES = 20
"""Of a weight on a CPU: the step that is tried before the first takes as much beside the model on a copy of it."""
USED_SHARE = 0.8
"""Of the memory that is free: an estimate may be wrong, and others use the machine."""
ABOVE_COUNTED = 1.3
"""Of what is counted: on 64 rows of 128 tokens a step of a BERT of 6 layers took 1.27 times it, of a GPT-2 1.16."""
PROBE_TOKENS = 256
USUAL_ROWS = (32, 128)
USUAL_PASSES = 8
_LESS_OR_MORE = (
    "set train.activation_checkpointing: true, train.lora_rank or a smaller model.max_length_tokens, train sharded in "
    "several processes, or take a machine with more memory"
)
log = logging.getLogger(__name__)

Holds = Callable[[Objective, list[int]], bool]
"""Whether the memory holds a step in which the rows of a part go through the model at once."""


@contextlib.contextmanager
def telling_what_lacks() -> Iterator[None]:
    """Let a device that runs out of memory end the training with an error that a user can read.

    Raises:
        InputError: it does.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        said = "; ".join(str(error).split(". ")[:3]).rstrip(".")
        message = f"training needs more memory than the device has: {said}"
        raise InputError(Problem(message, _LESS_OR_MORE, "modelyard.yaml")) from error


def free_bytes(device: torch.device) -> int:
    """What is free on a device; of the machine's own memory this process's share with those that train beside it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    hand_back_freed()  # as of a copy on which a step was tried
    return available_memory_bytes() // own_place().beside


def within(objective: Objective, tokens: int) -> Objective:
    """The same objective with forward passes of at most so many tokens."""
    return dataclasses.replace(objective, tokens_per_forward=tokens)


def check_copy(model: PreTrainedModel, group: Group) -> None:
    """Refuse a model on a CPU with whose copy no step can be tried; nothing is allocated.

    A GPU says so itself. All processes ask at one time, before any takes what it asks for.

    Args:
        model: as it will be trained.
        group: the processes that train together.

    Raises:
        InputError: the memory of one of them is too small.
    """
    if is_sharded(model):  # which is tried itself
        return
    needed, free = _learner_bytes(model), free_bytes(model.device)
    if not all(group.gather(model.device.type == "cuda" or needed <= USED_SHARE * free)):
        raise _too_small(model, f"a copy of them, gradient and moments take {needed / 1e9:.1f} GB")


def choose_tokens(
    model: PreTrainedModel,
    rows: Rows,
    batches: Sequence[Sequence[int]],
    objective: Objective,
    *,
    precision: Precision | Literal["auto"],
    group: Group,
    most: int | None = None,
    holds: Holds | None = None,
) -> Derived:
    """Tokens of a forward pass: the objective's, or the half, a quarter and so on, until the memory holds the largest.

    Args:
        model: as it will be trained; its gradients are cleared.
        rows: of the train split.
        batches: of every step that is planned.
        objective: what is minimised, with the tokens by default.
        precision: of the forward pass; auto: whichever takes the most.
        group: the processes that train together; all take the smallest number that one of them finds.
        most: that the training had before it went on; None: those by default.
        holds: whether a part fits; None: tried on a GPU, estimated on a CPU.

    Raises:
        InputError: not even one row fits.
    """
    usual, most = objective.tokens_per_forward, most or objective.tokens_per_forward
    if is_sharded(model):  # a process that ran out of memory would leave the others in the midst of a pass
        return Derived(most, "the most of one forward pass by default, untried where sharded")
    holds = holds or _asking(model, rows, precision, group)
    shares = [share for batch in batches if (share := group.share(batch))]
    tokens = most
    found: int | None = None
    while shares and found is None:
        part = largest(shares, rows, within(objective, tokens))
        if holds(objective, part):
            found = tokens
        elif len(part) == 1:
            break
        else:
            size = _size(part, rows, objective)
            while tokens >= size:
                tokens //= 2
    chosen = group.gather(found if shares else most)
    smallest = min(0 if value is None else value for value in chosen)
    if smallest == 0:
        tried = f"forward passes of {most} tokens down to one row of up to {max(rows.lengths)}"
        raise _too_small(model, f"tried were {tried}")
    if smallest == usual:
        return Derived(usual, "the most of one forward pass by default, and they fit the memory")
    if smallest < most:
        log.warning("forward passes of %d tokens in the place of %d: more do not fit the memory", smallest, most)
    return Derived(smallest, f"more of the {usual} by default do not fit the memory")


def usual_or_not(tokens_per_batch: float, tokens_per_forward: float, rows: Rows, processes: int) -> list[str]:
    """A note where a process's forward passes are smaller, larger or more than is usual, with what would make them so.

    Args:
        tokens_per_batch: of a step, of all processes.
        tokens_per_forward: of a process.
        rows: of the train split.
        processes: that train together.
    """
    total = sum(rows.lengths)
    mean = total / len(rows.lengths)
    of_process = tokens_per_batch / processes
    fit, passes = min(of_process, tokens_per_forward), math.ceil(of_process / tokens_per_forward)
    least, most = USUAL_ROWS
    if fit >= total / processes or (least * mean <= fit <= most * mean and passes <= USUAL_PASSES):
        return []
    better = _toward_usual(tokens_per_batch, tokens_per_forward, mean, processes)
    note = (
        f"a forward pass has room for {fit / mean:.0f} rows and a step takes {passes} of a process: usual are {least} "
        f"to {most} rows and at most {USUAL_PASSES}; {better}"
    )
    log.warning(note)
    return [note]


def _toward_usual(tokens_per_batch: float, tokens_per_forward: float, mean: float, processes: int) -> str:
    """What to set for forward passes as is usual; where none has room for as many rows, whatever is set: no matter.

    Args:
        tokens_per_batch: of a step, of all processes.
        tokens_per_forward: of a process.
        mean: tokens of a row.
        processes: that train together.
    """
    least, most = (rows * mean for rows in USUAL_ROWS)
    if tokens_per_forward < least:
        return "the gradient is that of the whole step all the same"
    if tokens_per_batch < processes * least:
        value = MULTIPLE * math.ceil(processes * least / MULTIPLE)
        return f"set train.tokens_per_batch: {value} for {USUAL_ROWS[0]} rows a process"
    largest_usual = most if tokens_per_forward > most else USUAL_PASSES * tokens_per_forward
    return f"set train.tokens_per_batch: {MULTIPLE * int(processes * largest_usual / MULTIPLE)} at most"


def _size(part: Sequence[int], rows: Rows, objective: Objective) -> int:
    """Tokens of a part as `cut` counts them."""
    lengths = [rows.lengths[index] for index in part]
    return sum(lengths) if objective.packs else len(lengths) * max(lengths)


def largest(shares: Sequence[Sequence[int]], rows: Rows, objective: Objective) -> list[int]:
    """The part of some batches with the most tokens, of equal ones that with the longest row."""
    parts = (
        part
        for share in shares
        for part in cut(share, rows.lengths, objective.tokens_per_forward, padded=not objective.packs)
    )

    def taken(part: list[int]) -> tuple[int, int]:
        # to lay every part of the plan in lines would take longer than to count its tokens
        places = _size(part, rows, objective) if objective.packs else objective.places(rows, part)
        return places, max(rows.lengths[index] for index in part)

    return max(parts, key=taken)


def _asking(model: PreTrainedModel, rows: Rows, precision: Precision | Literal["auto"], group: Group) -> Holds:
    """What the device can be asked: a GPU's memory says itself what it holds, in fp32 a pass takes the most of it."""
    if model.device.type == "cuda":
        return _trying(model, rows, "fp32" if precision == "auto" else precision, group)
    return _estimating(model, rows, casts=precision != "fp32")


def _trying(model: PreTrainedModel, rows: Rows, precision: Precision, group: Group) -> Holds:
    """By a forward and a backward pass, beside what the optimiser and the sums over the group will take."""
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    reserve = trained * (8 if group.size == 1 else 12)

    def holds(objective: Objective, part: list[int]) -> bool:
        model.train()
        fits = True
        try:
            moments = torch.empty(reserve, dtype=torch.uint8, device=model.device)
            in_format(model, precision, lambda: objective.read(rows, part)(model).sum().backward())  # type: ignore[no-untyped-call]
            del moments
        except torch.OutOfMemoryError:
            fits = False
        # what the error's traceback held is free only now
        model.zero_grad(set_to_none=True)
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        return fits

    return holds


class Kept(NamedTuple):
    """Bytes that a forward pass leaves for the backward pass, and those of the largest single tensor of them."""

    total: int
    largest: int


def kept_bytes(
    model: PreTrainedModel, rows: Rows, objective: Objective, part: Sequence[int], precision: Precision = "fp32"
) -> Kept:
    """What a forward pass of a part keeps: every storage that autograd holds, weights aside but not their casts."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    found: dict[int, torch.UntypedStorage] = {}  # held, so that no two have the same address

    def keep(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):  # there is no backward pass to unpack for
        in_format(model, precision, lambda: objective.read(rows, part)(model))
    sizes = [storage.nbytes() for storage in found.values()]
    return Kept(sum(sizes), max(sizes, default=0))


def _kept_and_computed_again(model: PreTrainedModel, rows: Rows, objective: Objective, part: Sequence[int]) -> Kept:
    """As `kept_bytes`; with activation checkpointing and twice the bytes of a layer, which is computed again."""
    kept = kept_bytes(model, rows, objective, part)
    layers = [one for one in model.modules() if isinstance(one, GradientCheckpointingLayer)]
    layers = [one for one in layers if one.gradient_checkpointing]
    if not layers:
        return kept
    try:
        for layer in layers:
            layer.gradient_checkpointing = False
        plain = kept_bytes(model, rows, objective, part)
    finally:
        for layer in layers:
            layer.gradient_checkpointing = True
    return Kept(kept.total + 2 * (plain.total - kept.total) // len(layers), kept.largest)


def _some(part: Sequence[int], rows: Rows, objective: Objective) -> list[int]:
    """The longest rows of a part, so many that they have a few tokens: padded ones are as wide as the part."""
    longest = sorted(part, key=lambda index: rows.lengths[index], reverse=True)
    fewer = (longest[:count] for count in range(1, len(longest)))
    return next((some for some in fewer if _size(some, rows, objective) >= PROBE_TOKENS), longest)


def pass_bytes(model: PreTrainedModel, rows: Rows, objective: Objective, part: Sequence[int]) -> float:
    """What a forward and a backward pass of a part take, by what a small part keeps, a token. In fp32: it keeps most.

    But for the copies of the weights (`CAST_BYTES`), which whoever may take another format adds.

    The largest tensor that is kept, as a rule the logits, is there once more, as its gradient.
    Not counted is what grows faster than the tokens: with dropout, attention on a CPU keeps tokens x width of a line x
    heads numbers a layer, and of packed rows the lines of a small part are narrower.
    """
    model.train()
    some = _some(part, rows, objective)
    kept = _kept_and_computed_again(model, rows, objective, some)
    times = objective.places(rows, part) / objective.places(rows, some)
    return times * ABOVE_COUNTED * (kept.total + kept.largest)


def _learner_bytes(model: PreTrainedModel) -> int:
    """Beside a model: the gradient and both moments of every trained weight, and one more copy of all.

    It is that of the best weights, and before the first step the one on which a step is tried.
    """
    weights = list(model.parameters())
    return sum(4 * weight.numel() + 12 * weight.numel() * weight.requires_grad for weight in weights)


def _estimating(model: PreTrainedModel, rows: Rows, *, casts: bool) -> Holds:
    """By what the passes of a part take beside the learner and, where they may be in bf16, beside the cast weights."""
    learner = _learner_bytes(model) + casts * CAST_BYTES * sum(weight.numel() for weight in model.parameters())

    def holds(objective: Objective, part: list[int]) -> bool:
        needed = learner + pass_bytes(model, rows, objective, part)
        return bool(needed <= USED_SHARE * free_bytes(model.device))

    return holds


def _too_small(model: PreTrainedModel, why: str) -> InputError:
    weights, free = sum(weight.numel() for weight in model.parameters()), free_bytes(model.device)
    message = (
        f"the memory holds no step of {weights / 1e6:,.1f}M weights on one row: {free / 1e9:.1f} GB are free, {why}"
    )
    return InputError(Problem(message, _LESS_OR_MORE, "modelyard.yaml"))
