"""How long work tells somebody how far it is: one callable type, passed down; the terminal's bar is in `cli`."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`: `what` is a short phrase such as `train, loss 0.41`; total 0 means unknown."""


def silent(what: str, done: int, total: int) -> None:
    """A progress that tells nobody."""
