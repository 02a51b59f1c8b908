"""What `check` found, as the one report schema: parameters, counts, verdicts and the sentences a person reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.artifacts.files import digest_bytes
from modelyard.artifacts.prepared import DROPPED_COLUMNS
from modelyard.data import counting, meeting, verdicts
from modelyard.data.features import Plan
from modelyard.data.mapping import Mapped
from modelyard.data.reading.passages import DOCUMENT_CHARACTERS, PASSAGE_CHARACTERS
from modelyard.data.reading.read import FileFound
from modelyard.data.reading.survey import Surveyed
from modelyard.data.rules import MINIMUM_CHARACTERS, MINIMUM_CJK_CHARACTERS, Rule
from modelyard.data.split import SplitCount
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Measurement, Report
from modelyard.project.data import DataSection
from modelyard.project.gates import GatesSection

NAMED_LABELS = 5


@dataclass(frozen=True)
class Read:
    """All that was read: which files for which split, what each gave, notes.

    Attributes:
        files: the files of all splits, in order.
        splits: the split that each file was named for.
        found: for each file, what its pieces gave.
        mapped: what each bundle gave.
        notes: sentences for a person.
    """

    files: list[Surveyed]
    splits: list[str]
    found: list[list[FileFound]]
    mapped: list[Mapped]
    notes: list[str]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(mapped.rows for mapped in self.mapped)


def report_of(
    data: DataSection,
    project: str,
    plan: Plan,
    read: Read,
    counts: Mapping[str, SplitCount],
    connection: meeting.Connection,
    rules: Mapping[str, Rule],
    gates: GatesSection,
) -> Report:
    """Everything found, in the one report schema."""
    dropped = counting.dropped_by_rule(connection)
    by_rule = {one.rule: one.rows for one in dropped}
    flagged = counting.flagged_by_rule(connection)
    share = data.split.test if data.test is None else None
    found = [
        *verdicts.of_rows(rules, by_rule | {rule: kinds[""] for rule, kinds in flagged.items()}, read.rows, counts),
        *verdicts.of_labels(rules, counts),
        *verdicts.of_sizes(rules, counts["test"], _values(counts, list(plan.slices.values())), gates, share),
    ]
    return Report(
        stage="check",
        project=project,
        inputs=_inputs(read),
        parameters=_parameters(data, read, plan, rules),
        measurements=[*_measurements(read.rows, counts, by_rule, connection), *_flag_counts(read.rows, flagged)],
        verdicts=found,
        notes=[*verdicts.summary(read.rows, counts, dropped), *_file_notes(read), *read.notes],
    )


def _values(counts: Mapping[str, SplitCount], slices: Sequence[str]) -> dict[str, list[str]]:
    """Slice column -> its values in any split."""
    return {column: sorted({value for split in counts.values() for value in split.slices[column]}) for column in slices}


def _inputs(read: Read) -> dict[str, str]:
    """For each split one file's digest, or the digest of the lines `DIGEST  PATH` of several."""
    found: dict[str, str] = {}
    for split in dict.fromkeys(read.splits):
        files = [file for file, owner in zip(read.files, read.splits, strict=True) if owner == split]
        lines = "".join(f"{file.digest}  {file.path}\n" for file in files)
        found[split] = files[0].digest if len(files) == 1 else digest_bytes(lines.encode())
    return found


def _parameters(data: DataSection, read: Read, plan: Plan, rules: Mapping[str, Rule]) -> dict[str, Any]:
    encodings: dict[str, list[str]] = {}
    for file in read.files:
        encodings.setdefault(file.encoding or "parquet", []).append(file.path)
    return {
        "shape": plan.shape.name,
        "fields": plan.shape.columns,
        "slices": plan.slices,
        "group": data.group,
        "split": data.split.model_dump(),
        "skip_bad_rows": data.skip_bad_rows,
        "encodings": {name: {"files": len(paths), "first": paths[:20]} for name, paths in sorted(encodings.items())},
        "delimiters": sorted({one.delimiter for pieces in read.found for one in pieces if one.delimiter}),
        "text_minimum_characters": plan.minimum
        if plan.minimum is not None
        else f"{MINIMUM_CHARACTERS}, or {MINIMUM_CJK_CHARACTERS} where most letters of a text are CJK",
        "user_rules": {rule.name: rule.keep for rule in plan.user_rules},
        "rules": {name: {"budget": rule.budget, "severity": rule.severity} for name, rule in rules.items()},
    }


