"""The stage `check`: raw files in, a verdict per rule, three splits and everything dropped out."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.artifacts.files import check_output, digest_bytes, digest_file, replacing_folder, write_json
from modelyard.artifacts.prepared import MARK, NO_VALUE, SPLITS, Dataset, Source, write_frame
from modelyard.artifacts.reports import recording, write_report
from modelyard.data import verdicts
from modelyard.data.baseline import profile
from modelyard.data.locate import locate
from modelyard.data.problems import raise_found
from modelyard.data.read import FileRead, Table, read_files
from modelyard.data.rules import MINIMUM_CHARACTERS, MINIMUM_CJK_CHARACTERS, Rule, chosen_rules, drop_rows
from modelyard.data.split import place_in_order, shares_of, split_groups, split_rows
from modelyard.errors import Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Measurement, Report
from modelyard.progress import Progress, silent
from modelyard.project.data import DataSection
from modelyard.project.gates import GatesSection

RESERVED = ("id", "source", "text", "label", "group")
"""Columns of a prepared split that are ours: a slice column of such a name is stored as `NAME_column`."""
SLICE_PREFIX = "slice:"
"""Before the names of slice columns among the columns that rules and splits work with."""


@dataclass(frozen=True)
class Raw:
    """All that was read: the files' columns, the rows as rules see them, the files of each part, notes."""

    fields: pl.DataFrame
    rows: pl.DataFrame
    files: dict[str, list[FileRead]]
    notes: list[str]


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
    """Read, judge, drop, divide and write.

    Args:
        data: which files, which columns, which rules.
        project: name for the report.
        task: `classification`.
        root: what file names are relative to.
        prepared: folder to write; None writes none. It stays untouched where no division is possible.
        reports: folder for `check.json` and `check.run.json`; None writes none.
        gates: the limits that the test split must be large enough for.
        progress: told while files are read and at each step after.

    Returns:
        The report, whatever its verdicts.

    Raises:
        InputError: the files cannot be read as rows, all problems at once; a setting or an output is wrong.
    """
    rules = chosen_rules(data.rules)
    if prepared is not None:
        check_output(prepared, mark=MARK)
    with recording(reports, "check") if reports is not None else contextlib.nullcontext():
        raw = _read(data, root, progress)
        progress("apply rules", 0, 3)
        minimum = data.rules["text_too_short"].minimum if "text_too_short" in data.rules else None
        kept, dropped = drop_rows(raw.rows, rules, minimum)
        progress("apply rules", 1, 3)
        slices = slice_columns(data)
        splits = _divide(kept, data)
        progress("apply rules", 2, 3)
        report = _report(data, project, raw, splits, dropped, rules, gates)
        possible = all(splits[name].height for name in SPLITS)
        if not possible:
            empty = ", ".join(name for name in SPLITS if not splits[name].height)
            report.notes.append(f"nothing was prepared: no row is left for {empty}")
        elif prepared is not None:
            _write(prepared, task, raw, splits, dropped, list(slices.values()), data.split.seed)
            report.parameters["prepared"] = digest_file(prepared / MARK)
        progress("apply rules", 3, 3)
        if reports is not None:
            write_report(reports, report)
    return report


def slice_columns(data: DataSection) -> dict[str, str]:
    """Slice column in the files -> its name in the prepared splits, where ours go first."""
    taken = {*RESERVED, *data.slices}
    stored: dict[str, str] = {}
    for name in dict.fromkeys(data.slices):
        stored[name] = _free_name(f"{name}_column", taken) if name in RESERVED else name
        taken.add(stored[name])
    return stored


def _read(data: DataSection, root: Path, progress: Progress) -> Raw:
    """Read the files of every part into one frame with a running row number."""
    named = {"train": data.train, "validation": data.validation, "test": data.test}
    paths, notes = {}, []
    for part, names in named.items():
        if names is not None:
            paths[part], found = locate(names, root)
            notes += found
    _refuse_shared(paths)
    slices = slice_columns(data)
    others = [*slices, *([data.group] if data.group else [])]
    tables: dict[str, Table] = {
        part: read_files(
            files,
            root=root,
            text=data.fields.text,
            label=data.fields.label,
            others=others,
            skip_bad_rows=data.skip_bad_rows,
            progress=progress,
        )
        for part, files in paths.items()
    }
    fields = pl.concat([table.fields for table in tables.values()], how="diagonal")
    rows = pl.concat([table.rows.with_columns(part=pl.lit(part)) for part, table in tables.items()])
    extra = {
        f"{SLICE_PREFIX}{stored}": fields[name].fill_null("").replace("", NO_VALUE)
        if name in fields.columns
        else pl.Series([NO_VALUE] * rows.height, dtype=pl.String)  # of files in which no row could be read
        for name, stored in slices.items()
    }
    nobody = pl.Series([None] * rows.height, dtype=pl.String)
    group = fields[data.group].replace("", None) if data.group in fields.columns else nobody
    rows = rows.with_columns(group.alias("group"), **extra).with_row_index("row", offset=1)
    notes += [f"the column {name!r} is {stored!r} in prepared/" for name, stored in slices.items() if name != stored]
    return Raw(fields, rows, {part: table.files for part, table in tables.items()}, notes)


