"""`compare OLD NEW`: what changed between two data sets, a verdict per column."""

import contextlib
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.files import digest_bytes, digest_file
from modelyard.artifacts.prepared import MARK, SPLITS, Prepared, read_prepared
from modelyard.artifacts.reports import recording, write_report
from modelyard.data.baseline import Baseline
from modelyard.data.change.columns import (
    FEW_LABELS,
    FEW_VALUES,
    Compared,
    Kind,
    compare_column,
    compare_kinds,
    counts_of,
    kind_of,
    text_features,
)
from modelyard.data.change.measures import (
    SEED,
    Measure,
    Measures,
    binned_verdicts,
    chosen_measures,
    missing_verdict,
    share_verdict,
    short,
)
from modelyard.data.change.overlap import Overlap, overlap
from modelyard.data.change.places import baseline_file, refuse_models
from modelyard.data.change.two_sample import MAX_ROWS as CLASSIFIER_ROWS
from modelyard.data.change.two_sample import rows_to_tell, tell_apart
from modelyard.data.characters import row_scripts
from modelyard.data.problems import raise_found
from modelyard.data.reading.locate import locate
from modelyard.data.reading.passages import refuse_texts
from modelyard.data.reading.shapes import Shape, label_sets, listed, looks_like_list
from modelyard.data.reading.table import read_table
from modelyard.data.rules import normalised
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement, Report
from modelyard.progress import Progress, silent

STAGE = "compare"
DISTRIBUTIONS = "distributions"
"""Key of `parameters` under which the report holds what is drawn."""
MOST_ROWS = 200_000
"""Rows of a side whose distributions are compared: the interval of `ks` then reaches 0.4 points on each side."""
MOST_COLUMNS = 100
NAMED = 5
OURS = ("source", "text", "label")
EXPLAIN = ("text.digits", "text.punctuation", "text.spaces")
"""Features that explain what the classifier finds, and set no exit status of their own."""


@dataclass(frozen=True)
class Opened:
    """One side.

    Attributes:
        frame: `source` (`file:line`), `text`, `label`, then the other columns, all strings and null where nothing is;
            a sample of at most `MOST_ROWS` rows.
        frame_keys: of each row of `frame` a hash of its normalised text.
        keys: `key`, `label` and `source` of every row that has a text.
        rows: all rows.
        digest: of what was read.
        notes: what was not read.
    """

    frame: pl.DataFrame
    frame_keys: pl.Series
    keys: pl.DataFrame
    rows: int
    digest: str
    notes: list[str]


def compare(
    old: str,
    new: str,
    *,
    root: Path,
    text: str = "text",
    label: str | None = None,
    limits: Mapping[str, float] | None = None,
    reports: Path | None = None,
    progress: Progress = silent,
) -> Report:
    """Compare two data sets column by column.

    Args:
        old: a prepared folder, a `baseline.json`, or files, a folder or a glob as `check` reads them.
        new: the same, but no baseline.
        root: what the names are relative to.
        text: column of the text in files; a prepared folder has its own.
        label: column of the label in files; None for `label` where both sides have it.
        limits: measure -> largest value allowed, in place of the default.
        reports: folder for `compare.json` and `compare.run.json`; None writes none.
        progress: told while files are read and at each step after.

    Returns:
        The report, whatever its verdicts. Equal data gives an equal one.

    Raises:
        InputError: a side cannot be read as rows, or is a model or a release; a limit is wrong.
    """
    measures = chosen_measures(limits or {})
    if text == label:
        raise InputError(Problem(f"--text and --label both name {text!r}", "name two different columns", "--label"))
    for place in (old, new):
        refuse_models(place, root)
    known = baseline_file(old, root)
    if baseline_file(new, root):
        raise InputError(
            Problem(f"NEW is a baseline, {new}, which holds no rows", "name the rows as NEW, the baseline as OLD", new)
        )
    with recording(reports, STAGE) if reports is not None else contextlib.nullcontext():
        places = [new] if known is not None else [old, new]
        opened = _open_all(places, root, text, label, progress)
        if known is not None:
            report = _against_baseline(known, opened[0], measures)
        else:
            report = _two_sides(opened[0], opened[1], measures, progress)
        report.project = f"{Path(old).name} -> {Path(new).name}"
        report.parameters |= {"old": old, "new": new, "text": text, "label": label or "label", "seed": SEED}
        report.parameters |= {f"{name}_max": measure.limit for name, measure in measures.items()}
        if reports is not None:
            write_report(reports, report)
    return report


