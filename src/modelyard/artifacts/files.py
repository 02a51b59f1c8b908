"""Files and folders: written beside, then swapped in; the same tree gives the same digest everywhere."""

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from modelyard.errors import InputError, Problem

_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100  # fcntl.h
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_WRITE_ERRORS = (*_NO_ROOM, errno.EFBIG, errno.EROFS)
"""What only a write meets: an error of a file that is open already names no path."""
MAX_JSON_BYTES = 64 * 1024 * 1024


def digest_bytes(data: bytes) -> str:
    """`sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Digest of a file's bytes, read in pieces."""
    with path.open("rb") as handle:
        return "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()


def list_files(folder: Path) -> list[Path]:
    """Every regular file below `folder`, relative to it, in the order of the UTF-8 bytes of its POSIX path.

    Raises:
        InputError: a symbolic link or a special file stands in the tree (it could point outside), or a folder of it
            cannot be read.
    """
    found, strange = scan_folder(folder)
    if strange:
        raise InputError(strange)
    return found


def scan_folder(folder: Path) -> tuple[list[Path], list[Problem]]:
    """What `list_files` finds, and what it refuses, for a caller that has more problems to tell."""
    found: list[Path] = []
    strange: list[Problem] = []

    def unreadable(error: OSError) -> None:
        strange.append(Problem(f"{error.filename} cannot be read: {error.strerror}", "allow reading it", str(folder)))

    for root, folders, names in os.walk(folder, onerror=unreadable):
        for name in folders + names:
            path = Path(root, name)
            if not name.isprintable():  # a line end in a name would forge a line of a digest; a broken name has none
                strange.append(
                    Problem(f"the file name {name!r} has control characters or is not UTF-8", "rename it", str(folder))
                )
            elif path.is_symlink() or not (path.is_dir() or path.is_file()):
                strange.append(
                    Problem(
                        f"{path.name!r} is a symbolic link or a special file", "replace it by a plain file", str(path)
                    )
                )
            elif path.is_file():
                found.append(path.relative_to(folder))
    return sorted(found, key=lambda path: path.as_posix().encode()), sorted(strange, key=str)


def digest_folder(folder: Path) -> str:
    """Digest of a tree: of the lines `DIGEST  POSIX/PATH` of its files in path order.

    Independent of the machine, the order in the file system, times and permissions. Empty folders do not count.
    """
    lines = "".join(f"{digest_file(folder / path)}  {path.as_posix()}\n" for path in list_files(folder))
    return digest_bytes(lines.encode())


def digest_path(path: Path) -> str:
    """Digest of a file or of a folder."""
    return digest_folder(path) if path.is_dir() else digest_file(path)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(_unwritable(path, error)) from error


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, document: BaseModel) -> None:
    """Write a pydantic document as indented JSON, keys by their alias, non-ASCII text readable."""
    write_text(path, document.model_dump_json(indent=2, by_alias=True) + "\n")