def _refuse_shared(paths: Mapping[str, Sequence[Path]]) -> None:
    owner: dict[Path, str] = {}
    problems = []
    for part, files in paths.items():
        for path in files:
            first = owner.setdefault(path.resolve(), part)
            if first != part:
                problems.append(
                    Problem(f"the file is named for {first} and for {part}", "name it for one of them", str(path))
                )
    raise_found(problems)


def _divide(kept: pl.DataFrame, data: DataSection) -> dict[str, pl.DataFrame]:
    """Rows by split with the columns of `prepared/`, in an order that depends on their texts and the seed alone."""
    seed = data.split.seed
    kept = kept.with_columns(pl.Series("id", [digest_bytes(text.encode()) for text in kept["text"]], pl.String))
    own = {"validation": data.validation is not None, "test": data.test is not None}
    shares = shares_of(0.0 if own["validation"] else data.split.validation, 0.0 if own["test"] else data.split.test)
    pool = kept.filter(pl.col("part") == "train")
    ids, labels = pool["id"].to_list(), pool["label"].to_list()
    if data.group is None:
        places = split_rows(ids, labels, shares, seed)
    else:
        groups = [
            f"row {ident}" if group is None else f"group {group}"
            for ident, group in zip(ids, pool["group"], strict=True)
        ]
        places = split_groups(groups, labels, shares, seed)
    divided = pl.concat(
        [
            pool.with_columns(split=pl.Series(places, dtype=pl.String)),
            kept.filter(pl.col("part") != "train").with_columns(split=pl.col("part")),
        ]
    )
    order = pl.Series([place_in_order(seed, ident) for ident in divided["id"]], dtype=pl.Binary)
    divided = divided.with_columns(order=order).sort("order")
    slices = [pl.col(f"{SLICE_PREFIX}{name}").alias(name) for name in slice_columns(data).values()]
    columns = ["id", "source", "text", "label", *slices, "group"]
    return {name: divided.filter(pl.col("split") == name).select(columns) for name in SPLITS}


def _report(
    data: DataSection,
    project: str,
    raw: Raw,
    splits: Mapping[str, pl.DataFrame],
    dropped: pl.DataFrame,
    rules: Mapping[str, Rule],
    gates: GatesSection,
) -> Report:
    """Everything found, in the one report schema."""
    slices = list(slice_columns(data).values())
    share = data.split.test if data.test is None else None
    counts = dict(dropped["rule"].value_counts().iter_rows())
    found = [
        *verdicts.of_rows(rules, counts, raw.rows.height, splits),
        *verdicts.of_labels(rules, splits),
        *verdicts.of_sizes(rules, splits["test"], _values(splits, slices), gates, share),
    ]
    return Report(
        stage="check",
        project=project,
        inputs={part: _digest_of(files) for part, files in raw.files.items()},
        parameters=_parameters(data, raw, rules),
        measurements=_measurements(raw, splits, counts),
        verdicts=found,
        notes=[*verdicts.summary(raw.rows, splits, dropped), *_file_notes(raw), *raw.notes],
    )


def _values(splits: Mapping[str, pl.DataFrame], slices: Sequence[str]) -> dict[str, list[str]]:
    """Slice column -> its values in any split."""
    return {
        column: sorted({value for frame in splits.values() for value in frame[column].unique()}) for column in slices
    }


def _digest_of(files: Sequence[FileRead]) -> str:
    """One file's digest, or the digest of the lines `DIGEST  PATH` of several."""
    if len(files) == 1:
        return files[0].digest
    return digest_bytes("".join(f"{file.digest}  {file.path}\n" for file in files).encode())


