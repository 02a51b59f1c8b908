"""How much memory this process may still take: of the machine, and of every control group that it is held in."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_OWN = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


class _Files(NamedTuple):
    """Where a version of cgroups keeps a group's limit and its use, and what it calls files not read lately."""

    limit: str
    used: str
    inactive: str


_SECOND = _Files("memory.max", "memory.current", "inactive_file")
_FIRST = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
"""Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst."""


def available_memory_bytes() -> int:
    """What is free on this machine, or less where a control group leaves less: a container, a unit of systemd, a job.

    A group's use counts the files that it has read, of which the kernel gives back those not read lately.
    """
    import psutil

    return max(0, min([int(psutil.virtual_memory().available), *_left()]))


def _left() -> Iterator[int]:
    """What is left of the limit of this process's own group and of each one around it, where there is one."""
    for folder, files in _own_groups():
        with contextlib.suppress(OSError, ValueError, KeyError):  # no limit is the word `max`, or no file at the root
            most, used = (int((folder / name).read_text()) for name in (files.limit, files.used))
            kept = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield most - used + int(kept[files.inactive])


def _own_groups() -> Iterator[tuple[Path, _Files]]:
    """The folders of the groups that this process is in and that may limit its memory, the outermost first."""
    lines: list[str] = []
    with contextlib.suppress(OSError):  # no Linux
        lines = _OWN.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, files = (_GROUPS / "memory", _FIRST) if controllers else (_GROUPS, _SECOND)
        # a container may see the path that its host knows it by: then only the top is there, which is its own group
        names = [] if ".." in path else [name for name in path.split("/") if name]
        yield from ((top.joinpath(*names[:depth]), files) for depth in range(len(names) + 1))
