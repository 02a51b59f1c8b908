"""`python -m modelyard.pipeline.guarded PARENT ARGUMENTS`: DVC, in a process that does not outlive its `run`.

It leads a process group of its own, in which every stage runs. When its parent is gone (`kill -9`, a closed terminal,
no memory left), the whole group is killed: no stage goes on writing where the next `run` begins.
"""

import io
import os
import sys

from modelyard.processes import die_with_parent


class _NoTerminal(io.TextIOWrapper):
    """stderr that owns up to no terminal: DVC draws no bars; the stages inherit the real one and do."""

    def isatty(self) -> bool:
        """Never."""
        return False


def main(parent: int, arguments: list[str]) -> int:
    """Run DVC with `arguments` and return its exit status.

    Raises:
        RuntimeError: this process leads no group: killing the group would kill others.
    """
    if os.getpgrp() != os.getpid():
        raise RuntimeError("guarded must be started in a process group of its own")
    die_with_parent(parent)
    sys.stderr = _NoTerminal(sys.stderr.buffer, encoding="utf-8", errors="replace", line_buffering=True)
    from dvc.cli import main as dvc

    return int(dvc(arguments))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
