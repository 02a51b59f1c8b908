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
