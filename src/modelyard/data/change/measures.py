"""What `compare` measures of a column, what it allows, and the verdict on one column of two data sets."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from modelyard.artifacts.prepared import NO_VALUE
from modelyard.data.problems import raise_found
from modelyard.errors import Problem
from modelyard.evidence.distance import (
    Counts,
    Measured,
    Numbers,
    chi_squared_effect,
    gap_at,
    kolmogorov_smirnov,
    stability_index,
    wasserstein,
)
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Severity, Verdict, judge
from modelyard.evidence.proportion import newcombe, wilson

LEAST_EXPECTED = 5
"""Rows of a kind expected on the smaller side: Cochran 1954, Some methods for strengthening the common chi-squared
tests, Biometrics 10: 417-451. Rarer kinds are joined."""
OTHER = "(other)"
SEED = 0
MAX_NAME = 60
MOST_MOVED = 3


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: rule of its verdicts, and what `--max` calls it.
        limit: largest value allowed by default.
        severity: `error` sets the exit status, `warning` is shown.
        asks: what it measures.
        why: why this limit.
    """

    name: str
    limit: float
    severity: Severity
    asks: str
    why: str


MEASURES = (
    Measure(
        "ks", 0.1, "error",
        "numbers: the largest difference between the shares of rows up to any value (Kolmogorov-Smirnov)",
        "10 points; of two normal distributions it is a shift of a quarter of the standard deviation, just above the "
        "0.2 that Cohen (1988, section 2.2) calls small",
    ),
    Measure(
        "wasserstein", 0.2, "error",
        "numbers: how far the rows moved on average, in standard deviations of OLD (Wasserstein)",
        "for a pure shift it is Cohen's d, and 0.2 is what he calls small (1988, section 2.2); Evidently warns at 0.1",
    ),
    Measure(
        "psi", 0.1, "error",
        "kinds: the population stability index",
        "credit scoring's rule of thumb (Siddiqi 2006, Credit Risk Scorecards): below 0.1 no change, to 0.25 some, "
        "above 0.25 much",
    ),
    Measure(
        "chi_squared", 0.3, "warning",
        "kinds: Cohen's w of the chi-squared statistic",
        "Cohen (1988, section 7.2) calls 0.3 medium; its square is about the stability index",
    ),
    Measure(
        "text_classifier", 0.55, "error",
        "texts: how often a classifier names the side of a text it has not seen (Lopez-Paz and Oquab 2017)",
        "a coin is right in half; 5 points above it is the rule of `ks` for the classifier's own score, and what "
        "replacing a tenth of the rows gives at best",
    ),
    Measure(
        "missing", 0.01, "warning",
        "by how many points the share of missing cells rose",
        "as the rule `fields_present` of check: exports lose a cell now and then",
    ),
    Measure(
        "relabelled", 0.05, "warning",
        "share of the texts, of the side with fewer, that stand on both sides with different labels",
        "as the rule `label_conflict` of check; ten public test sets had 3.3% wrong labels (Northcutt, Athalye and "
        "Mueller 2021), so that mending them stays below",
    ),
)  # fmt: skip

Measures = Mapping[str, Measure]


def chosen_measures(limits: Mapping[str, float]) -> dict[str, Measure]:
    """The table with a user's limits.

    Raises:
        InputError: every name that is no measure, every limit below zero or no number.
    """
    table = {measure.name: measure for measure in MEASURES}
    problems = []
    for name, limit in limits.items():
        if name not in table:
            near = difflib.get_close_matches(name, list(table), n=1)
            advice = f"did you mean {near[0]}" if near else f"name one of {', '.join(table)}"
            problems.append(Problem(f"{name!r} is not measured", advice, "--max"))
        elif not 0.0 <= limit < float("inf"):
            problems.append(Problem(f"the limit {limit:g} of {name} is below zero or no number", "0.1 is one", "--max"))
        else:
            table[name] = replace(table[name], limit=limit)
    raise_found(problems)
    return table


@dataclass(frozen=True)
class Cells:
    """Rows of each kind on both sides: `names`, and `old` and `new` of shape (names,)."""

    names: list[str]
    old: Counts
    new: Counts


def cells_of(old: Mapping[str, int], new: Mapping[str, int]) -> Cells:
    """The kinds of both sides, most frequent first; those expected in fewer than 5 rows joined as `(other)`.

    Where fewer than two kinds would be left none is joined.
    """
    rows_old, rows_new = sum(old.values()), sum(new.values())
    together = {name: old.get(name, 0) + new.get(name, 0) for name in [*old, *new]}
    least = LEAST_EXPECTED * (rows_old + rows_new) / max(1, min(rows_old, rows_new))
    ordered = sorted(together, key=lambda name: (-together[name], name))
    kept = [name for name in ordered if together[name] >= least]
    if len(kept) < 2:
        kept = ordered
    sides = [np.array([side.get(name, 0) for name in kept], dtype=np.int64) for side in (old, new)]
    if len(kept) < len(ordered):
        rest = [rows_old - int(sides[0].sum()), rows_new - int(sides[1].sum())]
        return Cells([*kept, OTHER], *(np.append(side, more) for side, more in zip(sides, rest, strict=True)))
    return Cells(kept, *sides)


