"""Conversations written in a process of their own: a chat template is a stranger's program, and may never end.

The kernel ends that process where one conversation takes more than so many seconds of its processor time (RLIMIT_CPU,
setrlimit(2)), be it within one operation that Python could not interrupt, and whether or not somebody still waits.
"""

import contextlib
import json
import math
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psutil

from modelyard.errors import InputError, Problem
from modelyard.tasks.chat import Rendered, Template, render

SECONDS = 30
"""Of processor time for one conversation: one of 256 answers and a million characters takes 0.6 s in ChatML."""
MEMORY_BYTES = 4 * 1024**3
"""Of address space beyond what the libraries take."""
MAX_CHARACTERS = 64 * 1024**2
"""Of a conversation as text: it goes through the memory of the process that trains."""
_NEXT = "take the template of another model of this family, or shorten the conversation"

Turns = Sequence[Mapping[str, Any]]
Write = Callable[[Turns, str], Rendered]
"""A conversation and where it came from -> the conversation as text; raises as `render`, and InputError."""
_Worker = subprocess.Popen[str]


@contextlib.contextmanager
def writing(template: Template) -> Iterator[Write]:
    """A function that has conversations written by a template, each within `SECONDS`.

    Yields:
        The function. It raises ValueError where the template refuses a conversation, and InputError where it took too
        long or too much, after which it is of no use.
    """
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "modelyard.tasks.rendering", str(SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="ascii",  # JSON escapes the rest
        start_new_session=True,  # Ctrl-C in the terminal is for who started it
    )
    try:
        _send(worker, template._asdict())
        yield lambda turns, source: _written(worker, turns, source)
    finally:
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]  # both are pipes


def _send(worker: _Worker, content: object) -> None:
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # that it is gone is told by its answer
        worker.stdin.write(json.dumps(content) + "\n")
        worker.stdin.flush()


def _written(worker: _Worker, turns: Turns, source: str) -> Rendered:
    assert worker.stdout is not None
    _send(worker, list(turns))
    line = worker.stdout.readline()
    if not line:
        raise InputError(Problem(_died(worker.wait()), _NEXT, source))
    answer = json.loads(line)
    if "refused" in answer:
        raise ValueError(answer["refused"])
    return Rendered(answer["text"], [(start, end) for start, end in answer["answers"]], answer["skipped"])


def _died(status: int) -> str:
    if status == -signal.SIGXCPU:
        return f"the chat template has not written the conversation in {SECONDS} s of processor time"
    reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"the process in which the chat template writes the conversation ended with {reason}"


def work(seconds: int) -> None:
    """Write conversations: lines of JSON from stdin, the first one the template, a line for each to stdout."""
    template = Template(**json.loads(sys.stdin.readline()))
    import transformers.utils.chat_template_utils  # noqa: F401  # its libraries before the limits

    _bound_memory()
    for line in sys.stdin:
        _bound_time(seconds)
        sys.stdout.write(json.dumps(_answer(json.loads(line), template)) + "\n")
        sys.stdout.flush()


def _answer(turns: Turns, template: Template) -> dict[str, Any]:
    try:
        rendered = render(turns, template)
    except ValueError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": f"the chat template takes more than {MEMORY_BYTES // 1024**3} GiB"}
    if len(rendered.text) > MAX_CHARACTERS:
        return {"refused": f"the chat template makes more than {MAX_CHARACTERS:,} characters of it"}
    return rendered._asdict()


def _bound_memory() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = psutil.Process().memory_info().vms + MEMORY_BYTES
    with contextlib.suppress(ValueError, OSError):  # a system without this limit
        resource.setrlimit(resource.RLIMIT_AS, (_at_most(wanted, most), most))


def _bound_time(seconds: int) -> None:
    """Until the process has used so many more seconds, the one that has begun counted whole."""
    used, (_, most) = resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (_at_most(wanted, most), most))


def _at_most(wanted: int, most: int) -> int:
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most)


if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1])
    )  # what SIGXCPU would leave
    work(int(sys.argv[1]))
