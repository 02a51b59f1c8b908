"""The stage `check`: raw files in, a verdict per rule, three splits and everything dropped out."""

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from modelyard.artifacts.files import (
    check_output,
    digest_file,
    replacing_folder,
    scratch_folder,
    write_json,
    write_text,
)
from modelyard.artifacts.memory import available_memory_bytes
from modelyard.artifacts.prepared import MARK, SPLITS, Dataset, Source
from modelyard.artifacts.reports import own_peak_bytes, recording, write_report
from modelyard.data import counting, meeting, placing, writing
from modelyard.data.baseline import SCRIPTS, Baseline, histogram, script_shares, shares
from modelyard.data.card import FILE as CARD
from modelyard.data.card import dataset_card
from modelyard.data.change import history
from modelyard.data.contamination.index import Index
from modelyard.data.contamination.questions import benchmark_facts, load_questions
from modelyard.data.features import NEAR_RULES, Plan
from modelyard.data.findings import Read, dropped_names, free_name, report_of, unjudged_note
from modelyard.data.mapping import RAW, Mapped, Part, Task, bundles, file_problems
from modelyard.data.problems import raise_found
from modelyard.data.profile import SAMPLED_ROWS, language_note, profile
from modelyard.data.reading.locate import locate
from modelyard.data.reading.passages import refuse_texts
from modelyard.data.reading.read import FileFound, find_layout
from modelyard.data.reading.records import Parse
from modelyard.data.reading.shapes import TASKS, Shape
from modelyard.data.reading.survey import MAX_ROWS, Surveyed, survey
from modelyard.data.reading.table import first_columns
from modelyard.data.rules import Rule, filter_names, judged_rules, own_rules
from modelyard.data.split import SplitCount, shares_of
from modelyard.data.texts import text_reader
from modelyard.data.user_rules import Compiled
from modelyard.data.workers import WORKER_BYTES, map_bundles, started
from modelyard.errors import InputError, Problem
from modelyard.evidence.report import Report
from modelyard.progress import Progress, silent
from modelyard.project.data import DataSection
from modelyard.project.gates import GatesSection

RESERVED = (
    "id",
    "source",
    "text",
    "label",
    "labels",
    "group",
    "prompt",
    "completion",
    "messages",
    "chosen",
    "rejected",
)
"""Columns of a prepared split that are ours: a slice column of such a name is stored as `NAME_column`."""
OWN_BYTES = 300 * 1024**2
"""What this process takes before it holds a row: the interpreter and its libraries."""
DATABASE_SHARE = 0.8
"""DuckDB keeps to its limit but for a tenth (findings: 1.05 to 1.1 GB at 1 GB)."""
LEAST_MEMORY_BYTES = 1024**3
MAX_PROCESSES = 64


class _Met(NamedTuple):
    """Rows after all rules: where they stand, what was read for them, and how many are left in each split."""

    connection: meeting.Connection
    scratch: Path
    plan: Plan
    read: Read
    counts: Mapping[str, SplitCount]