def number_verdicts(column: str, values: Numbers, old: Counts, new: Counts, measures: Measures) -> list[Verdict]:
    """`ks`, and `wasserstein` where OLD has more than one value.

    Args:
        column: its name.
        values: distinct values, rising, shape (values,).
        old: rows of OLD with each value.
        new: rows of NEW with each value.
        measures: as chosen.
    """
    found = [_ks(column, values, old, new, measures["ks"])]
    means = [float(values @ side / side.sum()) for side in (old, new)]
    spread = float(np.sqrt((values - means[0]) ** 2 @ old / old.sum()))
    if spread > 0.0:
        measure = measures["wasserstein"]
        measured = wasserstein(values, old, new, spread, measure.limit, SEED)
        found.append(_judged(measure, column, measured, f"mean {means[0]:,.6g} of OLD, {means[1]:,.6g} of NEW"))
    return found


def binned_verdicts(column: str, edges: Numbers, old: Counts, new: Counts, measures: Measures) -> list[Verdict]:
    """`ks` at the edges and `psi` over the bins, where all that is known of OLD is a histogram.

    Args:
        column: its name.
        edges: ends of all bins but the last, which is open, shape (bins - 1,).
        old: rows of OLD in each bin, shape (bins,).
        new: rows of NEW in each bin.
        measures: as chosen.
    """
    starts = [None, *edges.tolist()]
    names = [_bin_name(start, end) for start, end in zip(starts, [*edges.tolist(), None], strict=True)]
    ends = np.append(edges, np.inf)
    return [_ks(column, ends, old, new, measures["ks"]), _psi(column, Cells(names, old, new), measures["psi"])]


def _bin_name(start: float | None, end: float | None) -> str:
    if end is None:
        return "all" if start is None else f"> {start:g}"
    return f"<= {end:g}" if start is None else f"{start:g} < x <= {end:g}"


def category_verdicts(column: str, cells: Cells, measures: Measures) -> list[Verdict]:
    """`psi` and `chi_squared` of a column of kinds."""
    measure = measures["chi_squared"]
    measured = chi_squared_effect(cells.old, cells.new, measure.limit)
    return [_psi(column, cells, measures["psi"]), _judged(measure, column, measured, _most_moved(cells))]


def missing_verdict(
    column: str, missing_old: int, rows_old: int, missing_new: int, rows_new: int, measures: Measures
) -> Verdict:
    """`missing`: the rise of the share of empty cells."""
    measure = measures["missing"]
    interval = newcombe(missing_new, rows_new, missing_old, rows_old)
    where = f"empty in {missing_old / rows_old:.1%} of OLD, {missing_new / rows_new:.1%} of NEW"
    return _judged(measure, column, Measured(interval, None), where)


def share_verdict(
    measure: Measure, column: str, count: int, n: int, *, where: str, exact: bool = False, needed: int | None = None
) -> Verdict:
    """A share against the measure's limit: counted over all there is, or estimated from `n` (Wilson)."""
    interval = Interval.exact(count / n, n=n, unit="fraction") if exact else wilson(count, n)
    return _judged(measure, column, Measured(interval, needed), where)


def _ks(column: str, values: Numbers, old: Counts, new: Counts, measure: Measure) -> Verdict:
    place = gap_at(old, new)
    below = [float(side[: place + 1].sum() / side.sum()) for side in (old, new)]
    where = f"up to {values[place]:,.6g}: {below[0]:.1%} of OLD, {below[1]:.1%} of NEW"
    return _judged(measure, column, kolmogorov_smirnov(old, new, measure.limit), where)


def _psi(column: str, cells: Cells, measure: Measure) -> Verdict:
    return _judged(measure, column, stability_index(cells.old, cells.new, measure.limit), _most_moved(cells))


def _most_moved(cells: Cells) -> str:
    shares = [side / side.sum() for side in (cells.old, cells.new)]
    order = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:MOST_MOVED]
    moved = [f"{short(cells.names[place])} {shares[0][place]:.1%} → {shares[1][place]:.1%}" for place in order]
    return f"most moved: {', '.join(moved)}"


def short(name: str) -> str:
    """A kind as it stands in a sentence; `(none)` where there is no value."""
    cut = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
    return cut if name in (NO_VALUE, OTHER) else repr(cut)


def _judged(measure: Measure, column: str, measured: Measured, where: str) -> Verdict:
    """The verdict, whose next step says where the change is, or how many rows would tell.

    `judge` keeps no number of rows where the estimate lies outside the limit. Distances are never below zero, so that
    chance alone puts them there on few rows: the number stays as long as there are fewer rows than that.
    """
    interval, needed = measured
    scope = f"column:{column}"
    verdict = judge(interval, at_most(measure.limit), rule=measure.name, scope=scope, severity=measure.severity)
    if verdict.outcome == "PASS":
        return verdict
    if verdict.outcome == "FAIL" or needed is None:
        step = f"{where}: look at what changed, or allow more with --max {measure.name}"
    elif needed > interval.n:
        step = f"compare at least {needed:,} rows of each side"
    else:
        step = f"{needed:,} rows of each side are enough where nothing changed: {where}"
    return verdict.model_copy(
        update={"next_step": step, "samples_needed": needed if verdict.outcome == "INCONCLUSIVE" else None}
    )
