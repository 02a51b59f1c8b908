"""The figures of a training, line by line, to be followed while it runs."""

import contextlib
import errno
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from modelyard.artifacts.files import write_bytes
from modelyard.errors import InputError, Problem
from modelyard.training.checkpoint_state import Saved

_STEPS = ("step", "saved_after_step", "resumed_after_step")
"""The number of the step in a line of the metrics."""


@contextlib.contextmanager
def recorded(path: Path, saved: Saved | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that adds one JSON line to a file, to be followed while training runs.

    The file is a fresh one, or, where the training goes on, keeps the lines of what was done by then. A number that is
    not finite is null: JSON has no other word for it.
    """
    if path.is_symlink():  # what it leads to would be emptied
        raise InputError(Problem(f"{path} is a symbolic link", "remove it: a plain file is written there", str(path)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if saved is not None:
            write_bytes(path, _lines_until(path, saved.state.step))
        handle = path.open("wb" if saved is None else "ab", buffering=0)  # whoever follows it sees every line at once
    except OSError as error:
        raise unwritable(path, str(error.strerror), "--reports") from error

    def record(figures: Mapping[str, Any]) -> None:
        try:
            line = json.dumps(_finite(figures), allow_nan=False).encode() + b"\n"
            if handle.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise unwritable(path, str(error.strerror), "--reports") from error

    with handle:
        yield record


def _lines_until(path: Path, step: int) -> bytes:
    """Lines of what was done when a step had been taken and not been evaluated; none of a file that is not there."""
    kept = []
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        if (figures := _figures(line)) is not None:
            at = next((figures[name] for name in _STEPS if name in figures), 0)
            if at < step or (at == step and "validation_loss" not in figures):
                kept.append(line)
    return b"".join(kept)


def _figures(line: bytes) -> dict[str, Any] | None:
    """Of a line; None where a kill cut it short, or a power cut left zeros in its place: lines are not synced."""
    try:
        figures = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return figures if isinstance(figures, dict) else None


def nobody(figures: Mapping[str, Any]) -> None:
    """A record that is not kept: the first process keeps it."""


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def unwritable(path: Path, reason: str, elsewhere: str) -> InputError:
    """The error of a file or folder that cannot be written; `elsewhere`: the option that names another place."""
    again = "free some space and run the same command again: it goes on from the last checkpoint where there is one"
    next_step = f"{again}; or choose a place you may write to with {elsewhere}"
    return InputError(Problem(f"{path} cannot be written: {reason}", next_step, str(path)))
