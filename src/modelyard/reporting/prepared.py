"""What `check` left in `prepared/`: the counts, and samples of what each rule dropped, flagged and let stay.

A sample is rows at equal distances through the file, so that it shows the end of a corpus as well as its beginning.
What is read for it is a narrow column, then the chosen rows: never a corpus at once. Personal data and secrets are
masked in every text that is shown, whichever rules were on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.prepared import DROPPED_COLUMNS, MARK, SPLITS, Dataset
from modelyard.data.baseline import Baseline
from modelyard.data.personal.find import find_personal, redact
from modelyard.data.rules import dropping_order
from modelyard.evidence.report import Report

EXAMPLES = 30
"""Rows of a sample."""
MAX_RULES = 30
"""Of those that dropped rows, the most rows first."""
MAX_GROUPS = 20
MAX_COPIES = 5
"""Copies shown of one group."""
FIRST_CHARACTERS = 2_000
_COPIES = ("duplicate_exact", "duplicate_near", "leak_across_splits", "leak_near")
_ORDER = ("text", "prompt", "input", "completion", "messages", "chosen", "rejected")


@dataclass(frozen=True)
class Row:
    """One row: where it stood, its text, and its label, or what a rule found."""

    source: str
    text: str
    said: str


@dataclass(frozen=True)
class Step:
    """One rule's drop: rows before it, rows it dropped, a sample of them."""

    rule: str
    before: int
    rows: int
    examples: list[Row]


@dataclass(frozen=True)
class Group:
    """Rows that are copies of one: that row, how many went, the first of them.

    `gone` is the rule that dropped the first row later, empty where it stayed.
    """

    kept: Row
    gone: str
    rows: int
    copies: list[Row]


@dataclass(frozen=True)
class Flagged:
    """What a rule found and left in place: rows, rows of each kind, a sample."""

    rule: str
    rows: int
    kinds: dict[str, int]
    examples: list[Row]


@dataclass(frozen=True)
class Data:
    """What stands in `prepared/`.

    Attributes:
        dataset: `dataset.json`.
        baseline: `baseline.json`; None where it is missing.
        labels: label -> rows in each split that has some, in the order of `dataset.labels`.
        read: rows that were read.
        steps: the rules that dropped rows, in the order in which they looked; at most `MAX_RULES`.
        hidden_steps: how many rules more there are.
        groups: copies of one row, the largest groups first.
        flagged: what rules found that drop nothing.
        kept: a sample of the train rows that stayed.
    """

    dataset: Dataset
    baseline: Baseline | None
    labels: dict[str, dict[str, int]]
    read: int
    steps: list[Step]
    hidden_steps: int
    groups: list[Group]
    flagged: list[Flagged]
    kept: list[Row]


def read_data(folder: Path, report: Report | None) -> Data | None:
    """Read a prepared folder; None where there is none.

    Args:
        folder: `prepared/`.
        report: of `check`, which knows what the columns of the raw files are called.

    Raises:
        InputError: a document of it cannot be read.
        PolarsError: a file of rows cannot be.
    """
    if not (folder / MARK).is_file():
        return None
    dataset = read_document(folder / MARK, Dataset, next_step="run `modelyard check` again")
    baseline = None
    if (folder / "baseline.json").is_file():
        baseline = read_document(folder / "baseline.json", Baseline, next_step="run `modelyard check` again")
    splits: dict[str, pl.LazyFrame] = {
        name: pl.scan_parquet(folder / f"{name}.parquet") for name in SPLITS if _there(folder, name)
    }
    kept = sum(dataset.counts.values())
    dropped = folder / "dropped.parquet"
    counts: dict[str, int] = {}
    fields: list[str] = []
    if dropped.is_file():
        frame = pl.scan_parquet(dropped)
        counts = {str(rule): int(rows) for rule, rows in frame.group_by("rule").len().collect().iter_rows()}
        fields = _fields(report, frame.collect_schema().names())
    steps = _steps(dropped, counts, fields, kept, report)
    return Data(
        dataset=dataset,
        baseline=baseline,
        labels=_labels(splits, dataset.labels),
        read=kept + sum(counts.values()),
        steps=steps,
        hidden_steps=len(counts) - len(steps),
        groups=_groups(dropped, fields, splits) if counts else [],
        flagged=_flagged(folder / "flagged.parquet", splits),
        kept=_rows(_by_sources(splits["train"], _spread(splits["train"], "source"))) if "train" in splits else [],
    )