def _open_all(places: Sequence[str], root: Path, text: str, label: str | None, progress: Progress) -> list[Opened]:
    """Both sides, or the problems of both."""
    opened: list[Opened] = []
    problems: list[Problem] = []
    for place in places:
        try:
            opened.append(open_data(place, root, text=text, label=label, progress=progress))
        except InputError as error:
            problems += error.problems
    raise_found(problems)
    return opened


def open_data(place: str, root: Path, *, text: str, label: str | None, progress: Progress) -> Opened:
    """The rows of one side.

    Args:
        place: a prepared folder, or a file, folder or glob that `check` reads.
        root: what `place` is relative to.
        text: column of the text in files.
        label: column of the label in files; None for `label` where there is one.
        progress: told while files are read.

    Raises:
        InputError: the files cannot be read as rows, or there is none; a named column is not there.
    """
    notes: list[str] = []
    if (root / place / MARK).is_file():
        frame = _prepared_rows(read_prepared(root / place))
        digest = digest_file(root / place / MARK)
    else:
        paths, notes = locate(place, root)
        options = {text: "leave out --text"} | ({label: "leave out --label"} if label else {})
        refuse_texts(paths, options, root)
        # the label goes by `fields`, so that a file without one can be read too
        shape = Shape(name="text", columns={"text": text})
        table = read_table(paths, root=root, shape=shape, progress=progress)
        frame = _with_our_names(table.fields, text, label, place).with_columns(
            source=table.rows["source"], text=table.rows["text"]
        )
        lines = "".join(f"{file.digest}  {file.path}\n" for file in table.files)
        digest = table.files[0].digest if len(table.files) == 1 else digest_bytes(lines.encode())
    frame = frame.select(*OURS, *(name for name in frame.columns if name not in OURS))
    frame = frame.with_columns(pl.col(pl.String).replace("", None))  # an empty cell of a CSV file holds nothing
    if frame["text"].null_count() == frame.height:
        raise InputError(Problem(f"{place} holds no row with a text", "name files that hold rows", place))
    keys = frame.select("source", "label", pl.col("text").is_null().alias("empty"), key=normalised("text").hash(SEED))
    chosen = np.arange(frame.height)
    if frame.height > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(SEED).choice(frame.height, MOST_ROWS, replace=False))
    with_text = keys.filter(~pl.col("empty")).drop("empty")
    return Opened(frame[chosen], keys["key"][chosen], with_text, frame.height, digest, notes)


def _prepared_rows(prepared: Prepared) -> pl.DataFrame:
    """All rows of a prepared folder with one `text` and one `label`, whatever the shape of its rows.

    Several labels are one set, written as JSON in their order; of a conversation the text is what every turn says.
    """
    frame = pl.concat([prepared.split(split) for split in SPLITS], how="diagonal").drop("id", "group")
    parts = [name for name in ("text", "prompt", "completion", "chosen") if name in frame.columns]
    if "messages" in frame.columns:
        text = pl.col("messages").list.eval(pl.element().struct.field("content").fill_null("")).list.join("\n")
    else:
        text = pl.concat_str(parts, separator="\n", ignore_nulls=True)
    label = pl.lit(None, pl.String)
    if "labels" in frame.columns:
        sets = [None if one is None else json.dumps(sorted(one), ensure_ascii=False) for one in frame["labels"]]
        label = pl.lit(pl.Series(sets, dtype=pl.String))
    elif "label" in frame.columns:
        label = pl.col("label")
    made = frame.with_columns(text=text, label=label)
    return made.drop("messages", "prompt", "completion", "chosen", "labels", strict=False)


