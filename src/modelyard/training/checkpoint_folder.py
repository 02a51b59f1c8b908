"""The folder of a training's checkpoints: whose it is, which of them it goes on from, which make room."""

import contextlib
import errno
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard.artifacts.documents import read_document, read_object
from modelyard.artifacts.files import digest_file, leftovers
from modelyard.errors import InputError, Problem
from modelyard.processes import locked_within
from modelyard.training.checkpoint_state import CONSEQUENCES, Saved, State
from modelyard.training.group import Group
from modelyard.training.metrics import unwritable

MARK = "state.json"
KEPT = 2
"""Checkpoints that stay: the newest, and the one before it for the day on which the newest is damaged."""
LOCK = "lock"
LOCK_WAIT_SECONDS = 5.0
"""A training that was killed takes its processes with it within a fraction of a second, on this machine."""
WEIGHTS, OPTIMISER, BEST, RANDOM = (f"{name}.safetensors" for name in ("weights", "optimiser", "best", "random"))
_STEP_FOLDER = r"step-\d{9,}"
_DIGESTS = {
    "base": ("the digest of model.base", "name the base model that it began with"),
    "prepared": ("the digest of prepared/dataset.json", "prepare the same rows again"),
}
"""Facts of a training that are digests: what each is of, and how it is set back."""
_LOCK_TRIES = 100
log = logging.getLogger(__name__)


def checkpoints_of(output: Path) -> Path:
    """The folder of the checkpoints of the model that is written to `output`: `model.checkpoints` beside `model`."""
    place = output.absolute()
    return place.with_name(f"{place.name}.checkpoints")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every other training out of a folder, which is made, and removed in the end where nothing else is in it.

    Raises:
        InputError: another training has it, or it cannot be made.
    """
    descriptor = _locked(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink()
        os.close(descriptor)  # over NFS a file that is open stays in its folder under another name
        with contextlib.suppress(OSError):  # checkpoints are in it
            folder.rmdir()


def newest(folder: Path, training: Mapping[str, Any]) -> Saved | None:
    """The newest whole checkpoint of a training; one that is damaged is passed over with a warning.

    Only such a one: the next save removes it. That none is whole where some were begun is a warning, too.

    Args:
        folder: of the checkpoints.
        training: as in `About`.

    Raises:
        InputError: it belongs to another training, of which all that differs is named, or is of another version.
    """
    places = _places(folder)
    found = _newest_whole(places, folder)
    if found is not None:
        _refuse_another(found, training, folder)
    elif places or leftovers(folder, _STEP_FOLDER):
        log.warning("no checkpoint in %s is whole: the training begins anew", folder)
    return found


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


def elsewhere(found: Saved) -> tuple[str, str]:
    """Versions, in brackets, that are others than where a checkpoint was written; what to do where it is of no use."""
    versions = found.other_versions()
    why, where = (f" ({', '.join(versions)})", "with the versions") if versions else ("", "on the machine")
    return why, f"go on {where} that wrote it, or remove {found.folder.parent} to begin anew"


def saved_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, the last first."""
    return [_step_of(path) for path in _places(folder)]


def make_room(folder: Path, after: int) -> None:
    """Before a checkpoint is written, remove those that it follows upon in no way.

    One later than that of step `after` is damaged, or it would have been gone on from; what a kill left of a save has
    no other end.
    """
    ahead = [place for place in _places(folder) if _step_of(place) > after]
    for place in (*ahead, *leftovers(folder, _STEP_FOLDER)):
        shutil.rmtree(place, ignore_errors=True)


def keep_newest(folder: Path) -> None:
    """Remove all but the newest `KEPT`."""
    for old in _places(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def remove_step(folder: Path, step: int) -> None:
    """Remove the checkpoint of a step, where there is one, of whose weights a loss was not finite.

    Only beside another whole one: the last of a training is never removed before its model is written.
    """
    places = _places(folder)
    dead = [place for place in places if _step_of(place) == step]
    if dead and _newest_whole([place for place in places if place not in dead], folder) is not None:
        for place in dead:
            log.warning("%s is removed: no further step can be taken from its weights", place)
            shutil.rmtree(place, ignore_errors=True)


def remove_all(folder: Path) -> None:
    """Remove the checkpoints of a training whose model is written."""
    for place in (*_places(folder), *leftovers(folder, _STEP_FOLDER)):
        shutil.rmtree(place, ignore_errors=True)


def _locked(folder: Path) -> int:
    """The open lock of a folder. A training that ends removes both, also while another waits here: it tries again."""
    lock = folder / LOCK
    for _ in range(_LOCK_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            with contextlib.ExitStack() as closing:
                closing.callback(os.close, descriptor)
                if not locked_within(LOCK_WAIT_SECONDS, descriptor):
                    break
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    closing.pop_all()
                    return descriptor
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):  # it was removed, perhaps by another machine
                raise unwritable(folder, str(error.strerror), "--output") from error
    message = f"another training has {folder}: it writes to the same output"
    next_step = (
        "wait until it ends, stop it with Ctrl-C where it runs, or name other places with --output and --reports; "
        f"where its machine is gone, remove {lock}"
    )
    raise InputError(Problem(message, next_step, str(folder)))


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


def _newest_whole(places: Sequence[Path], folder: Path) -> Saved | None:
    """The first of some checkpoints that is not damaged; each that is before it is told.

    Raises:
        InputError: it is of another version.
    """
    next_step = f"go on with the Modelyard that wrote it, or remove {folder} to begin anew"
    for place in places:
        try:
            read_object(place / MARK, next_step=next_step)
        except InputError as error:
            log.warning("%s is passed over: %s", place, error.problems[0].message)
            continue
        state = read_document(place / MARK, State, next_step=next_step)
        if not (damaged := _damaged(place, state)):
            return Saved(place, state)
        log.warning("%s is passed over: %s missing or not as written", place, ", ".join(damaged))
    return None


def _damaged(place: Path, state: State) -> list[str]:
    """Files of a checkpoint that are missing or not as they were written."""
    names = (WEIGHTS, OPTIMISER, RANDOM, *([BEST] if state.best_step else []))
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
    others = [name for name in dict.fromkeys((*saved, *training)) if saved.get(name) != training.get(name)]
    why, next_step = elsewhere(found)
    problems = [
        _another(name, saved.get(name), training.get(name), folder, why) for name in others if name not in CONSEQUENCES
    ]
    if others and not problems:  # of other settings the batches are others anyway
        message = f"{folder.name} is of the same training with other tokens in its rows or other batches of them{why}"
        problems = [Problem(message, next_step, str(folder))]
    if problems:
        raise InputError(problems)


def _another(name: str, then: object, now: object, folder: Path, why: str) -> Problem:
    """A fact of a training that is another one now; `why`: the versions that may have derived another one."""
    called, back = _DIGESTS.get(name, (name, "set it back"))
    message = f"{folder.name} is of another training: {called} was {then!r}, is {now!r}{why}"
    return Problem(message, f"{back} to go on from there, or remove {folder} to begin anew", str(folder))