def _there(folder: Path, split: str) -> bool:
    return (folder / f"{split}.parquet").is_file()


def _fields(report: Report | None, columns: Sequence[str]) -> list[str]:
    """The columns of `dropped.parquet` that make a row's text; one that has a name of ours stands there as another."""
    fields = report.parameters.get("fields") if report else None
    named = fields if isinstance(fields, dict) else {"text": "text"}
    found = []
    for role in _ORDER:
        if role in named:
            name = str(named[role])
            while name.casefold() in DROPPED_COLUMNS or f"{name}_column" in columns:
                name = f"{name}_column"
            found.append(name)
    return [name for name in found if name in columns]


def _labels(splits: Mapping[str, pl.LazyFrame], names: Sequence[str]) -> dict[str, dict[str, int]]:
    labels: dict[str, dict[str, int]] = {label: {} for label in names}
    for split, frame in splits.items():
        names_of = frame.collect_schema().names()
        if "labels" in names_of:
            frame = frame.select(label="labels").explode("label").drop_nulls()
        if "label" in names_of or "labels" in names_of:
            counts = frame.group_by("label").len().select(pl.col("label").cast(pl.String), "len").collect()
            for label, rows in counts.iter_rows():
                labels.setdefault(str(label), {})[split] = int(rows)
    return labels