def refuse_special(path: Path, *, next_step: str) -> None:
    """Refuse a pipe or a device where a file is expected: opening one waits for whoever writes into it.

    Raises:
        InputError: it is one.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(Problem(f"{path.name} is a pipe or a device, not a file", next_step, str(path)))


def read_json_text(path: Path, *, next_step: str) -> str:
    """Text of a JSON file of ours, with a limit on its size.

    Raises:
        InputError: it is missing, larger than 64 MiB or not UTF-8.
    """
    try:
        refuse_special(path, next_step=next_step)
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(Problem(f"{path.name} is larger than 64 MiB", next_step, str(path)))
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"{path.name} cannot be read: {error}", next_step, str(path))) from error


@contextlib.contextmanager
def replacing_folder(target: Path, *, mark: str) -> Iterator[Path]:
    """Yield an empty folder beside `target`; on success it takes the place of `target` in one step.

    A killed process leaves `target` as it was. What an earlier killed process left beside it is tidied first: a target
    that it had just moved aside, where two folders cannot be exchanged, is moved back.

    Args:
        target: where the folder will stand.
        mark: name of the file by which a folder of ours is known (`dataset.json`, `manifest.json`, …): a target
            that is not empty and lacks it was made by somebody else and is never replaced.

    Raises:
        InputError: the target is a link, a file or somebody else's folder, or cannot be written; or another file that
            the caller used meanwhile gave a system error, which is told with that file's path.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _placing(target):
        _move_back(target)
        check_replaceable(target, mark=mark)
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(target):
            shutil.rmtree(leftover, ignore_errors=True)
        beside.mkdir()
    try:
        with _filling(target, beside):
            yield beside
        with _placing(target):
            check_replaceable(target, mark=mark)
            _swap_in(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder for what is thrown away in the end; what killed processes left under the same name is tidied first.

    Raises:
        InputError: it cannot be made, or a write into it failed.
    """
    target = parent / f"{name}-scratch"
    folder = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _placing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(target):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    try:
        with _filling(folder, folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _placing(target: Path) -> Iterator[None]:
    """Every system error here is of a place that cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(_unwritable(target, error)) from error


@contextlib.contextmanager
def _filling(target: Path, folder: Path) -> Iterator[None]:
    """Tell a write into `folder` that failed from an error of any other file the caller used, such as one it copies."""
    try:
        yield
    except OSError as error:
        paths = _paths(error)
        ours = any(path.resolve().is_relative_to(folder.resolve()) for path in paths)
        if ours or error.errno in _WRITE_ERRORS:
            place = target if ours or not paths else paths[-1]
            raise InputError(_unwritable(place, error)) from error
        if paths:
            reason = f"{paths[0]} cannot be used: {error.strerror or error}"
            next_step = "see that it is there and that you may use it, then run it again"
            raise InputError(Problem(reason, next_step, str(paths[0]))) from error
        raise


def check_replaceable(target: Path, *, mark: str) -> None:
    """Refuse a target that Modelyard did not make."""
    next_step = "name another place with --output, or remove it yourself"
    if target.is_symlink():
        raise InputError(Problem(f"the output {target} is a symbolic link", next_step, str(target)))
    if target.exists() and not target.is_dir():
        raise InputError(Problem(f"the output {target} is a file", next_step, str(target)))
    if target.is_dir() and any(target.iterdir()) and not (target / mark).is_file():
        raise InputError(
            Problem(
                f"the output folder {target} is not empty and holds no {mark}: Modelyard did not make it",
                next_step,
                str(target),
            )
        )


def check_writable(folder: Path) -> None:
    """Find out before the work, not after it, that nothing can be written into a folder, or that it cannot be made.

    Raises:
        InputError: nothing can be written there.
    """
    place = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    beside = place / f".{secrets.token_hex(4)}.tmp"
    with _placing(folder):
        beside.touch(exist_ok=False)
        beside.unlink()


def check_output(target: Path, *, mark: str) -> None:
    """What `replacing_folder` will refuse, found out before hours of work.

    Raises:
        InputError: Modelyard did not make what stands there, or nothing can be written there.
    """
    check_replaceable(target, mark=mark)
    check_writable(target.parent)


def _leftovers(target: Path) -> list[Path]:
    """What dead processes left beside `target`; the pattern is exact, as `out.b` may stand beside `out`."""
    return leftovers(target.parent, re.escape(target.name))


def leftovers(folder: Path, name: str) -> list[Path]:
    """What dead processes left in a folder of targets with such names.

    Args:
        folder: where the targets stand.
        name: a regular expression without groups.
    """
    pattern = re.compile(rf"\.(?:{name})\.(\d+)(?:\.old)?\.tmp")
    inside = folder.iterdir() if folder.is_dir() else ()
    return [path for path in inside if (found := pattern.fullmatch(path.name)) and not _alive(int(found[1]))]


def _move_back(target: Path) -> None:
    """Undo the first of the two renames of `_swap_in` where a process died before the second."""
    moved_aside = [path for path in _leftovers(target) if path.name.endswith(".old.tmp")]
    if moved_aside and not os.path.lexists(target):
        max(moved_aside, key=lambda path: path.stat().st_mtime_ns).rename(target)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _swap_in(beside: Path, target: Path) -> None:
    """Put `beside` where `target` is. On Linux the two are exchanged in one system call."""
    if not target.exists():
        try:
            beside.rename(target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was as fast
                raise
    if not _exchange(beside, target):
        old = target.with_name(f".{target.name}.{os.getpid()}.old.tmp")
        target.rename(old)
        try:
            beside.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    status = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if status == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):  # a file system without the exchange
        return False
    raise OSError(number, os.strerror(number), str(other))


def _unwritable(path: Path, error: OSError) -> Problem:
    if error.errno in _NO_ROOM:
        return Problem(f"the disk is full while writing {path}", "free some space and run it again", str(path))
    reason = error.strerror or str(error)
    if (paths := _paths(error)) and paths[0] != path:
        reason += f": {paths[0]}"
    return Problem(f"{path} cannot be written: {reason}", "choose a place you may write to with --output", str(path))


def _paths(error: OSError) -> list[Path]:
    """The files an error names, not a descriptor's number; a copy that fails names its source, then its target."""
    names = (error.filename, error.filename2)
    return [Path(os.fsdecode(name)) for name in names if isinstance(name, str | bytes | os.PathLike)]
