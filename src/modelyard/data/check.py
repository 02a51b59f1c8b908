"""`check`: read, judge rule by rule, drop with the reason kept, split, write."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.artifacts.files import digest_bytes, digest_file, replacing_folder, write_json
from modelyard.artifacts.prepared import MARK, SPLITS, Dataset, Source, Split
from modelyard.artifacts.reports import recording, write_report
from modelyard.data.baseline import profile
from modelyard.data.findings import judge_labels, judge_rule, judge_slices, length_measurements
from modelyard.data.locate import locate
from modelyard.data.problems import raise_found
from modelyard.data.read import FileRead, Table, read_files
from modelyard.data.rules import BY_NAME, ROW_RULES, normalised, text_too_short
from modelyard.data.split import assign
from modelyard.errors import Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement, Report
from modelyard.progress import Progress, silent
from modelyard.project.data import DataSection, RuleSection
from modelyard.project.gates import GatesSection

STAGE = "check"
RESERVED = {"id", "source", "text", "label", "group"}


@dataclass(frozen=True)
class Sifted:
    """Rows after the rules.

    Attributes:
        kept: `row`, `source`, `text`, `label`, `asked`, `key`, the slice columns and `group`.
        dropped: `row`, `source`, `rule`, `evidence`, in the order of the rows.
        found: rule -> rows it dropped.
    """

    kept: pl.DataFrame
    dropped: pl.DataFrame
    found: dict[str, int]


def check(
    data: DataSection,
    *,
    project: str,
    task: str,
    root: Path,
    prepared: Path | None,
    reports: Path | None,
    gates: GatesSection,
    progress: Progress = silent,
) -> Report:
    """Judge raw files and make the splits.

    Args:
        data: the settings.
        project: name in the report.
        task: `classification`.
        root: what the settings' paths are relative to.
        prepared: where to write the splits; None writes nothing.
        reports: where to write the report; None writes nothing.
        gates: whose limits say which slices are too small to judge.
        progress: told of every file and rule.

    Returns:
        The report; with a FAIL that leaves nothing to split, an earlier `prepared` stays as it was.

    Raises:
        InputError: the files cannot be read, or lack a column; all problems at once.
    """
    if reports is None:
        return _check(data, project, task, root, prepared, gates, progress)
    with recording(reports, STAGE):
        report = _check(data, project, task, root, prepared, gates, progress)
        write_report(reports, report)
    return report


def _check(
    data: DataSection,
    project: str,
    task: str,
    root: Path,
    prepared: Path | None,
    gates: GatesSection,
    progress: Progress,
) -> Report:
    _refuse_unknown_rules(data.rules)
    table, asked, notes = _read(data, root, progress)
    rows = _rows(table, asked, data)
    sifted = sift(rows, data.rules, progress)
    verdicts = [judge_rule("not_empty", rows.height, rows.height, data.rules)]
    verdicts += [judge_rule(rule, count, rows.height, data.rules) for rule, count in sifted.found.items()]
    verdicts += judge_labels(sifted.kept["label"], data.rules)
    split = split_rows(sifted.kept, data)
    slices = list(_slice_names(data))
    if _can_split(verdicts, split):
        verdicts += judge_slices(split["test"], slices, gates, data.rules)
        if prepared is not None:
            dataset = _dataset(task, table.files, split, slices, data.split.seed)
            _write(prepared, dataset, split, table, sifted.dropped)
    return Report(
        stage=STAGE,
        project=project,
        inputs={file.path: file.digest for file in table.files},
        parameters=_parameters(data, table.files),
        measurements=[*_counts(rows.height, sifted, split), *length_measurements(sifted.kept)],
        verdicts=[verdict for verdict in verdicts if verdict is not None],
        notes=notes + _notes(sifted, split),
    )


def _refuse_unknown_rules(rules: dict[str, RuleSection]) -> None:
    import difflib

    raise_found(
        [
            Problem(
                f"data.rules.{name} is no rule",
                f"did you mean {near[0]}"
                if (near := difflib.get_close_matches(name, BY_NAME, n=1))
                else "see `modelyard check --rules`",
                "modelyard.yaml",
            )
            for name in rules
            if name not in BY_NAME
        ]
    )


def _read(data: DataSection, root: Path, progress: Progress) -> tuple[Table, list[Split], list[str]]:
    """All files as one table, and the split that each row was named for."""
    others = [*data.slices, *([data.group] if data.group else [])]
    tables, asked, notes = [], [], []
    named: dict[Split, str | list[str] | None] = {"train": data.train, "validation": data.validation, "test": data.test}
    for split, files in named.items():
        if files is None:
            continue
        paths, found = locate(files, root)
        notes += found
        table = read_files(
            paths, root=root, text=data.fields.text, label=data.fields.label, others=others, progress=progress
        )
        tables.append(table)
        asked += [split] * table.rows.height
    if len(tables) == 1:
        return tables[0], asked, notes
    return (
        Table(
            pl.concat([table.fields for table in tables], how="diagonal"),
            pl.concat([table.rows for table in tables]),
            [file for table in tables for file in table.files],
        ),
        asked,
        notes,
    )


def _slice_names(data: DataSection) -> dict[str, str]:
    """Name in `prepared/` -> column of the file: a slice that is called like a column of ours gets a prefix."""
    return {f"slice_{name}" if name in RESERVED else name: name for name in data.slices}


def _rows(table: Table, asked: Sequence[Split], data: DataSection) -> pl.DataFrame:
    group = table.fields[data.group] if data.group else pl.Series([None] * table.rows.height, dtype=pl.String)
    return table.rows.with_columns(
        pl.int_range(table.rows.height, dtype=pl.Int64).alias("row"),
        pl.Series("asked", list(asked), dtype=pl.String),
        normalised(pl.col("text")).alias("key"),
        pl.col("label").str.strip_chars(),
        group.alias("group"),
        *(table.fields[column].alias(name) for name, column in _slice_names(data).items()),
    )


def sift(rows: pl.DataFrame, rules: dict[str, RuleSection], progress: Progress = silent) -> Sifted:
    """Drop what the row rules say, each rule judging what the ones before it left.

    Args:
        rows: `row`, `source`, `text`, `text_type`, `label`, `label_type`, `asked`, `key`.
        rules: what the project changes; a rule that is `off` drops nothing.
        progress: told after every rule.
    """
    kept, dropped, found = rows, [], {}
    short = rules.get("text_too_short", RuleSection()).minimum
    for position, (name, rule) in enumerate(ROW_RULES, start=1):
        if rules.get(name, RuleSection()).severity == "off":
            continue
        evidence = text_too_short(kept, short) if name == "text_too_short" else rule(kept)
        goes = evidence.is_not_null()
        found[name] = int(goes.sum())
        dropped.append(
            kept.select("row", "source", pl.lit(name).alias("rule"), evidence.alias("evidence")).filter(goes)
        )
        kept = kept.filter(~goes)
        progress("judge rows", position, len(ROW_RULES))
    return Sifted(kept, pl.concat(dropped).sort("row"), found)


def split_rows(kept: pl.DataFrame, data: DataSection) -> dict[Split, pl.DataFrame]:
    """Frames of the three splits: the rows of named files stay where they were named, the rest is divided.

    Rows of a group that also stands in a file named for validation or test follow it there.
    """
    named = {"validation": data.validation is not None, "test": data.test is not None}
    shares: dict[Split, float] = {"train": 1.0}
    for split, share in (("validation", data.split.validation), ("test", data.split.test)):
        if not named[split]:
            shares[split] = share  # type: ignore[index]
            shares["train"] -= share
    free = kept.filter(pl.col("asked") == "train")
    if any(named.values()):
        homes = kept.filter((pl.col("asked") != "train") & pl.col("group").is_not_null())
        home = dict(zip(homes["group"], homes["asked"], strict=True))
        follows = free["group"].replace_strict(home, default=None, return_dtype=pl.String)
        kept = pl.concat(
            [kept.filter(pl.col("asked") != "train"), free.with_columns(pl.coalesce(follows, "asked").alias("asked"))]
        )
        free = kept.filter(pl.col("asked") == "train")
    places = assign(free["key"].to_list(), free["label"].to_list(), free["group"].to_list(), shares, data.split.seed)
    placed = pl.concat(
        [free.with_columns(pl.Series("asked", places, dtype=pl.String)), kept.filter(pl.col("asked") != "train")]
    ).sort("row")
    return {split: placed.filter(pl.col("asked") == split) for split in SPLITS}


def _can_split(verdicts: Sequence[Verdict | None], split: dict[Split, pl.DataFrame]) -> bool:
    """Whether there is something to learn and to judge: two labels, and rows in every split."""
    labels = split["train"]["label"].n_unique()
    return labels >= 2 and all(rows.height for rows in split.values())


def _dataset(
    task: str, files: Sequence[FileRead], split: dict[Split, pl.DataFrame], slices: list[str], seed: int
) -> Dataset:
    labels = sorted(set().union(*(rows["label"].unique().to_list() for rows in split.values())))
    return Dataset(
        task=task,
        labels=labels,
        counts={name: rows.height for name, rows in split.items()},
        digests={},
        slices=slices,
        seed=seed,
        sources=[Source(path=file.path, digest=file.digest, rows=file.rows) for file in files],
    )


def _write(
    prepared: Path, dataset: Dataset, split: dict[Split, pl.DataFrame], table: Table, dropped: pl.DataFrame
) -> None:
    with replacing_folder(prepared, mark=MARK) as folder:
        digests = {}
        for name, rows in split.items():
            path = folder / f"{name}.parquet"
            ids = pl.Series("id", [digest_bytes(text.encode()) for text in rows["text"]], dtype=pl.String)
            rows.select(ids, "source", "text", "label", *dataset.slices, "group").write_parquet(path)
            digests[name] = digest_file(path)
        reasons = dropped.select("row", "rule", "evidence", "source")
        fields = table.fields[dropped["row"]] if dropped.height else table.fields.clear()
        clash = {name: f"field_{name}" for name in fields.columns if name in reasons.columns}
        pl.concat([reasons, fields.rename(clash)], how="horizontal").write_parquet(folder / "dropped.parquet")
        write_json(folder / "baseline.json", profile(split["train"], dataset.slices))
        write_json(folder / MARK, dataset.model_copy(update={"digests": digests}))


def _parameters(data: DataSection, files: Sequence[FileRead]) -> dict[str, Any]:
    settings = json.loads(data.model_dump_json())
    read = {
        file.path: {
            "rows": file.rows,
            "encoding": file.encoding,
            "delimiter": file.delimiter,
            "blank_lines": file.blank_lines,
        }
        for file in files
    }
    return {**settings, "files": read if len(read) <= 100 else f"{len(read)} files"}


def _counts(rows: int, sifted: Sifted, split: dict[Split, pl.DataFrame]) -> list[Measurement]:
    counts = {"rows_read": rows, "rows_dropped": sifted.dropped.height}
    found = [
        Measurement(name=name, interval=Interval.exact(count, n=rows, unit="rows")) for name, count in counts.items()
    ]
    for name, part in split.items():
        interval = Interval.exact(part.height, n=rows, unit="rows")
        found.append(Measurement(name="rows", scope=f"split:{name}", interval=interval))
    return found


def _notes(sifted: Sifted, split: dict[Split, pl.DataFrame]) -> list[str]:
    notes = []
    for rule, count in sifted.found.items():
        if count:
            first = sifted.dropped.filter(pl.col("rule") == rule).row(0, named=True)
            notes.append(f"{rule}: {count} rows dropped, the first at {first['source']}: {first['evidence']}")
    parts = ", ".join(f"{rows.height} {name}" for name, rows in split.items())
    notes.append(f"kept {sifted.kept.height} rows of {sifted.kept['label'].n_unique()} labels: {parts}")
    return notes
