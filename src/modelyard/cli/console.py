"""What a person sees: tables on stdout, progress and problems on stderr."""

import contextlib
import logging
import os
import re
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import ModelyardError
from modelyard.progress import Progress

if TYPE_CHECKING:
    from modelyard.evidence.judge import Verdict
    from modelyard.evidence.report import Report
    from modelyard.pipeline.closing import Closing
    from modelyard.pipeline.stages import Event

MOST_CHARACTERS = 1_000
LINE_SECONDS = 10.0
SILENT_SECONDS = 15.0
"""A log in which nothing is said for so long is told what is being done."""
# what a terminal obeys instead of showing it (C0 without tab and line end, C1, bidirectional controls, UAX 9), and what
# has no UTF-8
_OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MARKS = {"PASS": ("✔", "green"), "FAIL": ("✘", "red"), "INCONCLUSIVE": ("?", "yellow")}


def shown(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text as a terminal may have it: whatever a file holds, it is cut, and commands to the terminal are escaped."""
    cut = text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
    return _OBEYED.sub(lambda sign: ascii(sign[0])[1:-1], cut)


def show_error(error: ModelyardError) -> None:
    """Print every problem on stderr, each with its next step on a line of its own."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for problem in error.problems:
        where = Text(f"{shown(problem.where)}: ", style="bold") if problem.where else Text()
        console.print(Text("error: ", style="bold red") + where + Text(shown(problem.message)))
        console.print(Text(f"  next: {shown(problem.next_step)}", style="dim"))


def show_report(report: "Report", *, as_json: bool = False) -> None:
    """Print a report: as JSON for a program, else a table of its verdicts and its notes for a person."""
    if as_json:
        sys.stdout.write(report.model_dump_json(indent=2, by_alias=True) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=table_width())
    table = Table(
        title=f"{report.stage}: {report.project}", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for heading in ("", "rule", "scope", "what was found"):
        table.add_column(heading, overflow="fold")
    several = len({verdict.subject for verdict in report.verdicts if verdict.rule != "evidence"} - {""}) > 1
    for verdict in sorted((verdict for verdict in report.verdicts if verdict.outcome != "PASS"), key=_by_weight):
        mark, colour = MARKS[verdict.outcome]
        style = colour if verdict.blocks else "dim"
        waived = f"\nwaived by {verdict.waiver.by} on {verdict.waiver.on}" if verdict.waiver else ""
        found = f"{verdict.reason}\nnext: {verdict.next_step}{waived}"
        table.add_row(
            Text(f"{mark} {verdict.outcome}", style=style),
            verdict.rule,
            Text(_where(verdict.scope, verdict, several)),
            Text(shown(found)),
        )
    for scopes in _passed(report.verdicts):
        mark, colour = MARKS["PASS"]
        scope = scopes[0].scope if len(scopes) == 1 else f"{len(scopes)} scopes"
        found = scopes[0].reason if len(scopes) == 1 else f"nearest to its limit, {scopes[0].scope}: {scopes[0].reason}"
        place = Text(_where(scope, scopes[0], several))
        table.add_row(Text(f"{mark} PASS", style=colour), scopes[0].rule, place, Text(shown(found)))
    if report.verdicts:
        console.print(table)
    for note in report.notes:
        console.print(Text(f"· {shown(note)}"), soft_wrap=True)


def _where(scope: str, verdict: "Verdict", several: bool) -> str:
    return shown(f"{scope}\n{verdict.subject}" if several and verdict.subject else scope, 100)


def table_width() -> int | None:
    """Columns of a table: the terminal's, and where there is none `$COLUMNS` or 110."""
    return None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "110"))