def _measurements(
    read: int, splits: Mapping[str, SplitCount], counts: Mapping[str, int], connection: meeting.Connection
) -> list[Measurement]:
    def count(name: str, value: float, unit: str = "rows", scope: str = "overall", n: int = read) -> Measurement:
        return Measurement(name=name, scope=scope, interval=Interval.exact(value, n=n, unit=unit))

    found = [count("rows_read", read), *(count(f"dropped_{rule}", rows) for rule, rows in sorted(counts.items()))]
    found += [count("rows", split.rows, scope=f"split:{name}") for name, split in splits.items()]
    kept = sum(split.rows for split in splits.values())
    for name, value in counting.length_percentiles(connection).items():
        found.append(count(f"length_{name}", float(value), unit="characters", n=kept))
    return found


def _flag_counts(read: int, flagged: Mapping[str, Mapping[str, int]]) -> list[Measurement]:
    """Rows with a finding, by rule and kind."""
    return [
        Measurement(
            name=f"flagged_{rule}",
            scope=f"kind:{kind}" if kind else "overall",
            interval=Interval.exact(rows, n=read, unit="rows"),
        )
        for rule, kinds in flagged.items()
        for kind, rows in kinds.items()
    ]


def _file_notes(read: Read) -> list[str]:
    """What a person should look at: encodings that were guessed, lines that were passed over."""
    guessed = [
        (file, next((piece.sample for piece in pieces if piece.sample), ""))
        for file, pieces in zip(read.files, read.found, strict=True)
        if file.encoding not in ("", "utf-8", "utf-8-sig", "utf-16", "utf-32")
    ]
    notes = [
        f"{file.path} is not UTF-8: it was read as {file.encoding}, for instance {sample!r}; "
        "save it as UTF-8 if that is wrong"
        for file, sample in guessed[:20]
    ]
    if len(guessed) > 20:
        notes.append(f"{len(guessed) - 20} more files are not UTF-8")
    notes += _text_notes(read)
    blank = sum(piece.blank_lines for pieces in read.found for piece in pieces)
    return [*notes, f"{blank} blank lines were passed over"] if blank else notes


def _text_notes(read: Read) -> list[str]:
    """How plain texts became rows, where a file is not just one."""
    notes = [
        f"{file.path} is the only text of {split}: its passages of up to {PASSAGE_CHARACTERS:,} characters are the rows"
        for file, split in zip(read.files, read.splits, strict=True)
        if file.kind == "passages"
    ]
    long = [
        file.path
        for file, pieces in zip(read.files, read.found, strict=True)
        if file.kind == "text" and sum(piece.rows for piece in pieces) > 1
    ]
    if long:
        notes.append(
            f"texts of more than {DOCUMENT_CHARACTERS:,} characters are cut into several rows at paragraphs "
            f"or sentences: {len(long):,}, the first is {long[0]}"
        )
    return notes


def free_name(name: str, taken: set[str]) -> str:
    """A name that is not taken, whatever its case: `name`, `name_column`, …; it is taken from now on."""
    while name.casefold() in taken:
        name = f"{name}_column"
    taken.add(name.casefold())
    return name


def dropped_names(read: Read) -> dict[str, str]:
    """Field of the files -> its name in `dropped.parquet`, where `DROPPED_COLUMNS` are ours."""
    taken = set(DROPPED_COLUMNS)
    columns = dict.fromkeys(name for pieces in read.found for piece in pieces for name in piece.columns)
    kept = [name for name in columns if name not in taken]
    names: dict[str, str] = {}
    for name in [*kept, *columns]:
        if name not in names:
            names[name] = free_name(name, taken)
    return {name: names[name] for name in columns}


def unjudged_note(labels: Sequence[str]) -> list[str]:
    """The labels that `label_suspect` left alone, as a sentence; none where there are none."""
    if not labels:
        return []
    some = ", ".join(map(repr, labels[:NAMED_LABELS]))
    more = f" and {len(labels) - NAMED_LABELS} more" if len(labels) > NAMED_LABELS else ""
    return [f"label_suspect left rows labelled {some}{more} alone: too few, or the model does not know them"]