def _parameters(data: DataSection, raw: Raw, rules: Mapping[str, Rule]) -> dict[str, Any]:
    files = [file for part in raw.files.values() for file in part]
    encodings: dict[str, list[str]] = {}
    for file in files:
        encodings.setdefault(file.encoding or "parquet", []).append(file.path)
    minimum = data.rules["text_too_short"].minimum if "text_too_short" in data.rules else None
    return {
        "fields": data.fields.model_dump(),
        "slices": slice_columns(data),
        "group": data.group,
        "split": data.split.model_dump(),
        "skip_bad_rows": data.skip_bad_rows,
        "encodings": {name: {"files": len(paths), "first": paths[:20]} for name, paths in sorted(encodings.items())},
        "delimiters": sorted({file.delimiter for file in files if file.delimiter}),
        "text_minimum_characters": minimum
        if minimum is not None
        else f"{MINIMUM_CHARACTERS}, or {MINIMUM_CJK_CHARACTERS} where most letters of a text are CJK",
        "rules": {name: {"budget": rule.budget, "severity": rule.severity} for name, rule in rules.items()},
    }


def _measurements(raw: Raw, splits: Mapping[str, pl.DataFrame], counts: Mapping[str, int]) -> list[Measurement]:
    read = raw.rows.height

    def count(name: str, value: float, unit: str = "rows", scope: str = "overall", n: int = read) -> Measurement:
        return Measurement(name=name, scope=scope, interval=Interval.exact(value, n=n, unit=unit))

    found = [count("rows_read", read), *(count(f"dropped_{rule}", rows) for rule, rows in sorted(counts.items()))]
    found += [count("rows", frame.height, scope=f"split:{name}") for name, frame in splits.items()]
    kept = pl.concat([frame.select("text") for frame in splits.values()])["text"].str.len_chars()
    if len(kept):
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            value = kept.quantile(share, interpolation="nearest")
            found.append(count(f"length_{name}", float(value or 0), unit="characters", n=len(kept)))
    return found


def _file_notes(raw: Raw) -> list[str]:
    """What a person should look at: encodings that were guessed, lines that were passed over."""
    files = [file for part in raw.files.values() for file in part]
    guessed = [file for file in files if file.encoding not in ("", "utf-8", "utf-8-sig", "utf-16", "utf-32")]
    notes = [
        f"{file.path} is not UTF-8: it was read as {file.encoding}, for instance {file.sample!r}; "
        "save it as UTF-8 if that is wrong"
        for file in guessed[:20]
    ]
    if len(guessed) > 20:
        notes.append(f"{len(guessed) - 20} more files are not UTF-8")
    blank = sum(file.blank_lines for file in files)
    return [*notes, f"{blank} blank lines were passed over"] if blank else notes


def _write(
    target: Path,
    task: str,
    raw: Raw,
    splits: Mapping[str, pl.DataFrame],
    dropped: pl.DataFrame,
    slices: list[str],
    seed: int,
) -> None:
    """The prepared folder, whole or not at all."""
    with replacing_folder(target, mark=MARK) as folder:
        for name, frame in splits.items():
            write_frame(frame, folder / f"{name}.parquet")
        write_frame(dropped_rows(raw, dropped), folder / "dropped.parquet")
        write_json(folder / "baseline.json", profile(splits["train"], slices))
        dataset = Dataset(
            task=task,
            labels=sorted({label for frame in splits.values() for label in frame["label"].unique()}),
            counts={name: frame.height for name, frame in splits.items()},
            digests={name: digest_file(folder / f"{name}.parquet") for name in SPLITS},
            slices=slices,
            seed=seed,
            sources=[
                Source(path=file.path, digest=file.digest, rows=file.rows)
                for files in raw.files.values()
                for file in files
            ],
        )
        write_json(folder / MARK, dataset)


def _free_name(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free_name(f"{name}_column", taken)


def dropped_rows(raw: Raw, dropped: pl.DataFrame) -> pl.DataFrame:
    """Every dropped row with all its fields as strings, then `source`, `row`, `rule`, `evidence`, `raw`.

    `raw` is what stands in the file for a row that could not be read, null for others. A field of the file that has one
    of these names is called `NAME_column`.
    """
    ours = ("source", "row", "rule", "evidence", "raw")
    columns = set(raw.fields.columns)
    fields = raw.fields.rename({name: _free_name(name, columns) for name in ours if name in columns})
    return (
        fields.with_columns(raw.rows["source"], raw.rows["row"], raw.rows["raw"])
        .join(dropped, on="row", how="inner", maintain_order="left")
        .select(*fields.columns, *ours)
    )