def _passed(verdicts: "Sequence[Verdict]") -> "list[list[Verdict]]":
    """Verdicts that passed, those of one rule and subject together, the one nearest to its limit first."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.outcome == "PASS":
            groups.setdefault((verdict.rule, verdict.subject), []).append(verdict)
    return [sorted(group, key=_room) for _, group in sorted(groups.items())]


def _room(verdict: "Verdict") -> float:
    """How far the interval stays from its limit, in the limit's unit."""
    if verdict.interval is None or verdict.limit is None:
        return 0.0
    ends = (verdict.interval.low, verdict.interval.high)
    return min(abs(end - verdict.limit.value) for end in ends)


def _by_weight(verdict: "Verdict") -> tuple[bool, int, str, str]:
    order = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
    return (not verdict.blocks, order[verdict.outcome], verdict.rule, verdict.scope)


def show_event(event: "Event") -> None:
    """Print what happens in a pipeline as it happens: a line where a stage starts and ends, its output between."""
    from rich.console import Console
    from rich.text import Text

    if event.kind == "output":
        sys.stdout.write(event.text + "\n")
    elif event.kind == "stopping":
        what = f"{event.stage} ends what it cannot leave" if event.stage else "DVC ends"
        sys.stderr.write(f"\nstopping: {what}, 10 s at most; Ctrl-C again kills it\n")
        sys.stderr.flush()
    else:
        words = {"started": "", "ended": f"  {_duration(event.seconds)}", "unchanged": "  unchanged"}[event.kind]
        mark, style = {"started": ("▶", "bold"), "ended": ("■", "dim"), "unchanged": ("=", "dim")}[event.kind]
        Console(highlight=False).print(Text(f"{mark} {event.stage}{words}", style=style), soft_wrap=True)
    sys.stdout.flush()


def show_closing(closing: "Closing") -> None:
    """Print what came of a run: the table of stages, what stands in the way, the release and how to use it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "", "time", "passed", "failed", "inconclusive", "warnings"):
        table.add_column(heading, justify="left" if heading in ("stage", "") else "right")
    colours = {"refused": "red", "failed": "red", "not reached": "dim", "unchanged": "dim"}
    for stage in closing.stages:
        counts = [str(stage.outcomes.get(outcome, 0)) for outcome in MARKS] + [str(stage.others)]
        told = counts if stage.outcomes or stage.others else []
        time_taken = "" if stage.seconds is None else _duration(stage.seconds)
        table.add_row(stage.name, Text(stage.state, style=colours.get(stage.state, "")), time_taken, *told)
    console.print()
    console.print(table)
    for stage in closing.stages:
        for reason in stage.reasons:
            console.print(Text(f"{stage.name}: {shown(reason)}", style="yellow"), soft_wrap=True)
    for line in _closing_lines(closing):
        console.print(Text(line), soft_wrap=True)
    show_lines(closing.waivers)


def show_lines(lines: Sequence[str]) -> None:
    """Print lines that a person copies, as they are: never broken to the terminal's width."""
    for line in lines:
        sys.stdout.write(f"{shown(line)}\n")


def _closing_lines(closing: "Closing") -> list[str]:
    lines = []
    failure = closing.failure
    if failure is not None and failure.status not in (1, 3):
        killed = failure.status is not None and (failure.status < 0 or failure.status > 128)
        how = "was killed, perhaps for want of memory" if killed else f"ended with exit status {failure.status}"
        lines.append(f"{failure.stage} {how}; what it said stands above")
    if not closing.releases:
        return lines + _model_lines(closing)
    if closing.release is None:
        return [*lines, "no release was made"]
    return lines + _release_lines(closing, closing.release)


def _release_lines(closing: "Closing", release: Path) -> list[str]:
    if closing.refused:
        return [f"release/ does not verify: {'; '.join(str(problem) for problem in closing.refused)}"]
    if not closing.current:
        return [f"release/ is from an earlier run and does not stand on these reports: {closing.digest}"]
    program = _as_typed(release.parent)
    return [
        f"release  {closing.digest}",
        f"model    {closing.model}",
        f'ask it   {program} predict {release.name} "your text"',
        f"serve it {program} serve {release.name}",
    ]


