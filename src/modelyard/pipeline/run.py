"""`modelyard run`: DVC repeats what changed; its stages are shown as they go, and judged by their reports."""

import contextlib
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from modelyard.errors import InputError, Problem
from modelyard.pipeline.closing import Closing, close
from modelyard.pipeline.locks import drop_stale_locks, locked
from modelyard.pipeline.machine import write_machine
from modelyard.pipeline.stages import Event, Failure, parse_failure, parse_line, read_stages
from modelyard.project.load import load_project

STOP_SECONDS = 10.0
DRAIN_SECONDS = 0.2
View = Callable[[Event], None]


@dataclass
class _Progress:
    """What has happened so far; `order` is the order in which stages were met."""

    seconds: dict[str, float] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    current: str = ""
    since: float = 0.0


def run(folder: Path, view: View, *, terminal: bool = False) -> Closing:
    """Run the pipeline of a project and say what came of it.

    Args:
        folder: the project.
        view: told every event, in order.
        terminal: stages get a terminal for their progress bars, whose bytes go on to stderr.

    Raises:
        InputError: bad settings or pipeline, another run is going, or DVC could not run a stage.
        KeyboardInterrupt: Ctrl-C; every stage was stopped before.
    """
    project = load_project(folder)
    stages = read_stages(project)
    if not (folder / ".dvc").is_dir():
        raise InputError(Problem(f"{folder} has no .dvc folder", "run `dvc init` in it", str(folder)))
    progress = _Progress()
    with locked(folder) as lock:
        drop_stale_locks(folder)
        write_machine(folder)
        before = _stamps(folder, stages)
        status, errors = _reproduce(folder, progress, view, lock, terminal=terminal)
    failure = parse_failure(errors) if status else None
    if status and (failure is None or failure.status is None):
        raise InputError(_dvc_problem(errors, failure, status, folder))
    after = _stamps(folder, stages)
    written = [name for name in after if after[name] != before.get(name)]
    return close(project, list(stages), progress.order, progress.seconds, failure, written=written)


def _stamps(folder: Path, stages: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Stage -> which file its report is: a report is replaced whole, so that a new one has another number or time."""
    paths = {name: folder / "reports" / f"{name}.json" for name in stages}
    return {name: (found.st_ino, found.st_mtime_ns) for name in paths if (found := _stat(paths[name]))}


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _reproduce(folder: Path, progress: _Progress, view: View, lock: int, *, terminal: bool) -> tuple[int, str]:
    """Run `dvc repro`; returns its exit status and its error lines."""
    reading, writing = _terminal_pair() if terminal else os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "modelyard.pipeline.guarded", str(os.getpid()), "repro"],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=writing,
        start_new_session=True,
        pass_fds=[lock],
    )
    os.close(writing)
    relay = _Relay(reading)
    relay.start()
    assert child.stdout is not None
    try:
        _follow(child.stdout, progress, view, relay.drain)
        status = child.wait()
    except BaseException:
        view(Event("stopping", progress.current))
        _stop(child)
        raise
    finally:
        _kill_group(child.pid, signal.SIGKILL)
        child.stdout.close()
        relay.join(STOP_SECONDS)
    _end_current(progress, view)
    return status, relay.errors


def _environment() -> dict[str, str]:
    """This environment's programs first, one plain shell, output as it comes, and tables as wide as this terminal."""
    width = os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return (
        environment
        | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "SHELL": "/bin/sh",
            "PYTHONUNBUFFERED": "1",
            "DVC_NO_ANALYTICS": "1",
        }
        | ({"COLUMNS": str(width), "FORCE_COLOR": "1"} if width else {})
    )


def _follow(stream: IO[bytes], progress: _Progress, view: View, drain: Callable[[], None]) -> None:
    for raw in stream:
        drain()
        event = parse_line(raw.decode("utf-8", errors="replace").rstrip("\r\n"), progress.current)
        if event is None:
            continue
        if event.kind in ("started", "unchanged"):
            _end_current(progress, view)
            progress.order.append(event.stage)
        if event.kind == "started":
            progress.current, progress.since = event.stage, time.monotonic()
        view(event)


