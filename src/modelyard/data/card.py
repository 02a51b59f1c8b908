"""The dataset card: `prepared/README.md`, where a stranger and the hub of Hugging Face look first.

Its head names the split files, so that `datasets.load_dataset("prepared")` finds them; the rest says in words and
tables what was read, what was dropped and why, what the rows are like and what is still wrong with them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from modelyard.artifacts.prepared import SPLITS, Dataset
from modelyard.data.rules import FLAGGING
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import shown_unit
from modelyard.evidence.report import Measurement, Report

FILE = "README.md"
MAX_ROWS = 50
"""Of one table; the report holds all."""
MAX_CHARACTERS = 120
"""Of one name or value."""
LEAST_LANGUAGE_SHARE = 0.01
# sizes as the hub names them
_SIZES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
    10**9: "100M<n<1B",
}
_LARGEST = "n>1B"
_TASKS = {
    "classification": "text-classification",
    "multi_label_classification": "text-classification",
    "causal_lm": "text-generation",
    "seq2seq_lm": "text-generation",
    "preference": "reinforcement-learning",
}


def dataset_card(dataset: Dataset, report: Report, labels: Mapping[str, Mapping[str, int]]) -> str:
    """The card as Markdown; equal reports give equal cards.

    Args:
        dataset: what was prepared.
        report: of the check, with everything that it measured and judged.
        labels: split -> label -> rows.
    """
    total = sum(dataset.counts.values())
    parts = [
        _head(dataset, report, total),
        f"# {_plain(report.project)}\n\nMade by `modelyard check` from {len(dataset.sources):,} "
        f"file{'s' if len(dataset.sources) != 1 else ''}; every number stands in `reports/check.json`. "
        f"{_result(report)}",
        "## Splits · 划分\n\n" + _splits(dataset),
        "## What was dropped · 剔除\n\n" + _dropped(report),
        "## Labels · 标签\n\n" + _labels(dataset, labels) if dataset.labels else "",
        "## Profile of train · 训练集画像\n\n" + _profile(report),
        "## Still in it · 仍在其中\n\n" + _left(report),
        "## Where it comes from · 来源\n\n" + _sources(dataset),
        "## How it was made · 制作方法\n\n" + _made(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(dataset: Dataset, report: Report, total: int) -> str:
    files = "\n".join(f"  - split: {name}\n    path: {name}.parquet" for name in SPLITS)
    size = next((name for most, name in _SIZES.items() if total < most), _LARGEST)
    languages = [
        one.scope.removeprefix("language:")
        for one in _named(report, "profile_language")
        if one.interval.estimate >= LEAST_LANGUAGE_SHARE and one.scope != "language:und"
    ]
    lines = ["---", "configs:", "- config_name: default", "  data_files:", files]
    lines += [f"language: {json.dumps(languages)}"] if languages else []
    return "\n".join([*lines, f"task_categories: [{_TASKS[dataset.task]}]", f"size_categories: [{size}]", "---"])


def _result(report: Report) -> str:
    blocking = [verdict for verdict in report.verdicts if verdict.blocks]
    if not blocking:
        return "Every rule that blocks a release passed."
    names = ", ".join(dict.fromkeys(_code(verdict.rule) for verdict in blocking))
    return f"**Not fit for release as it is: {names}.**"


def _splits(dataset: Dataset) -> str:
    rows = [(name, f"{dataset.counts[name]:,}", _code(dataset.digests[name])) for name in SPLITS]
    return _table(("split", "rows", "digest of the file"), rows)


def _dropped(report: Report) -> str:
    read = next((one.interval.estimate for one in _named(report, "rows_read")), 0)
    counts = {one.name.removeprefix("dropped_"): one.interval for one in report.measurements if _is_drop(one)}
    limits = {verdict.rule: verdict for verdict in report.verdicts if verdict.scope == "overall"}
    rows = [
        (
            _code(rule),
            f"{found.estimate:,.0f}",
            f"{found.estimate / read:.2%}",
            limits[rule].outcome if rule in limits else "",
        )
        for rule, found in counts.items()
    ]
    gone = sum(found.estimate for found in counts.values())
    said = f"{read:,.0f} rows read, {gone:,.0f} dropped, each kept in `dropped.parquet` with its file, line and reason."
    return said + ("\n\n" + _table(("rule", "rows", "of all rows", "verdict"), rows) if rows else "")


def _is_drop(one: Measurement) -> bool:
    return one.name.startswith("dropped_") and one.scope == "overall"


def _labels(dataset: Dataset, labels: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        (_plain(label), *(f"{labels.get(split, {}).get(label, 0):,}" for split in SPLITS)) for label in dataset.labels
    ]
    return _table(("label", *SPLITS), rows)


def _profile(report: Report) -> str:
    found = [one for one in report.measurements if one.name.startswith("profile_")]
    rows = [
        (
            one.name.removeprefix("profile_").replace("_", " "),
            _plain(one.scope.partition(":")[2]),
            _said(one.interval),
            f"{one.interval.n:,}",
        )
        for one in found
    ]
    lengths = {one.name.removeprefix("length_"): one.interval.estimate for one in _named(report, "length_", start=True)}
    said = ", ".join(f"{name} {value:,.0f}" for name, value in lengths.items())
    return (f"Characters of a row: {said}.\n\n" if said else "") + _table(
        ("what", "of", "estimate (95% interval)", "rows looked at"), rows
    )


def _left(report: Report) -> str:
    """What rules found that drop nothing, and every verdict that did not pass."""
    flags = [one for one in report.measurements if one.name in {f"flagged_{rule}" for rule in FLAGGING}]
    rows = [
        (
            _code(one.name.removeprefix("flagged_")),
            _plain(one.scope.removeprefix("kind:").replace("overall", "")),
            f"{one.interval.estimate:,.0f}",
        )
        for one in flags
    ]
    table = _table(("found", "kind", "rows"), rows) + "\n\nEach of them is in `flagged.parquet`." if rows else ""
    open_ones = [verdict for verdict in report.verdicts if verdict.outcome != "PASS"]
    listed = [
        f"* {_code(verdict.rule)} {verdict.outcome}: {_plain(verdict.reason, most=400)}. "
        f"Next: {_plain(verdict.next_step, most=400)}."
        for verdict in open_ones[:MAX_ROWS]
    ]
    more = [f"* and {len(open_ones) - MAX_ROWS} more"] if len(open_ones) > MAX_ROWS else []
    return (
        "\n\n".join(part for part in (table, "\n".join([*listed, *more])) if part) or "Nothing that a rule looks for."
    )


def _sources(dataset: Dataset) -> str:
    rows = [(_code(one.path), f"{one.rows:,}", _code(one.digest)) for one in dataset.sources]
    return _table(("file", "rows", "digest"), rows)


def _made(report: Report) -> str:
    chosen = ("shape", "fields", "slices", "group", "split", "text_minimum_characters")
    rows = [
        (_code(name), _code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
        for name in chosen
        if (value := report.parameters.get(name)) not in (None, {}, [])
    ]
    own = [(_code(name), _code(keep, most=2_000)) for name, keep in report.parameters["user_rules"].items()]
    settings = _table(("setting", "value"), rows)
    return f"{settings}\n\n{_table(('rule of its own', 'true of the rows kept'), own)}" if own else settings


def _named(report: Report, name: str, *, start: bool = False) -> Iterable[Measurement]:
    return [one for one in report.measurements if (one.name.startswith(name) if start else one.name == name)]


def _said(interval: Interval) -> str:
    scale, unit = shown_unit(interval)
    ends = [scale * value for value in (interval.low, interval.estimate, interval.high)]
    digits = 0 if all(end.is_integer() for end in ends) else 2
    low, estimate, high = (f"{end:,.{digits}f}" for end in ends)
    return f"{estimate}{unit}" if interval.method == "count" else f"{estimate}{unit} ({low} to {high})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows[:MAX_ROWS]]]
    more = [f"\n… and {len(rows) - MAX_ROWS:,} more"] if len(rows) > MAX_ROWS else []
    return "\n".join([*lines, *more])


def _plain(text: str, most: int = MAX_CHARACTERS) -> str:
    """A text that Markdown shows as it is, on one line and inside a table; no HTML of it is ever read as such."""
    line = " ".join(text.split())
    line = line if len(line) <= most else line[:most] + "…"
    escaped = line.translate({ord(mark): f"\\{mark}" for mark in "\\`*_{}[]#|~"})
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str, most: int = MAX_CHARACTERS) -> str:
    """A name as code; a backtick in it would end it, a bar the cell."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{line if len(line) <= most else line[:most] + '…'}`"
