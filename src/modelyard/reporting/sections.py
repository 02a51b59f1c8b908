"""The middle of the page: data, training and the ladder, each made ready for its part of the template."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelyard.artifacts.candidate import Card
from modelyard.artifacts.prepared import SPLITS
from modelyard.data.baseline import Baseline
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement
from modelyard.reporting.charts import Curve, Rung, histogram, line_chart, pareto, smoothed, thinned
from modelyard.reporting.collect import Collected, Curves, Ladder
from modelyard.reporting.numbers import cut, size
from modelyard.reporting.prepared import Data, Flagged, Group, Row, Step
from modelyard.reporting.svg import share_bar
from modelyard.reporting.words import sentence

PROFILE = "profile_"
MOST_BARS = 24  # of one list; where there are more, the largest and the smallest are shown
SMALLEST = 8
MAX_NAME = 80
MAX_COLUMNS = 20
MAX_EVALUATIONS = 40
MAX_SOURCES = 20
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Bar:
    """One line of a list of bars: a name, its drawing, its share and its counts."""

    name: str
    drawing: Markup
    share: str
    counts: list[int]


@dataclass(frozen=True)
class Bars:
    """A list of bars, with how many are left out after `largest` of them."""

    largest: list[Bar]
    hidden: int
    smallest: list[Bar]


def bars(shares: dict[str, float], counts: dict[str, list[int]] | None = None) -> Bars:
    """A list of bars, in its own order where it is short; else the largest, a gap, the smallest.

    Args:
        shares: name -> share.
        counts: name -> numbers shown beside it.
    """
    largest = max(shares.values(), default=0.0)

    def bar(name: str) -> Bar:
        text = f"{shares[name]:.1%}" if shares[name] >= 0.001 or shares[name] == 0 else "<0.1%"
        return Bar(
            cut(name, MAX_NAME), share_bar(shares[name], largest=largest), text, counts.get(name, []) if counts else []
        )

    if len(shares) <= MOST_BARS:
        return Bars([bar(name) for name in shares], 0, [])
    ordered = sorted(shares, key=lambda name: (-shares[name], name))
    top = ordered[: MOST_BARS - SMALLEST]
    return Bars([bar(name) for name in top], len(ordered) - MOST_BARS, [bar(name) for name in ordered[-SMALLEST:]])


@dataclass(frozen=True)
class DataView:
    """The section of the data.

    Attributes:
        splits: rows of each split.
        labels: rows of each label, with a count for each split.
        lengths: histogram of the train texts' lengths; empty without a baseline.
        length_rows: from, to (None where open) and rows of each bin.
        scripts: share of each script.
        slices: slice column -> its values; the first `MAX_COLUMNS` columns.
        hidden_columns: how many columns more there are.
        read: rows that were read.
        kept_rows: rows that stayed.
        steps: the rules that dropped rows, each with what stood before it, in the order in which they looked.
        hidden_steps: how many rules more dropped rows.
        groups: copies of one row.
        flagged: what rules found that drop nothing.
        kept: a sample of the train rows that stayed.
        profile: what the train rows are like, each figure with its interval.
    """

    splits: Bars
    labels: Bars
    lengths: Markup
    length_rows: list[tuple[int, int | None, int]]
    scripts: Bars
    slices: list[tuple[str, Bars]]
    hidden_columns: int
    read: int
    kept_rows: int
    steps: list[Step]
    hidden_steps: int
    groups: list[Group]
    flagged: list[Flagged]
    kept: list[Row]
    profile: list[Measurement]


def data_view(data: Data, measurements: Sequence[Measurement] = ()) -> DataView:
    """The section of the data.

    Args:
        data: what stands in `prepared/`.
        measurements: of `check`. The histogram ends at the 99th percentile of the lengths where it is among them.
    """
    longest = next((item.interval.estimate for item in measurements if item.name == "length_p99"), None)
    counts = data.dataset.counts
    total = sum(counts.values()) or 1
    each = {label: [found.get(split, 0) for split in SPLITS] for label, found in data.labels.items()}
    rows = sum(map(sum, each.values())) or 1
    baseline = data.baseline
    slices = list(baseline.slices.items()) if baseline else []
    return DataView(
        splits=bars({name: count / total for name, count in counts.items()}, {n: [c] for n, c in counts.items()}),
        labels=bars({label: sum(found) / rows for label, found in each.items()}, each),
        lengths=_lengths(baseline, longest) if baseline else Markup(),
        length_rows=_length_rows(baseline) if baseline else [],
        scripts=bars(dict(sorted(baseline.scripts.items(), key=lambda item: -item[1]))) if baseline else bars({}),
        slices=[(cut(column, MAX_NAME), bars(shares)) for column, shares in slices[:MAX_COLUMNS]],
        hidden_columns=max(0, len(slices) - MAX_COLUMNS),
        read=data.read,
        kept_rows=sum(counts.values()),
        steps=data.steps,
        hidden_steps=data.hidden_steps,
        groups=data.groups,
        flagged=data.flagged,
        kept=data.kept,
        profile=[item for item in measurements if item.name.startswith(PROFILE)],
    )


def _lengths(baseline: Baseline, longest: float | None) -> Markup:
    found = baseline.length_characters
    if not found.edges or sum(found.counts) == 0 or len(found.counts) != len(found.edges) + 1 or found.edges[0] < 1:
        return Markup()
    last = found.edges[-1]
    return histogram(found.edges, found.counts, max(longest or 0.0, last * 1.25, last + 1.0))


def _length_rows(baseline: Baseline) -> list[tuple[int, int | None, int]]:
    found = baseline.length_characters
    starts: list[int] = [1, *(edge + 1 for edge in found.edges)]
    ends: list[int | None] = [*found.edges, None]
    return list(zip(starts, ends, found.counts, strict=False))


@dataclass(frozen=True)
class TrainingView:
    """The section of training.

    Attributes:
        losses: chart of the losses; empty where there is no finite one.
        score: name of the figure that is drawn beside the losses, without `validation_`; empty where there is none.
        scores: chart of it.
        evaluations: the last of them, at most `MAX_EVALUATIONS`.
        hidden: how many evaluations before them are left out.
        best_step: the step whose weights were kept.
        broken: steps whose loss is no finite number.
        skipped: lines of the file that are no figures.
    """

    losses: Markup
    score: str
    scores: Markup
    evaluations: list[dict[str, float]]
    hidden: int
    best_step: int | None
    broken: int
    skipped: int


def training_view(curves: Curves) -> TrainingView:
    """The section of training."""
    steps = thinned(curves.steps)
    drawn = []
    if any(math.isfinite(loss) for _, loss in steps):
        drawn += [Curve("chart.step_loss", "faint", steps), Curve("chart.train_loss", "first", smoothed(steps))]
    for name, style in (("train_loss", "first"), ("validation_loss", "second")):
        points = _points(curves.evaluations, name)
        if points and not (name == "train_loss" and drawn):
            drawn.append(Curve(f"chart.{name}", style, points, dots=True))
    score, points = _score(curves.evaluations)
    best = float(curves.best_step) if curves.best_step is not None else None
    charts = {"x_name": "chart.step", "best": best}
    return TrainingView(
        losses=line_chart(drawn, y_name="chart.loss", **charts) if _any_finite(drawn) else Markup(),  # type: ignore[arg-type]
        score=score,
        scores=line_chart(
            [Curve(f"chart.{score}", "second", points, dots=True)],
            y_name=f"chart.{score}",
            factor=100.0,
            **charts,  # type: ignore[arg-type]
        )
        if score
        else Markup(),
        evaluations=curves.evaluations[-MAX_EVALUATIONS:],
        hidden=max(0, len(curves.evaluations) - MAX_EVALUATIONS),
        best_step=curves.best_step,
        broken=sum(not math.isfinite(loss) for _, loss in curves.steps),
        skipped=curves.skipped,
    )


def _score(evaluations: Sequence[dict[str, float]]) -> tuple[str, list[tuple[float, float]]]:
    """The figure that says best how a training got on, and its points; an empty name where there is none."""
    for name in ("accuracy", "exact_match"):
        points = _points(evaluations, f"validation_{name}")
        if any(math.isfinite(value) for _, value in points):
            return name, points
    return "", []


def _points(evaluations: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    found = [(entry["step"], entry[name]) for entry in evaluations if name in entry and "step" in entry]
    return [point for point in found if math.isfinite(point[0])]


def _any_finite(curves: Sequence[Curve]) -> bool:
    return any(math.isfinite(y) for curve in curves for _, y in curve.points)


@dataclass(frozen=True)
class RungView:
    """One candidate in the table of the ladder.

    Attributes:
        letter: its mark on the plot.
        card: its card.
        chosen: whether it was chosen.
        lost: the verdict about its loss overall; None for the export, which is judged by parity.
        on: the split of that verdict.
        size: of its files.
        memory: at its peak; empty where it was not measured.
        why: why it was not chosen, in both languages.
    """

    letter: str
    card: Card
    chosen: bool
    lost: Verdict | None
    on: str
    size: str
    memory: str
    why: Markup


@dataclass(frozen=True)
class LadderView:
    """The section of the ladder: its plot and its table."""

    plot: Markup
    rungs: list[RungView]
    hidden: int
    limit: float | None


def ladder_view(ladder: Ladder) -> LadderView:
    """The section of the ladder; candidates beyond the alphabet are left out."""
    rungs = [_rung(letter, card, ladder) for letter, card in zip(LETTERS, ladder.cards.values(), strict=False)]
    drawn, limit = [], None
    for rung in rungs:
        lost = _lost(rung)
        if rung.card.speed_ratio is not None and lost is not None:
            drawn.append(Rung(rung.letter, rung.card.speed_ratio, lost, rung.size, rung.chosen))
        if rung.lost is not None and rung.lost.limit is not None:
            limit = rung.lost.limit.value
    plot = pareto(drawn, limit) if drawn else Markup()
    return LadderView(plot, rungs, max(0, len(ladder.cards) - len(LETTERS)), limit)


def _rung(letter: str, card: Card, ladder: Ladder) -> RungView:
    verdict, on = _judged(card)
    reason = ladder.choice.not_chosen.get(card.name, "")
    return RungView(
        letter=letter,
        card=card,
        chosen=card.name == ladder.choice.chosen,
        lost=verdict,
        on=on,
        size=size(card.size_bytes),
        memory="" if card.peak_memory_bytes is None else size(card.peak_memory_bytes),
        why=sentence(cut(reason, 600)) if reason else Markup(),
    )


def _judged(card: Card) -> tuple[Verdict | None, str]:
    """The verdict about a candidate's loss overall, on test where it came that far, and the split's name."""
    found = {
        verdict.subject.rpartition(" on ")[2]: verdict
        for verdict in card.verdicts
        if (verdict.rule, verdict.scope) == ("drop_max", "overall") and verdict.interval is not None
    }
    for split in ("test", "validation"):
        if split in found:
            return found[split], split
    return next(iter(found.values()), None), ""


def _lost(rung: RungView) -> Interval | None:
    if rung.lost is not None:
        return rung.lost.interval
    return None if rung.card.compressed else Interval.exact(0.0, n=0, unit="fraction")


def data_of(collected: Collected) -> DataView | None:
    """The section of the data, its histogram ending at the 99th percentile that `check` measured."""
    if collected.data is None:
        return None
    report = collected.report("check")
    return data_view(collected.data, report.measurements if report else [])