def _end_current(progress: _Progress, view: View) -> None:
    if progress.current:
        seconds = time.monotonic() - progress.since
        progress.seconds[progress.current] = seconds
        view(Event("ended", progress.current, seconds=seconds))
        progress.current = ""


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Ask every stage to stop, as Ctrl-C in its own terminal would."""
    _kill_group(child.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)


def _kill_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _terminal_pair() -> tuple[int, int]:
    """A terminal of the size of ours: what stages take for stderr, so that they draw progress bars."""
    reading, writing = pty.openpty()
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(sys.stderr.fileno())
        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", size.lines, size.columns, 0, 0))
    return reading, writing


class _Relay(threading.Thread):
    """Passes bytes on to stderr at once; keeps error lines in `errors`, and DVC's last words only there."""

    _error = re.compile(rb"(\x1b\[[0-9;]*m)*ERROR:")
    _last_words = re.compile(rb"(\x1b\[[0-9;]*m)*ERROR:(\x1b\[[0-9;]*m)* failed to reproduce '")
    _colour = re.compile(r"\x1b\[[0-9;]*m")

    def __init__(self, source: int) -> None:
        super().__init__(daemon=True)
        self.source = source
        self.kept: list[bytes] = []
        self.held = b""
        self.ending = False
        self.ended = False
        self.passing = threading.Lock()

    @property
    def errors(self) -> str:
        """Error lines, without colours; DVC's last words go on over several lines."""
        return self._colour.sub("", b"".join(self.kept).decode("utf-8", errors="replace"))

    def run(self) -> None:
        while self._step():
            pass
        with self.passing:
            self.ended = True
            if self.held:
                self._pass_on(self.held)
            os.close(self.source)

    def _step(self) -> bool:
        """Wait, read and pass on; False at the end. Who holds the lock sees nothing that was read and not passed on."""
        select.select([self.source], [], [])
        with self.passing:
            piece = self._read()
            self._take(piece)
        return bool(piece)

    def _take(self, piece: bytes) -> None:
        *lines, rest = (self.held + piece).split(b"\n")
        for line in lines:
            self._pass_on(line + b"\n")
        # a line that may still turn out to be an error waits for its end; a progress bar does not
        self.held = rest if self.ending or self._may_be_error(rest) else b""
        if rest and not self.held:
            self._write(rest)

    def _read(self) -> bytes:
        try:
            return os.read(self.source, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # how Linux says that a terminal's other side is closed
                return b""
            raise

    def _may_be_error(self, start: bytes) -> bool:
        """Whether DVC's `ERROR:` may begin here: colours first, then its letters. A bar's other codes go on at once."""
        plain = self._colour.sub("", start.decode("latin-1")).encode("latin-1")
        return b"ERROR:".startswith(plain[:6]) or re.fullmatch(rb"\x1b(\[[0-9;]*)?", plain) is not None

    def drain(self) -> None:
        """Wait until all that was written so far is passed on, so that a bar is wiped before the next line comes."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            with self.passing:
                if self.ended or not select.select([self.source], [], [], 0)[0]:
                    return
            time.sleep(0.001)  # the thread is about to read it

    def _pass_on(self, line: bytes) -> None:
        self.ending = self.ending or self._last_words.match(line) is not None
        if self.ending or self._error.match(line):
            self.kept.append(line)
        if not self.ending:
            self._write(line)

    def _write(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()


def _dvc_problem(errors: str, failure: Failure | None, status: int, folder: Path) -> Problem:
    """DVC gave up before or after a stage: its own words, and what to do about the usual reasons."""
    said = " ".join(errors.replace("ERROR:", " ").split()) or f"it ended with status {status} and said nothing"
    stage = f" at the stage {failure.stage}" if failure else ""
    next_step = "run `dvc repro -v` for details"
    if "Unable to acquire lock" in said:
        next_step = "wait until the other DVC command ends, then run it again"
    elif "No space left" in said:
        next_step = "free some space and run it again"
    elif "does not exist" in said or "missing data" in said:
        next_step = "put back what is missing: `dvc checkout` restores data and models from DVC's cache"
    return Problem(f"DVC gave up{stage}: {said}", next_step, str(folder / "dvc.yaml"))
