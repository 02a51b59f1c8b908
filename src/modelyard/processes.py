"""Processes that do not outlive whoever started them, the signals that end them, and locks that end with them."""

import contextlib
import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

POLL_SECONDS = 0.2
ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals by which a system and a person end a program."""
Handler = Callable[[int, FrameType | None], Any] | signal.Handlers


def die_with_parent(parent: int) -> None:
    """Kill this process group, which this process leads, as soon as `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def locked_within(seconds: float, descriptor: int) -> bool:
    """Take an open file's lock, which the kernel lets go with the last process that has the file open.

    Returns:
        Whether nobody else has it any more after so long. A file system without locks holds nobody up.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            return True
        else:
            return True


@contextlib.contextmanager
def hearing(heard: Callable[[int, Callable[[], None]], None]) -> Iterator[None]:
    """Have a function called where SIGTERM or SIGINT come within the block, which end nothing then by themselves.

    Another thread than the main one may set no handler: there nothing is heard.

    Args:
        heard: is given the signal's number, and what lets further ones do again what they did before.
    """
    with _handled(lambda put_back: lambda number, frame: heard(number, put_back), ENDING):
        yield


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the process as the system does, where it waits outside of Python, which hears none."""
    with _handled(lambda put_back: signal.SIG_DFL, (*ENDING, signal.SIGALRM)):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[Callable[[], None]], Handler], numbers: Sequence[signal.Signals]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}

    def put_back() -> None:
        for number, was in before.items():
            signal.signal(number, was)

    try:
        for number in numbers:
            signal.signal(number, handler(put_back))
        yield
    finally:
        put_back()
