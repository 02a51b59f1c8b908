"""`modelyard train --processes N`: N processes on this machine, with the variables by which torchrun's would know them.

On several machines torchrun itself starts them (docs/training.md).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import psutil

from modelyard.errors import Lost
from modelyard.processes import hearing

PARENT = "MODELYARD_LAUNCHED_BY"
"""The variable that names the process with which those that `launch` started end."""
GRACE_SECONDS = 60.0
"""After the first process ended with an error the others have so long to end: they wait for it in vain."""
_POLL_SECONDS = 0.05


def launch(command: Sequence[str], processes: int) -> int:
    """Start a command so many times and wait; a signal to this process goes to all.

    Args:
        command: program and arguments.
        processes: at least 2.

    Returns:
        The exit status of the first process that ended with an error; 0 where none did.
    """
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), PARENT: str(os.getpid())}
    address |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
    # a torchrun around this process has a meeting place of its own, where nobody would wait for these
    around = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")}
    threads = max(1, (psutil.cpu_count(logical=False) or 1) // processes)
    # torch says at every start that weights without a gradient are looked for and that there are none
    shared = {"OMP_NUM_THREADS": str(threads), "TORCH_CPP_LOG_LEVEL": "ERROR"} | around | address
    with contextlib.ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(1, processes)]
        children = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                    # the report and the progress are those of the first process
                    stdout=subprocess.DEVNULL if rank else None,
                    stderr=said[rank - 1] if rank else None,
                    start_new_session=True,  # Ctrl-C in the terminal comes from here, once
                )
            )
            for rank in range(processes)
        ]
        with hearing(lambda number, put_back: _pass_on(number, children)):
            ended = _wait(children)
        statuses = [child.returncode for child in children]
        if not ended:
            return 0
        # those that were left alone end too, be it sooner than the one that left them
        failed = next((rank for rank in ended if statuses[rank] != Lost.exit_status), ended[0])
        if failed and statuses[failed] != statuses[0]:  # else the first process has said the same
            said[failed - 1].seek(0)
            sys.stderr.buffer.write(said[failed - 1].read())
        if statuses[failed] < 0:
            name = signal.Signals(-statuses[failed]).name
            sys.stderr.write(f"error: process {failed} of {processes} was ended by {name}\n")
            sys.stderr.write("  next: run the same command again: it goes on from the last checkpoint\n")
        sys.stderr.flush()
    return 128 - statuses[failed] if statuses[failed] < 0 else statuses[failed]


def _wait(children: "Sequence[subprocess.Popen[bytes]]") -> list[int]:
    """Wait for all to end; the numbers of those that ended with an error by themselves, in that order."""
    ended: list[int] = []
    deadline = float("inf")
    try:
        while time.monotonic() < deadline:
            statuses = [child.poll() for child in children]
            ended += [rank for rank, status in enumerate(statuses) if status and rank not in ended]
            if ended and deadline == float("inf"):
                deadline = time.monotonic() + GRACE_SECONDS
            if None not in statuses:
                break
            time.sleep(_POLL_SECONDS)
    finally:
        for child in children:
            child.kill()
            child.wait()
    return ended


def _pass_on(number: int, children: "Sequence[subprocess.Popen[bytes]]") -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(number)


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
