"""The part of the page about `compare`: both distributions of each column, and the trends of `check`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from modelyard.data.change.compare import DISTRIBUTIONS
from modelyard.data.change.history import Change, History, Trend
from modelyard.evidence.report import Report
from modelyard.reporting.distributions import kind_pair, number_pair, trend_line
from modelyard.reporting.numbers import both_amounts, cut, minus, shown
from modelyard.reporting.verdicts import MARKS, scope_text
from modelyard.reporting.words import words

MAX_COLUMNS = 60
MAX_KINDS = 24
MAX_TRENDS = 60
MAX_NAME = 80


class Drawn(BaseModel):
    """One entry of `parameters.distributions` of a report of `compare`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    column: str
    kind: Literal["number", "category"]
    old: list[float] = Field(min_length=1, max_length=200)
    new: list[float] = Field(min_length=1, max_length=200)
    edges: list[float] = []
    names: list[str] = []
    gap: list[float] = []
    hidden: int = 0

    @property
    def sound(self) -> bool:
        """Whether its lists belong together."""
        size = len(self.old)
        if len(self.new) != size:
            return False
        if self.kind == "category":
            return len(self.names) == size
        return len(self.edges) == size + 1 and self.edges[0] < self.edges[-1] and len(self.gap) == 3


@dataclass(frozen=True)
class KindView:
    """One kind: its name, its two bars, its two shares."""

    name: str
    drawing: Markup
    old: str
    new: str


@dataclass(frozen=True)
class ColumnView:
    """One column: its name, the outcomes of its verdicts, and its two distributions.

    Attributes:
        name: of the column, or of the feature of the text, in both languages.
        outcomes: outcome, mark and rule of each verdict.
        drawing: two outlines; empty for kinds.
        gap: where the shares up to a value differ most; empty for kinds.
        kinds: the bars; empty for numbers.
        hidden: kinds left out.
    """

    name: Markup
    outcomes: Sequence[tuple[str, str, str]]
    drawing: Markup
    gap: Markup
    kinds: list[KindView]
    hidden: int


@dataclass(frozen=True)
class ChangeView:
    """The section: its columns, and how many are left out or cannot be drawn."""

    columns: list[ColumnView]
    hidden: int


def change_view(report: Report) -> ChangeView:
    """The section of a report of `compare`."""
    drawn = _drawn(report.parameters.get(DISTRIBUTIONS))
    return ChangeView([_column(one, report) for one in drawn[:MAX_COLUMNS]], max(0, len(drawn) - MAX_COLUMNS))


def _drawn(entries: object) -> list[Drawn]:
    """Those that can be drawn: a report is a file, and anybody may have written it."""
    try:
        return [one for one in TypeAdapter(list[Drawn]).validate_python(entries) if one.sound]
    except ValidationError:
        return []


def _column(drawn: Drawn, report: Report) -> ColumnView:
    scope = f"column:{drawn.column}"
    outcomes = [
        (verdict.outcome, MARKS[verdict.outcome], verdict.rule) for verdict in report.verdicts if verdict.scope == scope
    ]
    if drawn.kind == "number":
        gap, old, new = drawn.gap
        text = words("change.gap", value=f"{gap:,.6g}", old=f"{100 * old:.1f}", new=f"{100 * new:.1f}")
        picture = number_pair(drawn.edges, drawn.old, drawn.new, gap)
        return ColumnView(scope_text(scope), outcomes, picture, text, [], 0)
    largest = max(*drawn.old, *drawn.new)
    kinds = [
        KindView(cut(name, MAX_NAME), kind_pair(old, new, largest), _percent(old), _percent(new))
        for name, old, new in zip(drawn.names[:MAX_KINDS], drawn.old, drawn.new, strict=False)
    ]
    hidden = drawn.hidden + max(0, len(drawn.names) - MAX_KINDS)
    return ColumnView(scope_text(scope), outcomes, Markup(), Markup(), kinds, hidden)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "<0.1%"


@dataclass(frozen=True)
class TrendView:
    """One rule through all audits.

    Attributes:
        rule: its name.
        scope: empty for all rows.
        drawing: its line.
        outcome: of the last audit.
        mark: of that outcome.
        first: value in the first audit.
        last: value in the last one.
        change: since the audit before; empty where there is none.
    """

    rule: str
    scope: Markup
    drawing: Markup
    outcome: str
    mark: str
    first: Markup
    last: Markup
    change: Markup


@dataclass(frozen=True)
class HistoryView:
    """The trends: how many audits, from when to when, what worsened most, each rule."""

    audits: int
    first: str
    last: str
    worst: list[Markup]
    trends: list[TrendView]
    hidden: int
    skipped: bool


def history_view(history: History) -> HistoryView:
    """The section of the trends."""
    worst = []
    if history.audits > 1:
        worst = [
            _worst(history.worsened_last, "since_last", "history.worst_last", "history.none_last"),
            _worst(history.worsened_first, "since_first", "history.worst_first", "history.none_first"),
        ]
    return HistoryView(
        audits=history.audits,
        first=f"{history.first:%Y-%m-%d}",
        last=f"{history.last:%Y-%m-%d}",
        worst=worst,
        trends=[_trend(trend) for trend in history.trends[:MAX_TRENDS]],
        hidden=max(0, len(history.trends) - MAX_TRENDS),
        skipped=bool(history.notes),
    )


def _trend(trend: Trend) -> TrendView:
    last = trend.points[-1]
    values = [point.interval.estimate for point in trend.points]
    return TrendView(
        rule=trend.rule,
        scope=Markup() if trend.scope == "overall" else scope_text(trend.scope),
        drawing=trend_line(values, [point.outcome for point in trend.points], last.limit),
        outcome=last.outcome,
        mark=MARKS[last.outcome],
        first=_value(trend, 0),
        last=_value(trend, -1),
        change=_moved(trend.since_last) if trend.since_last is not None else Markup(),
    )


def _value(trend: Trend, place: int) -> Markup:
    point = trend.points[place]
    numbers = shown(point.interval, point.limit)
    return both_amounts(numbers.estimate, numbers.unit)


def _worst(trend: Trend | None, which: Literal["since_last", "since_first"], key: str, none: str) -> Markup:
    if trend is None:
        return words(none)
    change = trend.since_last if which == "since_last" else trend.since_first
    assert change is not None
    before = next(point for point in trend.points if point.when == change.since)
    numbers = shown(before.interval, before.limit)
    return words(
        key,
        date=f"{change.since:%Y-%m-%d}",
        rule=cut(trend.rule, MAX_NAME),
        before=both_amounts(numbers.estimate, numbers.unit),
        after=_value(trend, -1),
        moved=words("history.in_brackets", moved=_moved(change)) if change.interval is not None else Markup(),
    )


def _moved(change: Change) -> Markup:
    """By how many points a share became worse or better, with the interval; empty for what is counted."""
    if change.interval is None:
        return Markup()
    if change.worse == 0.0:
        return words("history.unchanged")
    sign = 1 if change.worse > 0.0 else -1
    low, high = sorted((sign * change.interval.low, sign * change.interval.high))
    key = "history.worse" if sign > 0 else "history.better"
    ends = {"low": minus(f"{100 * low:.2f}"), "high": f"{100 * high:.2f}"}
    chance = words("history.chance") if low <= 0.0 else Markup()
    return words(key, points=f"{100 * abs(change.worse):.2f}", **ends, chance=chance)
