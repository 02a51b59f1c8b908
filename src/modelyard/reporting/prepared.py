"""What `check` left in `prepared/`: the counts, and samples of what each rule dropped, flagged and let stay.

A sample is rows at equal distances through the file, so that it shows the end of a corpus as well as its beginning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.prepared import MARK, SPLITS, Dataset
from modelyard.data.baseline import Baseline
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
_TWIN = r"(?:same text as|of the shingles in common with) (.+)$"
"""How evidence names the row that was kept."""
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
    """Rows that are copies of one: the row that stayed, how many went, the first of them."""

    kept: Row
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
        steps: the rules that dropped rows, in the order in which they looked.
        groups: copies of one row, the largest groups first.
        flagged: what rules found that drop nothing.
        kept: a sample of the train rows that stayed.
    """

    dataset: Dataset
    baseline: Baseline | None
    labels: dict[str, dict[str, int]]
    read: int
    steps: list[Step]
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
    fields = _fields(report)
    steps = _steps(folder / "dropped.parquet", fields, sum(dataset.counts.values()))
    return Data(
        dataset=dataset,
        baseline=baseline,
        labels=_labels(splits, dataset.labels),
        read=steps[0].before if steps else sum(dataset.counts.values()),
        steps=steps,
        groups=_groups(folder / "dropped.parquet", fields, splits),
        flagged=_flagged(folder / "flagged.parquet", splits),
        kept=_rows(_spread(splits["train"], dataset.counts.get("train", 0))) if "train" in splits else [],
    )


def _there(folder: Path, split: str) -> bool:
    return (folder / f"{split}.parquet").is_file()


def _fields(report: Report | None) -> list[str]:
    """The columns of the raw files that make a row's text, as `check` was told or found them."""
    fields = report.parameters.get("fields") if report else None
    named = fields if isinstance(fields, dict) else {"text": "text"}
    return [str(named[role]) for role in _ORDER if role in named]


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


def _spread(frame: pl.LazyFrame, rows: int, wanted: int = EXAMPLES) -> pl.DataFrame:
    """At most so many rows, at equal distances."""
    return frame.gather_every(max(1, -(-rows // wanted))).head(wanted).collect()


def _steps(path: Path, fields: Sequence[str], kept: int) -> list[Step]:
    """Each rule's drop; none where nothing was dropped or the file is missing."""
    if not path.is_file():
        return []
    frame = pl.scan_parquet(path)
    counts = {str(rule): int(rows) for rule, rows in frame.group_by("rule").len().collect().iter_rows()}
    before = kept + sum(counts.values())
    most = sorted(counts, key=lambda rule: (-counts[rule], rule))[:MAX_RULES]
    found = []
    for rule in dropping_order(counts):
        if rule in most:
            sample = _spread(frame.filter(pl.col("rule") == rule), counts[rule])
            found.append(Step(rule, before, counts[rule], _rows(sample, fields, "evidence")))
        before -= counts[rule]
    return found


def _groups(path: Path, fields: Sequence[str], splits: Mapping[str, pl.LazyFrame]) -> list[Group]:
    """The rows with the most copies, and some of these."""
    if not path.is_file():
        return []
    copies = (
        pl.scan_parquet(path)
        .filter(pl.col("rule").is_in(_COPIES))
        .with_columns(twin=pl.col("evidence").str.extract(_TWIN))
        .filter(pl.col("twin").is_not_null())
    )
    sizes = copies.group_by("twin").len().sort(["len", "twin"], descending=[True, False]).head(MAX_GROUPS).collect()
    wanted = sizes["twin"].implode()
    shown = copies.filter(pl.col("twin").is_in(wanted)).group_by("twin", maintain_order=True).head(MAX_COPIES).collect()
    kept = _by_source(splits, sizes["twin"])
    return [
        Group(
            kept=kept.get(twin, Row(twin, "", "")),
            rows=int(rows),
            copies=_rows(shown.filter(pl.col("twin") == twin), fields, "evidence"),
        )
        for twin, rows in sizes.iter_rows()
    ]


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
        sample = _spread(own, int(own.select(pl.len()).collect().item()))
        texts = _by_source(splits, sample["source"]) if rule == "label_suspect" else {}
        examples = [
            Row(row.source, texts[row.source].text if row.source in texts else "", row.said)
            for row in _rows(sample, [], "evidence")
        ]
        found.append(Flagged(str(rule), int(count), {str(kind): int(n) for kind, n in kinds.iter_rows()}, examples))
    return found


def _by_source(splits: Mapping[str, pl.LazyFrame], sources: pl.Series) -> dict[str, Row]:
    wanted = sources.unique().implode()
    frames = [frame.filter(pl.col("source").is_in(wanted)).collect() for frame in splits.values()]
    return {row.source: row for frame in frames for row in _rows(frame)}


def _rows(frame: pl.DataFrame, fields: Sequence[str] = (), said: str = "label") -> list[Row]:
    """Rows of a split, or raw rows whose text stands in `fields`."""
    columns = [name for name in (fields or _ORDER) if name in frame.columns]
    return [
        Row(
            str(row.get("source") or ""),
            _text([row[name] for name in columns]) or _text([row.get("raw")]),
            ", ".join(row["labels"] or []) if said == "label" and "labels" in row else str(row.get(said) or ""),
        )
        for row in frame.iter_rows(named=True)
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