def check(
    data: DataSection,
    *,
    project: str,
    shape: Shape,
    task: str | None = None,
    root: Path,
    prepared: Path | None,
    reports: Path | None,
    gates: GatesSection,
    tokenizer: Path | None = None,
    memory_bytes: int | None = None,
    progress: Progress = silent,
) -> Report:
    """Read, judge, drop, divide and write, within a limit on memory whatever the size of the files.

    Args:
        data: which files, which columns, which rules.
        project: name for the report.
        shape: what a row is made of.
        task: what the rows are for; None: the usual one of rows of this shape.
        root: what file names are relative to.
        prepared: folder to write; None writes none. It stays untouched where no division is possible.
        reports: folder for `check.json` and `check.run.json`; None writes none.
        gates: the limits that the test split must be large enough for.
        tokenizer: the model's `tokenizer.json`, to count tokens of a sample with; None counts none.
        memory_bytes: what may be used at most; None for half of what is free, at least 1 GiB.
        progress: told while files are read and at each step after.

    Returns:
        The report, whatever its verdicts.

    Raises:
        InputError: the files cannot be read as rows, all problems at once; a setting or an output is wrong.
    """
    memory_bytes = memory_bytes or _free_memory()
    rules, plan = _plan(data, shape, root, prepares=prepared is not None)
    if prepared is not None:
        check_output(prepared, mark=MARK)
    with contextlib.ExitStack() as stack:
        together: list[int] = []
        if reports is not None:
            together = stack.enter_context(recording(reports, "check", memory_limit_bytes=memory_bytes))
        beside = prepared.absolute().parent if prepared is not None else Path(tempfile.gettempdir())
        scratch = stack.enter_context(scratch_folder(beside, "check"))
        asked, passed_over = locate(data.benchmarks or [], root) if "contamination" in rules else ([], [])
        index = load_questions(asked, root) if asked else None
        work = Task(plan, scratch, None if index is None else index.grams)
        read = _read(data, root, work, _processes(memory_bytes), progress)
        together += _together(read.mapped)
        limit = int((memory_bytes - OWN_BYTES) * DATABASE_SHARE)
        connection = stack.enter_context(meeting.open_meeting(scratch, memory_bytes=limit, threads=os.cpu_count() or 1))
        _meet(connection, scratch, read, data, plan, index, progress)
        counts = counting.split_counts(connection, list(plan.slices.values()), several=plan.shape.several)
        met = _Met(connection, scratch, plan, read, counts)
        report = _report(met, data, project, rules, gates)
        if index is not None:
            report.parameters["benchmarks"], notes = benchmark_facts(asked, root, index)
            report.notes += [*passed_over, *notes]
        if plan.keep_fields and counts["train"].rows:
            _add_profile(report, met, tokenizer)
        if empty := ", ".join(name for name in SPLITS if not counts[name].rows):
            report.notes.append(f"nothing was prepared: no row is left for {empty}")
        elif prepared is not None:
            _write(prepared, task, met, data.split.seed, report)
        progress("apply rules", 5, 5)
        if reports is not None:
            write_report(reports, report)
            history.append(reports, report, datetime.now(UTC))
    return report


def _plan(data: DataSection, shape: Shape, root: Path, *, prepares: bool) -> tuple[dict[str, Rule], Plan]:
    """The rules that are judged, by name, and what every piece goes through for them."""
    own = _own_rules(data, root)
    rules = judged_rules(data, labelled=shape.labelled, several=shape.several, own=[compiled.rule for compiled in own])
    reads_texts = bool(data.benchmarks) or not {*NEAR_RULES, "label_suspect"}.isdisjoint(rules)
    return rules, Plan(
        shape=shape,
        slices=slice_columns(data),
        group=data.group,
        rules=tuple(rules),
        minimum=data.rules["text_too_short"].minimum if "text_too_short" in data.rules else None,
        skip_bad_rows=data.skip_bad_rows,
        filters=tuple(name for name in filter_names(data.filters) if name in rules),
        user_rules=tuple(compiled.rule for compiled in own),
        user_columns=tuple(sorted({column for compiled in own for column in compiled.columns})),
        keep_fields=prepares or reads_texts,
    )


def _together(mapped: Sequence[Mapped]) -> list[int]:
    """What this process and its workers have taken at most until now, in bytes; nothing where there were no workers."""
    peaks: dict[int, int] = {}
    for one in mapped:
        peaks[one.process] = max(peaks.get(one.process, 0), one.peak_bytes)
    peaks.pop(0, None)
    return [own_peak_bytes() + sum(peaks.values())] if peaks else []


def _own_rules(data: DataSection, root: Path) -> list[Compiled]:
    """The project's own rules over the columns of the first file that has any; every other file must have them too."""
    if not data.user_rules:
        return []
    named = [names for names in (data.train, data.validation, data.test) if names is not None]
    paths = (path for names in named for path in locate(names, root)[0])
    columns = next((found for path in paths if (found := first_columns(path))), None)
    return [] if columns is None else own_rules(data.user_rules, columns)  # where no file has any there is no row


def slice_columns(data: DataSection) -> dict[str, str]:
    """Slice column in the files -> its name in the prepared splits, where ours go first, whatever their case."""
    taken = set(RESERVED)
    stored: dict[str, str] = {}
    kept = [name for name in dict.fromkeys(data.slices) if name.casefold() not in taken]
    for name in [*kept, *dict.fromkeys(data.slices)]:
        if name not in stored:
            stored[name] = free_name(name, taken)
    return {name: stored[name] for name in dict.fromkeys(data.slices)}


