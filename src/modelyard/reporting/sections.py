"""The middle of the page: data and the ladder, each made ready for its part of the template."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelyard.artifacts.candidate import Card
from modelyard.artifacts.prepared import SPLITS
from modelyard.data.baseline import Baseline
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement
from modelyard.reporting.charts import Rung, histogram, pareto
from modelyard.reporting.collect import Collected, Ladder
from modelyard.reporting.numbers import cut, size
from modelyard.reporting.prepared import Data, Flagged, Group, Row, Step
from modelyard.reporting.svg import share_bar
from modelyard.reporting.words import sentence

PROFILE = "profile_"
MOST_BARS = 24  # of one list; where there are more, the largest and the smallest are shown
SMALLEST = 8
MAX_NAME = 80
MAX_COLUMNS = 20
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