def _with_our_names(fields: pl.DataFrame, text: str, label: str | None, place: str) -> pl.DataFrame:
    """A file's columns with `label` under that name; a column that has one of our names is `NAME_column`."""
    wanted = label or "label"
    if label is not None and label not in fields.columns:
        near = difflib.get_close_matches(label, fields.columns, n=1)
        advice = f"did you mean {near[0]!r}" if near else f"columns here: {', '.join(map(repr, fields.columns[:10]))}"
        raise InputError(Problem(f"there is no column {label!r}", advice, place))
    found = fields[wanted] if wanted in fields.columns else pl.Series([None] * fields.height, dtype=pl.String)
    others = fields.drop(text, wanted, strict=False)
    renamed: dict[str, str] = {}
    for name in OURS:
        free = name
        while free in (*OURS, *others.columns, *renamed.values()):
            free += "_column"
        if name in others.columns:
            renamed[name] = free
    return others.rename(renamed).with_columns(label=pl.Series(label_sets(found.to_list()), dtype=pl.String))


def _two_sides(old: Opened, new: Opened, measures: Measures, progress: Progress) -> Report:
    """Everything that two sets of rows tell."""
    progress("compare", 0, 4)
    texts = [
        side.frame.select("source", "text", key=side.frame_keys).filter(pl.col("text").is_not_null())
        for side in (old, new)
    ]
    compared = _texts(texts[0], texts[1], measures)
    progress("compare", 1, 4)
    columns, notes = _columns(old.frame, new.frame, measures)
    compared += columns
    progress("compare", 2, 4)
    verdicts, unlike = _told(texts[0], texts[1], measures["text_classifier"])
    progress("compare", 3, 4)
    empty = [side.frame["text"].null_count() for side in (old, new)]
    if any(empty):
        verdicts.append(missing_verdict("text", empty[0], old.frame.height, empty[1], new.frame.height, measures))
    rows = overlap(old.keys, new.keys)
    if rows.labelled:
        verdicts.append(_relabelled(rows, measures["relabelled"]))
    progress("compare", 4, 4)
    return Report(
        stage=STAGE,
        project="",
        inputs={"old": old.digest, "new": new.digest},
        parameters={DISTRIBUTIONS: [one.drawing for one in compared], "rows_compared_most": MOST_ROWS},
        measurements=[*_row_counts(old.rows, new.rows), *_overlap_measurements(rows)],
        verdicts=[*verdicts, *(verdict for one in compared for verdict in one.verdicts)],
        notes=[*_size_notes(old, new), *_overlap_notes(rows), *unlike, *notes, *old.notes, *new.notes],
    )


def _texts(old: pl.DataFrame, new: pl.DataFrame, measures: Measures) -> list[Compared]:
    """Lengths, shares of characters and scripts of the texts."""
    explaining = {name: replace(measure, severity="warning") for name, measure in measures.items()}
    left, right = text_features(old["text"]), text_features(new["text"])
    found = []
    for name in left:
        kind: Kind = "category" if name == "text.script" else "number"
        chosen = explaining if name in EXPLAIN else measures
        found.append(compare_column(name, kind, left[name], right[name], chosen))
    return found


def _columns(old: pl.DataFrame, new: pl.DataFrame, measures: Measures) -> tuple[list[Compared], list[str]]:
    """The label and every other column that both sides have, and what is said of the rest."""
    compared, notes = [], []
    shared = [name for name in old.columns if name in new.columns and name not in ("source", "text")]
    for name in shared[:MOST_COLUMNS]:
        left, right = (frame[name].cast(pl.String) for frame in (old, new))
        if name == "label" and all(side.null_count() == len(side) for side in (left, right)):
            continue
        kind, reason = kind_of(left, right, few=FEW_LABELS if name == "label" else FEW_VALUES)
        if kind is None:
            notes.append(f"{short(name)} is not compared: {reason}")
            continue
        compared.append(compare_column(name, kind, left, right, measures))
        if name == "label" and kind == "category":
            notes += _new_kinds(counts_of(left.drop_nulls()), counts_of(right.drop_nulls()))
    if len(shared) > MOST_COLUMNS:
        notes.append(f"{len(shared) - MOST_COLUMNS} more columns are not compared: {MOST_COLUMNS} are the most")
    for side, frame, other in (("OLD", old, new), ("NEW", new, old)):
        if lacking := [short(name) for name in frame.columns if name not in other.columns]:
            notes.append(f"columns that only {side} has: {_listed(lacking)}")
    return compared, notes


