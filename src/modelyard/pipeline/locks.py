"""One `run` at a time in a project, and none held up by what a killed one left."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from modelyard.artifacts.files import write_text
from modelyard.errors import InputError, Problem
from modelyard.processes import locked_within

LOCK = Path(".modelyard") / "run.lock"
LOCK_WAIT_SECONDS = 3.0
"""A killed `run` takes its stages with it within a fraction of a second; until then the lock is still held."""
DVC_LOCKS = Path(".dvc") / "tmp" / "rwlock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the project's lock; the kernel lets it go with the last process that has it open.

    Raises:
        InputError: another run holds it.
    """
    path = folder / LOCK
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not locked_within(LOCK_WAIT_SECONDS, descriptor):
            message = "another `modelyard run` is going in this project"
            raise InputError(Problem(message, "wait until it ends, or stop it with Ctrl-C where it runs", str(folder)))
        yield descriptor
    finally:
        os.close(descriptor)


def drop_stale_locks(folder: Path) -> None:
    """Take out of DVC's list of readers and writers those that are gone; to be called with the project's lock held.

    DVC does so itself, but takes a killed process for alive as long as nobody asked for its status (a zombie), and
    gives up on a list that was cut off by a kill. The list is JSON: `{"read": {PATH: [{pid, cmd}]}, "write": {PATH:
    {pid, cmd}}}` (dvc/rwlock.py, 3.67).
    """
    path = folder / DVC_LOCKS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kept = {
            "read": {name: alive for name, users in content["read"].items() if (alive := list(filter(_going, users)))},
            "write": {name: user for name, user in content["write"].items() if _going(user)},
        }
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, AttributeError):
        path.unlink()
        return
    if kept != content:
        write_text(path, json.dumps(kept))


def _going(user: dict[str, Any]) -> bool:
    """Whether the process of an entry lives; those that `run` starts do not: their `run` would hold the lock."""
    if "modelyard/pipeline/guarded" in str(user["cmd"]):
        return False
    try:
        return psutil.Process(int(user["pid"])).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
