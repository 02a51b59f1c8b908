"""Processes that do not outlive whoever started them, and the signals that end them."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

POLL_SECONDS = 0.2
ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals by which a system and a person end a program."""


def die_with_parent(parent: int) -> None:
    """Kill this process group, which this process leads, as soon as `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the process as the system does, where it waits outside of Python, which hears none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (*ENDING, signal.SIGALRM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
