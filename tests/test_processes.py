"""A process that is told to die with its parent does."""

import os
import signal
import subprocess
import sys
import time


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
