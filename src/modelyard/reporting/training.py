"""The section of training: the losses, what else there is of every step, and the few figures of the whole."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from modelyard.reporting.charts import LOW, Curve, line_chart, smoothed, thinned
from modelyard.reporting.curves import OF_TOKENS, Curves, Metrics
from modelyard.reporting.numbers import duration, size
from modelyard.reporting.words import words

MAX_EVALUATIONS = 40


@dataclass(frozen=True)
class ChartView:
    """A chart of what every step says beside its loss.

    Attributes:
        name: key of its title.
        keys: style and key of the words of each line; empty where there is one.
        drawing: the lines.
    """

    name: str
    keys: list[tuple[str, str]]
    drawing: Markup


class Fact(NamedTuple):
    """A figure of the whole training, and a line below it."""

    name: Markup
    value: Markup
    below: Markup = Markup()


@dataclass(frozen=True)
class TrainingView:
    """The section of training.

    Attributes:
        losses: chart of the losses; empty where there is no finite one.
        score: name of the figure that is drawn beside the losses, without `validation_`; empty where there is none.
        scores: chart of it.
        charts: of the other figures of every step, those that are there.
        facts: of the whole training.
        evaluations: the last of them, at most `MAX_EVALUATIONS`.
        hidden: how many evaluations before them are left out.
        perplexity: whether the loss is one of tokens.
        best_step: the step whose weights were kept.
        broken: steps whose loss is no finite number.
        skipped: lines of the file that are no figures.
    """

    losses: Markup
    score: str
    scores: Markup
    charts: list[ChartView]
    facts: list[Fact]
    evaluations: list[dict[str, float]]
    hidden: int
    perplexity: bool
    best_step: int | None
    broken: int
    skipped: int


def training_view(curves: Curves) -> TrainingView:
    """The section of training."""
    score, points = _score(curves.evaluations)
    best = float(curves.best_step) if curves.best_step is not None else None
    metrics = curves.metrics
    return TrainingView(
        losses=_drawn(_losses(curves), "chart.loss", best=best),
        score=score,
        scores=_drawn([Curve("", "second", points, dots=True)], f"chart.{score}", best, 100.0),
        charts=_charts(metrics),
        facts=_facts(metrics),
        evaluations=curves.evaluations[-MAX_EVALUATIONS:],
        hidden=max(0, len(curves.evaluations) - MAX_EVALUATIONS),
        perplexity=curves.task in OF_TOKENS,
        best_step=curves.best_step,
        broken=sum(not math.isfinite(loss) for _, loss in metrics.steps),
        skipped=metrics.skipped,
    )


def _losses(curves: Curves) -> list[Curve]:
    steps = thinned(curves.metrics.steps)
    drawn = []
    if any(math.isfinite(loss) for _, loss in steps):
        drawn += [Curve("chart.step_loss", "faint", steps), Curve("chart.train_loss", "first", smoothed(steps))]
    for name, style in (("train_loss", "first"), ("validation_loss", "second")):
        points = _points(curves.evaluations, name)
        if points and not (name == "train_loss" and drawn):
            drawn.append(Curve(f"chart.{name}", style, points, dots=True))
    return drawn


def _drawn(curves: Sequence[Curve], y_name: str, best: float | None = None, factor: float = 1.0) -> Markup:
    if not any(math.isfinite(y) for curve in curves for _, y in curve.points):
        return Markup()
    return line_chart(curves, x_name="chart.step", y_name=y_name, best=best, factor=factor)


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


def _charts(metrics: Metrics) -> list[ChartView]:
    """Those of what is there: whether the steps were sound, how large they were, what they made of the machine."""
    found = {name: _finite(metrics, name) for name in metrics.figures}
    there = {name: points for name, points in found.items() if len(points) > 1}
    charts = []
    for name in ("gradient_norm", "learning_rate", "tokens_per_second"):
        if name in there:
            faint = [] if name == "learning_rate" else [Curve("", "faint", thinned(there[name]))]
            lines = [*faint, Curve("", "first", thinned(there[name]) if not faint else smoothed(thinned(there[name])))]
            charts.append(ChartView(name, [], _low(lines, f"chart.{name}")))
    shares = [(style, name) for style, name in (("first", "utilisation"), ("second", "padding_share")) if name in there]
    if shares:
        lines = [Curve("", style, smoothed(thinned(there[name]))) for style, name in shares]
        keys = [(style, f"chart.{name}") for style, name in shares]
        charts.append(ChartView("shares", keys, _low(lines, "chart.percent", 100.0)))
    return charts


def _finite(metrics: Metrics, name: str) -> list[tuple[float, float]]:
    pairs = zip(metrics.steps, metrics.figures[name], strict=True)
    return [(step, value) for (step, _), value in pairs if math.isfinite(value)]


def _low(curves: Sequence[Curve], y_name: str, factor: float = 1.0) -> Markup:
    return line_chart(curves, x_name="chart.step", y_name=y_name, factor=factor, height=LOW, from_zero=True)


def _facts(metrics: Metrics) -> list[Fact]:
    found = [_took(metrics.said), _pace(metrics), _data(metrics), _utilisation(metrics), _memory(metrics.said)]
    return [fact for fact in [*found, _timed(metrics.timed), _saved(metrics)] if fact is not None]


def _took(said: Mapping[str, float]) -> Fact | None:
    """The time it took against what was said after its first minute; of one that goes on, what is left."""
    resumed = said.get("resumed_after_step")
    since = Markup() if resumed is None else words("training.resumed", step=f"{resumed:,.0f}")
    if "took_seconds" in said:
        predicted = said.get("predicted_seconds")
        told = Markup() if predicted is None else words("training.predicted", time=duration(predicted))
        return Fact(
            words("training.took"), duration(said["took_seconds"]), Markup(" ").join(filter(None, [told, since]))
        )
    if "seconds_left" in said:
        return Fact(words("training.left"), duration(said["seconds_left"]), words("training.left.below"))
    return None


def _pace(metrics: Metrics) -> Fact | None:
    paces = [pace for _, pace in _finite(metrics, "tokens_per_second")]
    if not paces:
        return None
    value = words("training.pace.value", tokens=f"{statistics.median(paces):,.0f}")
    return Fact(words("training.pace"), value, words("training.pace.below", steps=f"{len(paces):,}"))


def _data(metrics: Metrics) -> Fact | None:
    """The share of the steps' time in which the rows were put into arrays."""
    columns = (metrics.figures[name] for name in ("data_seconds", "tokens", "tokens_per_second"))
    found = [(waited, tokens / pace) for waited, tokens, pace in zip(*columns, strict=True) if pace > 0]
    finite = [(waited, seconds) for waited, seconds in found if math.isfinite(waited) and 0 < seconds < math.inf]
    if not finite:
        return None
    share = sum(waited for waited, _ in finite) / sum(seconds for _, seconds in finite)
    return Fact(words("training.data"), Markup("{}").format(f"{share:.1%}"), words("training.data.below"))