def _model_lines(closing: "Closing") -> list[str]:
    """What a pipeline without a release has made: a model, how good it is, and where to look."""
    report = closing.trained
    if report is None:
        return [] if closing.failure is None else ["no model was made"]
    lines = ["model    model/, a Hugging Face folder"]
    lines += [f"found    {shown(note)}" for note in report.notes[:1]]  # the first one says how good it is
    for verdict in report.verdicts:
        step = f"; next: {verdict.next_step}" if verdict.next_step else ""
        lines.append(f"verdict  {verdict.outcome} {verdict.rule}: {shown(verdict.reason + step)}")
    return [*lines, f"see it   {_as_typed(closing.folder)} report --html"]


def _as_typed(project: Path) -> str:
    """How this program is called in a project from where the person is: as it was called here, in that folder."""
    called = sys.argv[0] if Path(sys.argv[0]).name == "modelyard" and "/" in sys.argv[0] else "modelyard"
    program = "modelyard" if shutil.which("modelyard") else str(Path(called).absolute())
    there = "" if project.resolve() == Path.cwd() else f"cd {shlex.quote(str(project))} && "
    return f"{there}{shlex.quote(program)}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


@contextlib.contextmanager
def heard_logs(*, aloud: bool) -> Iterator[None]:
    """Print what the library logs, each on a line of stderr, where `progress_bar` lets it through; or print none of it.

    Without a handler Python itself would print its warnings.
    """
    log = logging.getLogger("modelyard")
    handler = logging.StreamHandler() if aloud else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextlib.contextmanager
def progress_bar(first: str = "") -> Iterator[Progress]:
    """A progress bar on stderr where that is a terminal; elsewhere a plain line every ten seconds.

    Args:
        first: said at once, before there is anything to count, and never followed by a long silence.
    """
    with _rich_bar(first) if sys.stderr.isatty() else _plain_lines(first) as progress:
        yield progress


@contextlib.contextmanager
def _rich_bar(first: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {}
        waiting = bar.add_task(first, total=None) if first else None

        def progress(what: str, done: int, total: int) -> None:
            # `train, loss 0.41` and `train, loss 0.40` are one bar
            name = what.partition(",")[0]
            if waiting is not None:
                bar.update(waiting, visible=False)
            if name not in tasks:
                tasks[name] = bar.add_task(what, total=total or None)
            bar.update(tasks[name], description=what, completed=done, total=total or None)

        yield progress


@contextlib.contextmanager
def _plain_lines(first: str) -> Iterator[Progress]:
    begun: dict[str, tuple[float, int]] = {}  # when, and how much was done by then
    last: dict[str, float] = {}
    reached: dict[str, int] = {}
    slow: set[str] = set()  # whose end is told too
    now, said_at, over = first, time.monotonic(), threading.Event()

    def say(line: str) -> None:
        nonlocal said_at
        said_at = time.monotonic()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal now
        name, moment = what.partition(",")[0], time.monotonic()
        before = reached.get(name, 0)
        if done < before or (total and before == total):  # it is done once more, as an evaluation is
            del begun[name], last[name]
            slow.discard(name)
        reached[name] = done
        start, had = begun.setdefault(name, (moment, done))
        now = f"{what}: {done}{f' of {total}' if total else ''}"
        if moment - last.setdefault(name, moment) >= LINE_SECONDS or (done == total and name in slow):
            last[name] = moment
            slow.add(name)
            left = f", {_duration((moment - start) * (total - done) / (done - had))} left" if had < done < total else ""
            say(f"{now}{left}")

    def remind() -> None:
        while not over.wait(SILENT_SECONDS / 10):
            if time.monotonic() - said_at >= SILENT_SECONDS:
                say(f"still at it: {now}")

    if first:
        say(first)
        threading.Thread(target=remind, name="progress", daemon=True).start()
    try:
        yield progress
    finally:
        over.set()