def _spread(frame: pl.LazyFrame, column: str, wanted: int = EXAMPLES) -> pl.Series:
    """Values of a column that tells rows apart, at equal distances; at most so many."""
    values = frame.select(column).collect().to_series()
    return values.gather_every(max(1, -(-len(values) // wanted))).head(wanted)


def _steps(
    path: Path, counts: Mapping[str, int], fields: Sequence[str], kept: int, report: Report | None
) -> list[Step]:
    """Each rule's drop, with a sample."""
    before = kept + sum(counts.values())
    most = sorted(counts, key=lambda rule: (-counts[rule], rule))[:MAX_RULES]
    own = report.parameters.get("user_rules") if report else None
    found = []
    for rule in dropping_order(counts, list(own) if isinstance(own, dict) else []):
        if rule in most:
            frame = pl.scan_parquet(path).filter(pl.col("rule") == rule)
            rows = frame.filter(pl.col("row").is_in(_spread(frame, "row").implode()))
            found.append(Step(rule, before, counts[rule], _rows(_shown(rows, fields), fields, "evidence")))
        before -= counts[rule]
    return found


def _shown(rows: pl.LazyFrame, fields: Sequence[str]) -> pl.DataFrame:
    """Of dropped rows what is shown."""
    there = rows.collect_schema().names()
    wanted = dict.fromkeys([*fields, "source", "evidence", "raw"])
    return rows.select([name for name in wanted if name in there]).collect(engine="streaming")


def _groups(path: Path, fields: Sequence[str], splits: Mapping[str, pl.LazyFrame]) -> list[Group]:
    """The rows with the most copies, and some of these."""
    dropped = pl.scan_parquet(path)
    if "twin" not in dropped.collect_schema():  # written by an earlier version
        return []
    copies = dropped.filter(pl.col("rule").is_in(_COPIES), pl.col("twin").is_not_null())
    sizes = copies.group_by("twin").len().sort(["len", "twin"], descending=[True, False]).head(MAX_GROUPS).collect()
    first = copies.filter(pl.col("twin").is_in(sizes["twin"].implode())).select("row", "twin").collect()
    first = first.sort("row").group_by("twin", maintain_order=True).head(MAX_COPIES)
    kept = _by_source(splits, sizes["twin"])
    later = _by_sources(dropped.select([*fields, "source", "rule"]), sizes["twin"])  # it may have gone after its copies
    gone = {row.source: row for row in _rows(later, fields, "rule")}
    groups = []
    for twin, rows in sizes.iter_rows():
        own = first.filter(pl.col("twin") == twin)["row"]
        shown = _shown(dropped.filter(pl.col("row").is_in(own.implode())), fields)
        lost = gone.get(twin)
        original = kept.get(twin) or (Row(twin, lost.text, "") if lost else Row(twin, "", ""))
        groups.append(
            Group(
                kept=original,
                gone=lost.said if lost and twin not in kept else "",
                rows=int(rows),
                copies=_rows(shown, fields, "evidence"),
            )
        )
    return groups


def _flagged(path: Path, splits: Mapping[str, pl.LazyFrame]) -> list[Flagged]:
    """What each flagging rule found. A secret or a number is masked there; the text around it is not shown."""
    if not path.is_file():
        return []
    frame = pl.scan_parquet(path)
    found = []
    rows = frame.group_by("rule").agg(pl.col("row").n_unique()).sort("rule").collect()
    for rule, count in rows.iter_rows():
        own = frame.filter(pl.col("rule") == rule)
        kinds = own.drop_nulls("kind").group_by("kind").agg(pl.col("row").n_unique()).sort("kind").collect()
        sample = own.with_row_index("place").select("place", "source", "evidence").collect()
        sample = sample.filter(pl.col("place").is_in(_spread(sample.lazy(), "place").implode()))
        texts = _by_source(splits, sample["source"]) if rule == "label_suspect" else {}
        examples = [
            Row(row.source, texts[row.source].text if row.source in texts else "", row.said)
            for row in _rows(sample, [], "evidence")
        ]
        found.append(Flagged(str(rule), int(count), {str(kind): int(n) for kind, n in kinds.iter_rows()}, examples))
    return found


def _by_sources(frame: pl.LazyFrame, sources: pl.Series) -> pl.DataFrame:
    return frame.filter(pl.col("source").is_in(sources.unique().implode())).collect(engine="streaming")


def _by_source(splits: Mapping[str, pl.LazyFrame], sources: pl.Series) -> dict[str, Row]:
    return {row.source: row for frame in splits.values() for row in _rows(_by_sources(frame, sources))}


def _rows(frame: pl.DataFrame, fields: Sequence[str] = (), said: str = "label") -> list[Row]:
    """Rows of a split, or raw rows whose text stands in `fields`."""
    columns = [name for name in (fields or _ORDER) if name in frame.columns]
    texts = [_text([row[name] for name in columns]) or _text([row.get("raw")]) for row in frame.iter_rows(named=True)]
    masked = pl.DataFrame({"row": range(len(texts)), "text": pl.Series(texts, dtype=pl.String)})
    masked = masked.with_columns(pl.col("row").cast(pl.Int64))
    return [
        Row(
            str(row.get("source") or ""),
            str(text),
            ", ".join(row["labels"] or []) if said == "label" and "labels" in row else str(row.get(said) or ""),
        )
        for row, text in zip(frame.iter_rows(named=True), redact(masked, find_personal(masked)), strict=True)
    ]


def _text(values: Sequence[Any]) -> str:  # a column holds text, a list of turns, or anything a raw file had
    """One text of a row's parts, one below the other, cut."""
    parts = []
    for value in values:
        if isinstance(value, list):
            turns = [turn for turn in value if isinstance(turn, dict)]
            parts += [f"{turn.get('role')}: {turn.get('content') or turn.get('tool_calls') or ''}" for turn in turns]
        elif value is not None:
            parts.append(str(value))
    return "\n".join(parts)[:FIRST_CHARACTERS]
