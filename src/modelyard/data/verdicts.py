"""What `check` says: a verdict per rule, and the sentences a person reads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from modelyard.data.rules import PLACEHOLDERS, Rule, normalised
from modelyard.data.split import SplitCount
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge, shown_digits
from modelyard.evidence.paired import rows_to_pass_without_discordance, tango
from modelyard.project.gates import GatesSection

NAMED = 5
MAX_SCOPES = 20
SHOWN_CHARACTERS = 60
"""Of a label in a sentence."""


class Dropped(NamedTuple):
    """What a rule dropped: how many rows, and the source and evidence of the first three."""

    rule: str
    rows: int
    first: list[tuple[str, str]]


def of_rows(
    rules: Mapping[str, Rule], dropped: Mapping[str, int], read: int, splits: Mapping[str, SplitCount]
) -> list[Verdict]:
    """Verdicts of the rules that drop rows, as shares of all rows read, and of `not_empty`, also for an empty split."""
    kept = sum(split.rows for split in splits.values())
    found = [rules["not_empty"].verdict(kept, n=read)]
    if kept:
        found += [
            rules["not_empty"].verdict(
                0, n=read, scope=f"split:{name}", next_step=f"add rows, or give {name} a larger share in data.split"
            )
            for name, split in splits.items()
            if not split.rows
        ]
    for name, rule in rules.items():
        if rule.unit == "fraction" and rule.bound == "at_most" and name != "slice_too_small":
            found.append(rule.verdict(dropped.get(name, 0) / read if read else 0.0, n=read))
    return found


def of_labels(rules: Mapping[str, Rule], splits: Mapping[str, SplitCount]) -> list[Verdict]:
    """Verdicts about the labels of the rows that are left; none where no row is."""
    counts = {name: split.labels for name, split in splits.items()}
    total: dict[str, int] = {}
    for part in counts.values():
        for label, rows in part.items():
            total[label] = total.get(label, 0) + rows
    rows = sum(split.rows for split in splits.values())
    if not rows or not any(rule.labelled for rule in rules.values()):
        return []
    if not total:  # each row has an empty list of them
        return [rules["label_count"].verdict(0.0, n=rows)] if "label_count" in rules else []
    values = {"label_count": float(len(total))}
    steps = {}
    alike = _spelt_alike(total)
    values["label_spelling"] = float(sum(map(len, alike)))
    steps["label_spelling"] = "write them alike: " + "; ".join(
        " and ".join(f"{_short(label)} ({total[label]} rows)" for label in group) for group in alike[:NAMED]
    )
    placeholders = sorted(label for label in total if label.strip().casefold() in PLACEHOLDERS)
    values["label_placeholder"] = float(len(placeholders))
    named = [f"{_short(label)} ({total[label]} rows)" for label in placeholders]
    steps["label_placeholder"] = f"empty these cells if nobody labelled them: {_list(named)}"
    scarce = sorted((min(part.get(label, 0) for part in counts.values()), label) for label in total)
    values["label_in_every_split"] = float(scarce[0][0])
    missing = [
        (label, [name for name, part in counts.items() if label not in part]) for count, label in scarce if not count
    ]
    steps["label_in_every_split"] = "add rows of these labels, or drop them: " + _list(
        [f"{_short(label)} ({total[label]} rows) is missing from {', '.join(names)}" for label, names in missing]
    )
    smallest = min(total, key=lambda label: (total[label], label))
    values["label_balance"] = total[smallest] / rows
    scarcest = f"{_short(smallest)} ({total[smallest]} of {rows})"
    steps["label_balance"] = f"add rows of {scarcest}, or join it with another label"
    return [
        rules[name].verdict(value, n=rows, next_step=steps.get(name, ""))
        for name, value in values.items()
        if name in rules
    ]


def of_sizes(
    rules: Mapping[str, Rule],
    test: SplitCount,
    slices: Mapping[str, Sequence[str]],
    gates: GatesSection,
    share: float | None,
) -> list[Verdict]:
    """Whether the test split, its classes and its slices are large enough for the gates that come later.

    With not one discordant row Tango's interval for the drop is still z^2 / (n + z^2) wide on each side: a smaller set
    cannot pass, whatever the model. The verdict judges that best case.

    Args:
        rules: the chosen rules.
        test: the test split.
        slices: slice column -> all its values, in whatever split they stand.
        gates: limits on the drop.
        share: share of all rows that the test split gets, to say how many rows to add; None where it has files of its
            own.
    """
    rule = rules.get("slice_too_small")
    if rule is None:
        return []
    found = [_size_verdict(rule, "overall", test.rows, gates.drop_max, "drop_max", share)]
    lacking = [_lacking(found[0])]
    for column, kind in (("label", "class"), *((column, "slice") for column in slices)):
        values = slices.get(column) if kind == "slice" else sorted(test.labels)
        counts = test.slices.get(column, {}) if kind == "slice" else test.labels
        small = []
        for value in values or []:
            scope = f"class:{value}" if kind == "class" else f"slice:{column}={value}"
            verdict = _size_verdict(rule, scope, counts.get(value, 0), gates.slice_drop_max, "slice_drop_max", share)
            if verdict.outcome != "PASS":
                small.append(verdict)
        lacking.append(sum(map(_lacking, small)))
        found += small[:MAX_SCOPES]
        if len(small) > MAX_SCOPES:
            what = "classes" if kind == "class" else f"values of {column}"
            last = small[MAX_SCOPES]
            step = f"{len(small) - MAX_SCOPES} more {what} are too small: join them into fewer"
            found.append(last.model_copy(update={"next_step": step}))
    return _with_total(found, max(lacking), share)


def summary(read: int, splits: Mapping[str, SplitCount], dropped: Sequence[Dropped]) -> list[str]:
    """Counts as a person reads them: rows, what was dropped with its first examples, labels."""
    kept = sum(split.rows for split in splits.values())
    parts = ", ".join(f"{name} {split.rows:,}" for name, split in splits.items())
    gone = sum(one.rows for one in dropped)
    notes = [f"{read:,} rows read, {gone:,} dropped, {kept:,} kept: {parts}"]
    for one in dropped:
        first = "; ".join(f"{source} ({evidence})" for source, evidence in one.first)
        notes.append(f"{one.rule} dropped {one.rows:,} rows, first: {first}")
    labels: Counter[str] = Counter()
    for split in splits.values():
        labels.update(split.labels)
    ordered = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{_cut(label)} {count:,} ({count / kept:.1%})" for label, count in ordered]
    return [*notes, f"labels: {_list(shown, 20)}"] if shown else notes


def _spelt_alike(labels: Mapping[str, int]) -> list[list[str]]:
    """Groups of labels that are the same once case, width and white space are put aside."""
    frame = pl.DataFrame({"label": sorted(labels)}, schema={"label": pl.String})
    groups = frame.group_by(normalised("label").alias("key"), maintain_order=True).agg("label")
    return [group for group in groups["label"].to_list() if len(group) > 1]


def _size_verdict(rule: Rule, scope: str, rows: int, limit: float, setting: str, share: float | None) -> Verdict:
    needed = rows_to_pass_without_discordance(limit)
    if rows:
        interval = tango(0, 0, rows)
    else:
        interval = Interval(low=-1.0, estimate=0.0, high=1.0, n=0, unit="fraction", method="tango")
    lacks = max(0, (needed or 0) - rows)
    step = (
        f"{rows} test rows, {needed} are needed even if not one answer changes: add {lacks} to the test "
        + (f"split (about {round(lacks / share)} to the set)" if share else "files")
        + f", or raise gates.{setting}"
    )
    verdict = judge(
        interval,
        at_most(limit),
        rule=rule.name,
        scope=scope,
        subject="test",
        severity=rule.severity,
        next_step=step,
        samples_needed=needed,
    )
    # the sentence of a measurement would say that 0.00 points were found, and nothing was measured yet
    ends = f"{100 * interval.high:.{shown_digits(interval, at_most(limit), 100)}f}"
    allowed = f"{100 * limit:.10g}"
    allowed += ".0" if allowed == "1" else ""
    enough, even = ("are enough", "an") if verdict.outcome == "PASS" else ("are too few", "even an")
    reason = (
        f"nothing is measured yet: {rows} test rows {enough} to show a drop of at most {allowed} points "
        f"({even} unchanged model leaves up to {ends} possible)"
    )
    return verdict.model_copy(update={"reason": reason})


def _lacking(verdict: Verdict) -> int:
    """Test rows that a size lacks; 0 where it is large enough."""
    have = verdict.interval.n if verdict.interval else 0
    return 0 if verdict.samples_needed is None else max(0, verdict.samples_needed - have)


def _with_total(found: list[Verdict], total: int, share: float | None) -> list[Verdict]:
    """Where several sizes are too small, the first of them says how many rows are enough for all.

    A row has one class and one value of each column: for all of them together at least as many rows are needed as the
    values of one column lack together, whichever column lacks the most.
    """
    small = [place for place, verdict in enumerate(found) if verdict.outcome != "PASS"]
    if len(small) < 2:
        return found
    first = found[small[0]]
    to_add = f"about {round(total / share):,} rows to the set" if share else f"{total:,} rows to the test files"
    step = f"{first.next_step}; for all {len(small)} that are too small together: add at least {to_add}"
    return [*found[: small[0]], first.model_copy(update={"next_step": step}), *found[small[0] + 1 :]]


def _short(label: str) -> str:
    return repr(_cut(label))


def _cut(label: str) -> str:
    return label if len(label) <= SHOWN_CHARACTERS else f"{label[:SHOWN_CHARACTERS]}…"


def _list(items: Sequence[str], shown: int = NAMED) -> str:
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more
