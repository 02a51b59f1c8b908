"""Verdicts over the whole set: rule by rule, labels, lengths, and slices that no model could pass with."""

from collections.abc import Sequence

import polars as pl

from modelyard.data.rules import BY_NAME, characters
from modelyard.evidence.interval import Interval, Limit
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.paired import rows_to_pass_without_discordance
from modelyard.evidence.report import Measurement
from modelyard.project.data import RuleSection
from modelyard.project.gates import GatesSection

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
ADVICE = {
    "not_empty": "name files that hold rows",
    "text_is_string": "name the right text column, or write the values as text",
    "text_empty": "look at prepared/dropped.parquet, then mend the export or raise data.rules.text_empty.budget",
    "text_too_short": "look at what was dropped; set data.rules.text_too_short.minimum where short texts are real",
    "text_too_long": "split the texts into samples",
    "label_missing": "label the rows, or raise data.rules.label_missing.budget",
    "leak_across_splits": "remove the test rows from your train file: the test no longer tests",
    "label_conflict": "decide the label of each such text: prepared/dropped.parquet lists them",
    "duplicate_exact": "find out why the rows repeat, then raise data.rules.duplicate_exact.budget",
    "label_count": "add rows of another label, or name the right label column",
    "label_rows": "add rows of this label, or join it with another",
    "label_balance": "add rows of this label: its errors hardly count in the overall accuracy",
    "label_spelling": "write each label in one way",
}


def judge_rule(
    name: str, found: float, rows: int, rules: dict[str, RuleSection], *, scope: str = "overall"
) -> Verdict | None:
    """The verdict of a rule over all rows: an exact interval against its budget; None where the rule is off.

    Args:
        name: of the rule.
        found: rows found for a rule whose unit is a fraction, else the number itself.
        rows: all rows read.
        rules: what the project changes.
        scope: what the verdict is about.
    """
    rule, own = BY_NAME[name], rules.get(name, RuleSection())
    if own.severity == "off":
        return None
    value = (found / rows if rows else 0.0) if rule.unit == "fraction" else found
    return judge(
        Interval.exact(value, n=rows, unit=rule.unit),
        Limit(bound=rule.bound, value=rule.budget if own.budget is None else own.budget),
        rule=name,
        scope=scope,
        severity=own.severity or rule.severity,
        next_step=ADVICE[name],
    )


def judge_labels(labels: pl.Series, rules: dict[str, RuleSection]) -> list[Verdict | None]:
    """Whether there is something to tell apart, enough of the rarest label, and one spelling each."""
    counts = {str(label): int(count) for label, count in labels.value_counts().iter_rows()}
    verdicts = [judge_rule("label_count", len(counts), labels.len(), rules)]
    if counts:
        rarest = min(counts, key=lambda label: (counts[label], label))
        scope = f"class:{rarest}"
        ratio = counts[rarest] * len(counts) / labels.len()
        verdicts.append(judge_rule("label_rows", counts[rarest], labels.len(), rules, scope=scope))
        verdicts.append(judge_rule("label_balance", ratio, labels.len(), rules, scope=scope))
    folded: dict[str, list[str]] = {}
    for label in sorted(counts):
        folded.setdefault("".join(label.casefold().split()), []).append(label)
    alike = [label for group in folded.values() if len(group) > 1 for label in group]
    spelling = judge_rule("label_spelling", len(alike), labels.len(), rules)
    if spelling is not None and alike:
        spelling = spelling.model_copy(update={"reason": f"{spelling.reason}: {', '.join(map(repr, alike[:6]))}"})
    return [*verdicts, spelling]


def judge_slices(
    test: pl.DataFrame, slices: Sequence[str], gates: GatesSection, rules: dict[str, RuleSection]
) -> list[Verdict | None]:
    """Which scopes of the test split are too small to pass even without one discordant row.

    Such a verdict is INCONCLUSIVE, before anyone trains: no compressed model can pass the gate of that scope.
    """
    own = rules.get("slice_too_small", RuleSection())
    if own.severity == "off":
        return []
    counts = {("overall", test.height): gates.drop_max}
    for column, prefix in (*((name, f"slice:{name}=") for name in slices), ("label", "class:")):
        for value, count in sorted(test[column].drop_nulls().value_counts().iter_rows()):
            counts[(f"{prefix}{value}", count)] = gates.slice_drop_max
    return [
        _judge_size(scope, rows, limit, own.severity or BY_NAME["slice_too_small"].severity)
        for (scope, rows), limit in counts.items()
    ]


def _judge_size(scope: str, rows: int, drop_max: float, severity: str) -> Verdict:
    needed = rows_to_pass_without_discordance(drop_max)
    enough = needed is not None and rows >= needed
    return Verdict(
        rule="slice_too_small",
        scope=scope,
        subject="test",
        interval=Interval.exact(rows, n=rows, unit="rows"),
        limit=None if needed is None else Limit(bound="at_least", value=needed),
        outcome="PASS" if enough else "INCONCLUSIVE",
        reason=f"{rows} test rows; a drop of at most {drop_max:g} needs {needed} even where no answer changes",
        next_step=""
        if enough
        else f"add {(needed or 0) - rows} test rows: no compressed model can pass this scope before",
        samples_needed=None if enough else needed,
        severity="error" if severity == "error" else "warning",
    )


def length_measurements(rows: pl.DataFrame) -> list[Measurement]:
    """Percentiles of the length in characters, over all rows kept."""
    lengths = rows.select(characters(pl.col("text"))).to_series()
    if not lengths.len():
        return []
    return [
        Measurement(
            name=f"length_characters_{name}",
            interval=Interval.exact(float(lengths.quantile(share, "lower") or 0), n=lengths.len(), unit="characters"),
        )
        for name, share in PERCENTILES.items()
    ]
