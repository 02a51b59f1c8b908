"""What a person sees: tables on stdout, progress and problems on stderr."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelyard.errors import ModelyardError
from modelyard.progress import Progress

if TYPE_CHECKING:
    from modelyard.evidence.judge import Verdict
    from modelyard.evidence.report import Report
    from modelyard.pipeline.closing import Closing
    from modelyard.pipeline.stages import Event

MARKS = {"PASS": ("✔", "green"), "FAIL": ("✘", "red"), "INCONCLUSIVE": ("?", "yellow")}


def show_error(error: ModelyardError) -> None:
    """Print every problem on stderr, each with its next step on a line of its own."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for problem in error.problems:
        where = Text(f"{problem.where}: ", style="bold") if problem.where else Text()
        console.print(Text("error: ", style="bold red") + where + Text(problem.message))
        console.print(Text(f"  next: {problem.next_step}", style="dim"))


def show_report(report: "Report", *, as_json: bool = False) -> None:
    """Print a report: as JSON for a program, else a table of its verdicts and its notes for a person."""
    if as_json:
        sys.stdout.write(report.model_dump_json(indent=2, by_alias=True) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(
        title=f"{report.stage}: {report.project}", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for heading in ("", "rule", "scope", "what was found"):
        table.add_column(heading, overflow="fold")
    for verdict in sorted(report.verdicts, key=_by_weight):
        mark, colour = MARKS[verdict.outcome]
        if verdict.outcome != "PASS" and not verdict.blocks:
            colour = "dim"
        subject = f" [{verdict.subject}]" if verdict.subject else ""
        found = Text(verdict.reason + ("" if not verdict.next_step else f"\nnext: {verdict.next_step}"))
        table.add_row(
            Text(f"{mark} {verdict.outcome}", style=colour), verdict.rule, Text(verdict.scope + subject), found
        )
    if report.verdicts:
        console.print(table)
    for note in report.notes:
        console.print(Text(f"· {note}"), soft_wrap=True)


def _by_weight(verdict: "Verdict") -> tuple[bool, int, str, str]:
    order = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
    return (not verdict.blocks, order[verdict.outcome], verdict.rule, verdict.scope)


def show_event(event: "Event") -> None:
    """Print what happens in a pipeline as it happens: a line where a stage starts and ends, its output between."""
    from rich.console import Console
    from rich.text import Text

    if event.kind == "output":
        sys.stdout.write(event.text + "\n")
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
    for heading in ("stage", "", "time", "passed", "failed", "inconclusive"):
        table.add_column(heading, justify="left" if heading in ("stage", "") else "right")
    colours = {"refused": "red", "failed": "red", "not reached": "dim", "unchanged": "dim"}
    for stage in closing.stages:
        counts = [str(stage.outcomes.get(outcome, 0)) if stage.outcomes else "" for outcome in MARKS]
        time_taken = "" if stage.seconds is None else _duration(stage.seconds)
        table.add_row(stage.name, Text(stage.state, style=colours.get(stage.state, "")), time_taken, *counts)
    console.print()
    console.print(table)
    for stage in closing.stages:
        for reason in stage.reasons:
            console.print(Text(f"{stage.name}: {reason}", style="yellow"), soft_wrap=True)
    for line in _closing_lines(closing):
        console.print(Text(line), soft_wrap=True)


def _closing_lines(closing: "Closing") -> list[str]:
    lines = []
    failure = closing.failure
    if failure is not None and failure.status not in (1, 3):
        killed = failure.status is not None and (failure.status < 0 or failure.status > 128)
        how = "was killed, perhaps for want of memory" if killed else f"ended with exit status {failure.status}"
        lines.append(f"{failure.stage} {how}; what it said stands above")
    if closing.release is None:
        lines.append("no release was made")
    elif not closing.current:
        lines.append(f"release/ is from an earlier run and does not stand on these reports: {closing.digest}")
    else:
        lines += [
            f"release  {closing.digest}",
            f'ask it   modelyard predict {closing.release.name} "your text"',
            f"serve it modelyard serve {closing.release.name}",
        ]
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr where that is a terminal; elsewhere a plain line every ten seconds."""
    if sys.stderr.isatty():
        with _rich_bar() as progress:
            yield progress
    else:
        yield _plain_lines()


@contextlib.contextmanager
def _rich_bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def progress(what: str, done: int, total: int) -> None:
            # `train, loss 0.41` and `train, loss 0.40` are one bar
            name = what.partition(",")[0]
            if name not in tasks:
                tasks[name] = bar.add_task(what, total=total or None)
            bar.update(tasks[name], description=what, completed=done, total=total or None)

        yield progress


def _plain_lines() -> Progress:
    last: dict[str, float] = {}

    def progress(what: str, done: int, total: int) -> None:
        name, now = what.partition(",")[0], time.monotonic()
        first = last.setdefault(name, now)
        if now - first >= 10:
            last[name] = now
            sys.stderr.write(f"{what}: {done}{f' of {total}' if total else ''}\n")
            sys.stderr.flush()

    return progress