def _free_memory() -> int:
    """Half of what is free."""
    return max(LEAST_MEMORY_BYTES, available_memory_bytes() // 2)


def _processes(memory_bytes: int) -> int:
    """Workers that fit beside this process, at most one a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, (memory_bytes - OWN_BYTES) // WORKER_BYTES, MAX_PROCESSES))


def _read(data: DataSection, root: Path, task: Task, processes: int, progress: Progress) -> Read:
    """Find the files of every split, look each through, and map their pieces."""
    named = {"train": data.train, "validation": data.validation, "test": data.test}
    paths, notes = {}, []
    for split, names in named.items():
        if names is not None:
            paths[split], found = locate(names, root)
            notes += found
    _refuse_shared(paths)
    wanted = {name: _not_to_want(name, task.plan) for name in (*task.plan.shape.wanted, *task.plan.others)}
    refuse_texts((path for files in paths.values() for path in files), wanted, root)
    owners = [(split, path) for split, files in paths.items() for path in files]
    with started(task, [path for _, path in owners], processes) as workers:
        files, parts, problems = _look_through(owners, root, task, progress)
        mapped = map_bundles(bundles(parts), task, workers, progress)
    by_file: list[list[FileFound]] = [[] for _ in files]
    for one in mapped:
        for number, piece in one.found:
            by_file[number].append(piece)
    for file, pieces in zip(files, by_file, strict=True):
        problems += file_problems(pieces, file.path, task.plan)
    raise_found(problems)
    read = Read(files, [part for part, _ in owners], by_file, mapped, notes)
    if read.rows > MAX_ROWS:
        raise InputError(Problem(f"there are {read.rows} rows, the limit is {MAX_ROWS}", "check a part of them"))
    read.notes.extend(
        f"the column {name!r} is {stored!r} in prepared/" for name, stored in task.plan.slices.items() if name != stored
    )
    return read


def _look_through(
    owners: Sequence[tuple[str, Path]], root: Path, task: Task, progress: Progress
) -> tuple[list[Surveyed], list[Part], list[Problem]]:
    """Every file of every split: what it is, the pieces it is mapped in, and what is wrong with those left out."""
    files: list[Surveyed] = []
    parts: list[Part] = []
    problems: list[Problem] = []
    of_split = Counter(split for split, _ in owners)
    for number, (split, path) in enumerate(owners):
        progress("look files through", number, len(owners))
        try:
            file = survey(path, root, task.scratch, skip_bad_rows=task.plan.skip_bad_rows, alone=of_split[split] == 1)
        except InputError as error:
            problems += error.problems
            continue
        parts += _parts(file, len(files), split, task.plan)
        files.append(file)
    return files, parts, problems


def _parts(file: Surveyed, number: int, split: str, plan: Plan) -> Iterator[Part]:
    layout = None
    if file.kind in ("csv", "tsv") and len(file.cuts) > 1:
        layout = find_layout(file, Parse(file.path, (*plan.shape.wanted, *plan.others), ()))
    for place, cut in enumerate(file.cuts):
        if place and file.kind in ("csv", "tsv") and layout is None:
            return  # the first piece tells what is wrong with the header
        yield Part(file=number, surveyed=file, cut=cut, split=split, layout=layout if place else None)


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


def _not_to_want(column: str, plan: Plan) -> str:
    """What to change in the settings where files are to lack a column."""
    if column in plan.shape.wanted:
        if column == plan.shape.columns.get("text"):
            return "remove text from data.fields"
        return "set task: causal_lm" if plan.shape.labelled else "set task: causal_lm without data.fields"
    if column in plan.slices:
        return f"remove {column!r} from data.slices"
    if column == plan.group:
        return "remove data.group"
    return f"remove the rules that read {column!r} from data.user_rules"


def _meet(
    connection: meeting.Connection,
    scratch: Path,
    read: Read,
    data: DataSection,
    plan: Plan,
    index: Index | None,
    progress: Progress,
) -> None:
    """Drop what takes several rows to see, and divide the rest."""
    progress("apply rules", 0, 5)
    counts, paths = [one.rows for one in read.mapped], [file.path for file in read.files]
    meeting.load_rows(connection, scratch, counts, paths, list(slice_columns(data).values()))
    if "label_conflict" in plan.rules:
        meeting.drop_conflicts(connection)
    progress("apply rules", 1, 5)
    meeting.drop_duplicates(connection)
    progress("apply rules", 2, 5)
    meeting.drop_leaks(connection)
    progress("apply rules", 3, 5)
    read_texts = text_reader(scratch, counts, plan.shape)
    if NEAR_RULES & set(plan.rules):
        meeting.drop_near(connection, scratch, plan.rules, read_texts)
    if index is not None:
        meeting.drop_contaminated(connection, index, read.rows, read_texts)
    meeting.load_flags(connection)
    split = data.split
    divided = shares_of(split.validation if data.validation is None else 0.0, split.test if data.test is None else 0.0)
    placing.place_rows(
        connection, scratch, shares=divided, seed=split.seed, grouped=data.group is not None, several=plan.shape.several
    )
    progress("apply rules", 4, 5)


def _report(met: _Met, data: DataSection, project: str, rules: Mapping[str, Rule], gates: GatesSection) -> Report:
    """Everything found, once labels were looked at: where none could be judged that rule has no verdict."""
    judged, notes = _look_at_labels(met, data.split.seed)
    met.read.notes.extend(notes)
    kept = {name: rule for name, rule in rules.items() if judged or name != "label_suspect"}
    return report_of(data, project, met.plan, met.read, met.counts, met.connection, kept, gates)


def _look_at_labels(met: _Met, seed: int) -> tuple[bool, list[str]]:
    """Flag rows whose label is likely wrong; whether any could be judged, and in sentences what was not and why."""
    connection, scratch, plan, _, counts = met
    if "label_suspect" not in plan.rules:
        return False, []
    if plan.shape.several:
        return False, ["label_suspect was not judged: rows may have several labels"]
    from modelyard.data.labels.mislabelled import find_mislabelled  # loads what only it needs

    found = find_mislabelled(
        lambda: placing.placed_batches(connection, scratch, plan.shape.text_column),
        rows=sum(split.rows for split in counts.values()),
        labels=sorted({label for split in counts.values() for label in split.labels}),
        seed=seed,
    )
    meeting.flag_labels(connection, found.rows)
    if found.reason:
        return False, [f"label_suspect was not judged: {found.reason}"]
    return True, unjudged_note(found.unjudged)


def _add_profile(report: Report, met: _Met, tokenizer: Path | None) -> None:
    """Put into the report what a sample of the rows of train is like."""
    texts = text_reader(met.scratch, [one.rows for one in met.read.mapped], met.plan.shape)
    sampled = texts(placing.sampled_rows(met.connection, SAMPLED_ROWS))["text"]
    population = met.counts["train"].rows
    found = profile(sampled, population=population, tokenizer=tokenizer)
    report.measurements += found
    report.notes += language_note(found, population)


def _write(target: Path, task: str | None, met: _Met, seed: int, report: Report) -> None:
    """The prepared folder, whole or not at all; the report then has its digest."""
    connection, _, plan, read, counts = met
    slices = list(plan.slices.values())
    with replacing_folder(target, mark=MARK) as folder:
        for name in SPLITS:
            writing.write_split(connection, name, folder / f"{name}.parquet", plan.shape, slices)
        writing.write_dropped(connection, folder / "dropped.parquet", dropped_names(read), RAW)
        writing.write_flagged(connection, folder / "flagged.parquet")
        write_json(folder / "baseline.json", _baseline(counts["train"], connection))
        dataset = Dataset(
            task=task or TASKS[plan.shape.name],
            shape=plan.shape.name,
            labels=sorted({label for split in counts.values() for label in split.labels}),
            counts={name: split.rows for name, split in counts.items()},
            digests={name: digest_file(folder / f"{name}.parquet") for name in SPLITS},
            slices=slices,
            seed=seed,
            sources=[
                Source(path=file.path, digest=file.digest, rows=sum(piece.rows for piece in pieces))
                for file, pieces in zip(read.files, read.found, strict=True)
            ],
        )
        write_text(folder / CARD, dataset_card(dataset, report, {name: split.labels for name, split in counts.items()}))
        write_json(folder / MARK, dataset)
    report.parameters["prepared"] = digest_file(target / MARK)


def _baseline(train: SplitCount, connection: meeting.Connection) -> Baseline:
    letters, *scripts = counting.letter_counts(connection)
    return Baseline(
        rows=train.rows,
        labels=shares(train.labels),
        length_characters=histogram(counting.train_lengths(connection)),
        scripts=script_shares(letters, dict(zip(SCRIPTS, scripts, strict=True))),
        slices={name: shares(values) for name, values in train.slices.items()},
        row_scripts=shares(counting.train_scripts(connection)),
    )
