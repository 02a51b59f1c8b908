"""Training in several processes: who has which rows of a batch, and what they tell each other.

Every process holds the whole model, or its part of each weight (`sharding`), and knows the whole plan. Of every batch
each takes every n-th row; the gradients are added up by torch's DistributedDataParallel, or by FSDP, while the backward
pass goes on, so that all take the same step. The first process writes; alone, nothing is sent.
"""

import gc
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from modelyard.errors import InputError, Lost, Problem
from modelyard.processes import at_once, die_with_parent
from modelyard.training.launch import PARENT
from modelyard.training.place import own_place
from modelyard.training.sharding import is_sharded

WAIT = timedelta(minutes=30)
"""So long a process waits for the others, as for the first one to save; whoever started them notices a death itself."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class Group:
    """The processes of a training: this one's number, from 0, and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, batch: Sequence[Item]) -> list[Item]:
        """This process's part of a batch: every n-th, so that rows of like length are spread evenly."""
        return list(batch[self.rank :: self.size])

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sums of numbers over all processes, in their shape."""
        return values if self.size == 1 else _reduced(values, dist.ReduceOp.SUM)

    def most(self, *values: float) -> list[float]:
        """The largest of each number over all processes."""
        return list(values) if self.size == 1 else _reduced(np.array(values), dist.ReduceOp.MAX).tolist()

    def gather(self, item: Item) -> list[Item]:
        """What every process has, in their order."""
        if self.size == 1:
            return [item]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, item)
        return found

    def from_first(self, item: Item) -> Item:
        """What the first process has."""
        return self.gather(item)[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        self.most(0.0)

    def together(self, model: PreTrainedModel) -> torch.nn.Module:
        """The model as it is called in training: with the gradients of all processes averaged.

        Some models have weights that a task does not use: they must be looked for, or DistributedDataParallel waits for
        their gradients. A sharded model sees to its gradients itself.
        """
        alone = self.size == 1 or is_sharded(model)
        return model if alone else DistributedDataParallel(model, find_unused_parameters=True)


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """The processes that `launch` or torchrun started, by the variables both set; this one alone where none did.

    Raises:
        InputError: there are more processes than GPUs where there are any, or the variables make no sense.
        Lost: another process is gone.
    """
    place = own_place()
    if place.size == 1:
        yield Group()
        return
    if PARENT in os.environ:
        die_with_parent(int(os.environ[PARENT]))
    elif dist.is_torchelastic_launched() and os.getpgrp() == os.getpid():
        die_with_parent(os.getppid())  # torchrun ends its processes itself, but where it is killed
    if torch.cuda.is_available():
        if place.here >= torch.cuda.device_count():
            message = f"process {place.here} of this machine has no GPU: there are {torch.cuda.device_count()}"
            raise InputError(Problem(message, "start one process a GPU", "--processes"))
        torch.cuda.set_device(place.here)
    try:
        with at_once():  # the others may never come
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=WAIT)
        yield Group(place.rank, place.size)
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        message = f"process {place.rank} of {place.size} lost the others: {str(error).strip().rpartition(chr(10))[2]}"
        raise Lost(Problem(message, "run the same command again: it goes on from the last checkpoint")) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
            _let_go(sys.exception())


def _let_go(error: BaseException | None) -> None:
    """Free what still refers to the group, a model in a circle or in the frames of an error: its threads end with it.

    One that is about to free a tensor when Python ends aborts the process.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()


def held_back(model: torch.nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Keep the gradients of all but the last part of a batch to this process: they are added up once.

    Not those of a sharded model: whole gradients in every process are what it has no room for.
    """
    return nullcontext() if last or not isinstance(model, DistributedDataParallel) else model.no_sync()


def _reduced(values: NDArray[Any], how: Any) -> NDArray[Any]:  # noqa: ANN401
    tensor = torch.from_numpy(values.copy())
    dist.all_reduce(tensor, op=how)
    return tensor.numpy()
