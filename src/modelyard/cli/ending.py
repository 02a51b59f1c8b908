"""How a command ends that is told to before it has anything to save."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from modelyard.cli.console import show_error
from modelyard.errors import Stopped
from modelyard.processes import hearing

LATE_SECONDS = 5.0
"""After a signal: an interrupt that comes within a callback, as imports have many, is lost without a word."""


@contextlib.contextmanager
def told_by_signals() -> Iterator[None]:
    """Let a SIGTERM or SIGINT end the block as an error, which clears away what is begun; a second one ends it at once.

    Raises:
        Stopped: one came.
    """
    came: list[int] = []

    def late(number: int, frame: FrameType | None) -> None:
        show_error(Stopped(came[0]))
        os._exit(Stopped(came[0]).exit_status)

    def end(number: int, put_back: Callable[[], None]) -> None:
        came.append(number)
        put_back()
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, LATE_SECONDS)
        raise KeyboardInterrupt  # which no `except Exception` on the way holds up

    try:
        with hearing(end):
            yield
    except BaseException as error:  # a library may have made something else of it on the way
        if came and not isinstance(error, Stopped):
            raise Stopped(came[0]) from None
        raise
    finally:
        if came:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
