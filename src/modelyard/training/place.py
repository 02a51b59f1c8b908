"""Which of the processes that train together this one is, by the variables that torchrun and `launch` set."""

import os
import re
from typing import NamedTuple

from modelyard.errors import InputError, Problem

_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_NEXT = "start the processes with torchrun, or unset WORLD_SIZE, which --processes N sets itself"


class Place(NamedTuple):
    """A process among those of its training, alone by default.

    Attributes:
        rank: its number among all, from 0.
        here: its number among those on this machine, from 0.
        size: how many there are.
        beside: how many of them are on this machine.
    """

    rank: int = 0
    here: int = 0
    size: int = 1
    beside: int = 1


def own_place() -> Place:
    """Of this process; alone where `WORLD_SIZE` names no other, whatever a scheduler has set beside it.

    Raises:
        InputError: it names others, and what is needed to meet them is missing or makes no sense.
    """
    size = _number("WORLD_SIZE", 1, default=1)
    if size == 1:
        return Place()
    if missing := [name for name in _NEEDED if not os.environ.get(name)]:
        message = f"WORLD_SIZE says that {size} processes train together, without {', '.join(missing)}"
        raise InputError(Problem(message, _NEXT, "the environment"))
    beside = _number("LOCAL_WORLD_SIZE", 1, size, default=size)  # unsaid: all are on one machine
    return Place(_number("RANK", 0, size - 1), _number("LOCAL_RANK", 0, beside - 1), size, beside)


def _number(name: str, least: int, most: int | None = None, *, default: int | None = None) -> int:
    given = os.environ.get(name) or ("" if default is None else str(default))
    number = int(given) if re.fullmatch(r"\d{1,9}", given) else -1
    if number < least or (most is not None and number > most):
        upwards = "or more" if most is None else f"to {most}"
        raise InputError(Problem(f"{name} is {given!r}: a whole number, {least} {upwards}", _NEXT, "the environment"))
    return number