def _new_kinds(old: Mapping[str, int], new: Mapping[str, int]) -> list[str]:
    notes = []
    for side, counts, other in (("OLD", old, new), ("NEW", new, old)):
        alone = [f"{short(name)} ({counts[name]:,} rows)" for name in counts if name not in other]
        if alone:
            notes.append(f"labels that only {side} has: {_listed(alone)}")
    return notes


def _told(old: pl.DataFrame, new: pl.DataFrame, measure: Measure) -> tuple[list[Verdict], list[str]]:
    """The classifier's verdict, and the texts of NEW that it was surest of where it did not pass."""
    told = tell_apart(old, new, seed=SEED)
    needed = rows_to_tell(measure.limit)
    if told is None:
        return [
            Verdict(
                rule=measure.name,
                scope="column:text",
                interval=Interval(low=0.0, estimate=0.5, high=1.0, n=0, unit="fraction", method="wilson"),
                limit=None,
                outcome="INCONCLUSIVE",
                reason="there are too few texts to train a classifier on some and ask it about others",
                next_step=f"compare at least {needed or 2 * CLASSIFIER_ROWS:,} rows of each side",
                samples_needed=needed,
                severity=measure.severity,
            )
        ], []
    unlike = [str(new["source"][place]) for place in told.unlike_old]
    where = f"texts of NEW that look least like OLD: {_listed(unlike)}"
    verdict = share_verdict(measure, "text", told.right, told.n, needed=needed, where=where)
    seen = verdict.interval is not None and verdict.interval.low > 0.5  # else it guesses, and names any
    return [verdict], [where] if seen and verdict.outcome != "PASS" else []


def _single(labels: pl.Series) -> pl.Series:
    """The labels of sets one by one, as a baseline counts them; other labels as they are."""
    first = next((label for label in labels if label is not None), "")
    if not looks_like_list(first):
        return labels
    single = [listed(label) if looks_like_list(label) else [label] for label in labels.drop_nulls()]
    return pl.Series("label", [one for several in single for one in several], dtype=pl.String)


def _relabelled(rows: Overlap, measure: Measure) -> Verdict:
    """The share counts all texts of the side with fewer: of unrelated sets only contradictory texts stand in both."""
    where = f"first: {_listed(rows.first_relabelled)}" if rows.relabelled else "none was"
    return share_verdict(measure, "label", rows.relabelled, min(rows.old, rows.new), exact=rows.exact, where=where)


def _against_baseline(path: Path, new: Opened, measures: Measures) -> Report:
    """What a `baseline.json` holds, against the rows of NEW. Its code made the profile, so its code makes this one."""
    baseline = read_document(path, Baseline, next_step="run `modelyard check` again")
    if baseline.rows < 1:
        raise InputError(Problem(f"{path} is the profile of no row", "run `modelyard check` again", str(path)))
    texts = new.frame["text"].drop_nulls()
    verdicts, drawings, notes = _lengths(baseline, texts, measures)
    kinds: dict[str, tuple[Mapping[str, float], pl.Series]] = {"label": (baseline.labels, _single(new.frame["label"]))}
    if baseline.row_scripts is not None:
        kinds["text.script"] = (baseline.row_scripts, row_scripts(texts))
    for column, values_held in baseline.slices.items():
        if column in new.frame.columns:
            kinds[column] = (values_held, new.frame[column])
        else:
            notes.append(f"columns that only OLD has: {short(column)}")
    for column, (held, values) in kinds.items():
        if values.null_count() == len(values):
            notes.append(f"{short(column)} is not compared: it has no value on one side")
            continue
        counts = {value: round(share * baseline.rows) for value, share in held.items()}
        one = compare_kinds(column, counts, counts_of(values), measures)
        verdicts += one.verdicts
        drawings.append(one.drawing)
        if column == "label":
            notes += _new_kinds(counts, counts_of(values.drop_nulls()))
    if missing := new.frame["text"].null_count():
        verdicts.append(missing_verdict("text", 0, baseline.rows, missing, new.frame.height, measures))
    return Report(
        stage=STAGE,
        project="",
        inputs={"old": digest_file(path), "new": new.digest},
        parameters={DISTRIBUTIONS: drawings, "rows_compared_most": MOST_ROWS},
        measurements=_row_counts(baseline.rows, new.rows),
        verdicts=verdicts,
        notes=["OLD is a baseline: only what it holds is compared, and no rows", *notes, *new.notes],
    )


