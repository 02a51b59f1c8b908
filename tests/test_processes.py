"""A process that is told to die with its parent does; a lock ends with who holds it."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard.processes import locked_within


def test_it_ends_when_its_parent_does() -> None:
    child = "import os, time; from modelyard.processes import die_with_parent; die_with_parent(os.getppid()); "
    child += "print(os.getpid(), flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        number = int(started.stdout.readline())
        started.send_signal(signal.SIGKILL)
        until = time.monotonic() + 30
        while os.path.exists(f"/proc/{number}") and time.monotonic() < until:  # noqa: PTH110  (no file: a process)
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{number}")  # noqa: PTH110


def test_a_lock_is_had_once_and_goes_with_the_last_that_has_the_file_open(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert locked_within(0.0, first)
    assert not locked_within(0.0, second)
    os.close(first)
    assert locked_within(0.0, second)
    os.close(second)


def test_a_file_system_without_locks_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = [errno.ENOLCK, errno.EIO]

    def none(descriptor: int, operation: int) -> None:
        raise OSError(says[0], os.strerror(says[0]))

    monkeypatch.setattr("fcntl.flock", none)
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    assert locked_within(0.0, descriptor)
    says.pop(0)
    with pytest.raises(OSError, match="Input/output"):  # there are, and none was had
        locked_within(0.0, descriptor)
    os.close(descriptor)
