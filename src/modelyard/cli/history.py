"""`modelyard check --history`: every rule through all audits, as a table that needs no colour."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.cli.console import MARKS, shown, table_width

if TYPE_CHECKING:
    from modelyard.data.change.history import Change, History, Point, Trend

STEPS = "▁▂▃▄▅▆▇█"
MOST_POINTS = 24
"""The last ones drawn."""


def show_history(reports: Path, as_json: bool) -> None:
    """Print the history of a folder of reports: a table for a person, or JSON for a program.

    Raises:
        InputError: there is no audit.
    """
    from modelyard.data.change.history import show

    history = show(reports)
    if as_json:
        sys.stdout.write(history.model_dump_json(indent=2) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=table_width())
    span = f"{history.first:%Y-%m-%d} to {history.last:%Y-%m-%d}"
    title = f"check: {shown(history.project, 60)}, {history.audits} audits, {span}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("", "rule", "trend", "first", "last", "limit"):
        table.add_column(heading, justify="right" if heading in ("first", "last") else "left", overflow="fold")
    for trend in history.trends:
        last = trend.points[-1]
        mark, colour = MARKS[last.outcome]
        name = trend.rule if trend.scope == "overall" else f"{trend.rule} {trend.scope}"
        table.add_row(
            Text(f"{mark} {last.outcome}", style=colour),
            Text(shown(name, 80)),
            sparkline(trend.points),
            value_text(trend.points[0]),
            value_text(last),
            limit_text(last),
        )
    console.print(table)
    for line in sentences(history):
        console.print(Text(f"· {line}"), soft_wrap=True)


def sparkline(points: "Sequence[Point]") -> str:
    """The last values as bars of eight heights; the top is the largest value, or the limit where that is a most.

    A bar that is full has reached the limit; `!` stands for one beyond it.
    """
    drawn = points[-MOST_POINTS:]
    bound = drawn[-1].limit
    values = [point.interval.estimate for point in drawn]
    top = bound.value if bound.bound == "at_most" and bound.value > 0 else max(*values, 1e-300)
    return "".join(
        _step(value / top, inside=point.limit.holds(value)) for value, point in zip(values, drawn, strict=True)
    )


def _step(share: float, *, inside: bool) -> str:
    return STEPS[min(7, max(0, int(share * 8)))] if inside else "!"


def value_text(point: "Point") -> str:
    """A value in its unit: `2.12%`, `13 rows`."""
    return _amount(point.interval.estimate, point.interval.unit)


def limit_text(point: "Point") -> str:
    """`≤ 5%`."""
    sign = "≤" if point.limit.bound == "at_most" else "≥"
    return f"{sign} {_amount(point.limit.value, point.interval.unit, short=True)}"


def _amount(value: float, unit: str, *, short: bool = False) -> str:
    if unit == "fraction":
        return f"{100 * value:.10g}%" if short else f"{100 * value:.2f}%"
    return f"{value:,.10g}" + ("" if unit == "ratio" else f" {unit.removesuffix('s') if value == 1 else unit}")


def sentences(history: "History") -> list[str]:
    """The rule that worsened most since the last and since the first audit, and what was passed over."""
    found = []
    if history.audits > 1:
        found.append(_worsened("the audit before", history.worsened_last, "since_last"))
        found.append(_worsened("the first audit", history.worsened_first, "since_first"))
    else:
        found.append("this is the first audit: the next one has something to compare with")
    return [*found, *history.notes]


def _worsened(when: str, trend: "Trend | None", which: str) -> str:
    if trend is None:
        return f"nothing worsened since {when}"
    change: Change = getattr(trend, which)
    unit = trend.points[-1].interval.unit
    name = trend.rule if trend.scope == "overall" else f"{trend.rule} ({trend.scope})"
    moved = f"{_amount(change.before, unit)} to {_amount(change.after, unit)}"
    sentence = f"worsened most since {when} ({change.since:%Y-%m-%d}): {name}, {moved}"
    if change.interval is None:
        return sentence
    points = [f"{100 * end:.2f}" for end in (change.worse, change.interval.low, change.interval.high)]
    chance = "" if change.certain else ", which may be chance"
    return f"{sentence}, {points[0]} points worse (95% interval {points[1]} to {points[2]}){chance}"