def _lengths(baseline: Baseline, texts: pl.Series, measures: Measures) -> tuple[list[Verdict], list[Any], list[str]]:
    """The lengths of NEW in the bins of the baseline."""
    held, name = baseline.length_characters, "text.characters"
    if len(held.counts) != len(held.edges) + 1 or sum(held.counts) < 1 or sorted(set(held.edges)) != held.edges:
        return [], [], [f"{short(name)} is not compared: the baseline's histogram is broken"]
    edges, old = np.array(held.edges, dtype=np.float64), np.array(held.counts, dtype=np.int64)
    bins = np.searchsorted(edges, texts.str.len_chars().to_numpy(), side="left")
    new = np.bincount(bins, minlength=old.size)
    drawing = {
        "column": name,
        "kind": "category",
        "names": [f"<= {edge}" for edge in held.edges] + [f"> {held.edges[-1]}" if held.edges else "all"],
        **{side: (counts / counts.sum()).round(6).tolist() for side, counts in (("old", old), ("new", new))},
        "hidden": 0,
    }
    return binned_verdicts(name, edges, old, new, measures), [drawing], []


def _row_counts(old: int, new: int) -> list[Measurement]:
    return [
        Measurement(name="rows", subject=side, interval=Interval.exact(rows, n=rows, unit="rows"))
        for side, rows in (("OLD", old), ("NEW", new))
    ]


def _overlap_measurements(rows: Overlap) -> list[Measurement]:
    """Shares of the texts that were kept, removed and added: exact over all, with Wilson's interval over a sample."""
    found = []
    for name, count, n in (
        ("texts_kept", rows.kept, rows.old),
        ("texts_removed", rows.old - rows.kept, rows.old),
        ("texts_added", rows.new - rows.kept, rows.new),
    ):
        if n:
            interval = wilson(count, n) if not rows.exact else Interval.exact(count / n, n=n, unit="fraction")
            found.append(Measurement(name=name, interval=interval))
    return found


def _size_notes(old: Opened, new: Opened) -> list[str]:
    notes = [f"OLD has {old.rows:,} rows, NEW {new.rows:,}"]
    for side, opened in (("OLD", old), ("NEW", new)):
        if opened.frame.height < opened.rows:
            notes.append(f"distributions are those of a random sample of {opened.frame.height:,} rows of {side}")
    return notes


def _overlap_notes(rows: Overlap) -> list[str]:
    removed, added = rows.old - rows.kept, rows.new - rows.kept
    notes = [] if rows.exact else ["texts are looked up in a sample that is the same on both sides"]
    notes.append(
        f"{rows.old:,} different texts in OLD, {rows.new:,} in NEW: {rows.kept:,} in both, "
        f"{removed:,} removed, {added:,} added"
    )
    if removed:
        notes.append(f"removed, the first of {removed:,}: {_listed(rows.first_removed)}")
    if added:
        notes.append(f"added, the first of {added:,}: {_listed(rows.first_added)}")
    if rows.relabelled:
        notes.append(f"relabelled, the first of {rows.relabelled:,}: {_listed(rows.first_relabelled)}")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