def _utilisation(metrics: Metrics) -> Fact | None:
    shares = [share for _, share in _finite(metrics, "utilisation")]
    if not shares:
        return None
    value = Markup("{}").format(f"{statistics.median(shares):.1%}")
    return Fact(words("training.utilisation"), value, words("training.utilisation.below"))


def _memory(said: Mapping[str, float]) -> Fact | None:
    peak = said.get("peak_memory_bytes")
    return None if peak is None else Fact(words("training.memory"), Markup("{}").format(size(peak)))


def _timed(seconds: Mapping[str, float]) -> Fact | None:
    if not seconds:
        return None
    times = {name: 1000 * median for name, median in seconds.items()}
    value = ", ".join(f"{name} {time:,.{0 if time >= 100 else 1}f} ms" for name, time in times.items())
    return Fact(words("training.timed"), Markup("{}").format(value), words("training.timed.below"))


def _saved(metrics: Metrics) -> Fact | None:
    if not metrics.saves:
        return None
    last, lost = metrics.said.get("save_seconds"), metrics.said.get("expected_lost_share")
    below = Markup()
    if last is not None and lost is not None:
        below = words("training.saved.below", time=duration(last), share=f"{100 * lost:.2g}")
    return Fact(words("training.saved"), Markup(str(metrics.saves)), below)
