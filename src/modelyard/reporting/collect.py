"""Everything that a report page is made of, read from the folders that stand beside `reports/`.

A folder that is not there leaves its section out; one that cannot be read does too, and the page says why. Only the
reports themselves must be there and be sound.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl

from modelyard.artifacts.candidate import MARK as CHOICE
from modelyard.artifacts.candidate import Card, Choice, read_card, read_choice
from modelyard.artifacts.documents import read_document
from modelyard.artifacts.files import digest_file
from modelyard.artifacts.release import MARK as MANIFEST
from modelyard.artifacts.release import Manifest
from modelyard.artifacts.reports import (
    ANSWERS_FILE,
    METRICS_FILE,
    ORDER,
    find_reports,
    read_report,
    read_run_record,
    reports_folder,
)
from modelyard.compression.reference import FOLDER as REFERENCE
from modelyard.compression.reference import read_reference
from modelyard.data.change.history import History, history_file, show
from modelyard.errors import InputError, Problem
from modelyard.evidence.report import Report, RunRecord
from modelyard.reporting.answers import Answer, read_answers
from modelyard.reporting.curves import Curves, read_curves
from modelyard.reporting.mistakes import Mistakes, find_mistakes
from modelyard.reporting.prepared import Data, read_data

Found = TypeVar("Found")


@dataclass(frozen=True)
class Ladder:
    """The candidates by name, in the order in which they are shown, and the choice."""

    cards: dict[str, Card]
    choice: Choice


@dataclass(frozen=True)
class Released:
    """A release folder: its manifest as it lies there, not verified, and the digest by which it is named."""

    folder: Path
    manifest: Manifest
    digest: str


@dataclass(frozen=True)
class Collected:
    """Everything that was found.

    Attributes:
        reports_folder: where the reports lie.
        reports: in the order of the pipeline, others after them by name.
        runs: stage -> what it took.
        report_digests: name of a report's file, which is its stage -> its digest.
        data: from `prepared/`.
        curves: from `model/` and the metrics file.
        answers: that the trained model wrote.
        ladder: from `candidates/`.
        mistakes: from the trained model's answers on test.
        release: from `release/`.
        history: from `reports/history/`.
        unread: section -> why what is there cannot be read.
    """

    reports_folder: Path
    reports: list[Report]
    runs: dict[str, RunRecord]
    report_digests: dict[str, str]
    data: Data | None = None
    curves: Curves | None = None
    answers: list[Answer] = field(default_factory=list)
    ladder: Ladder | None = None
    mistakes: Mistakes | None = None
    release: Released | None = None
    history: History | None = None
    unread: dict[str, list[Problem]] = field(default_factory=dict)

    def report(self, stage: str) -> Report | None:
        """The report of a stage."""
        return next((report for report in self.reports if report.stage == stage), None)

    @property
    def task(self) -> str:
        """What the model is for, as `prepared/` or `model/` says; empty where neither does."""
        return self.data.dataset.task if self.data else self.curves.task if self.curves else ""


def collect(place: Path) -> Collected:
    """Read everything a page is made of.

    Args:
        place: a folder of reports, or the project around it.

    Raises:
        InputError: there is no report, or one of them is broken.
    """
    paths = find_reports(place)
    folder = reports_folder(place)
    root = folder.resolve().parent
    unread: dict[str, list[Problem]] = {}
    problems: list[Problem] = []
    reports: dict[Path, Report] = {}
    for path in paths:
        try:
            reports[path] = read_report(path)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    checked = next((report for report in reports.values() if report.stage == "check"), None)
    data = _tried("data", root / "prepared", unread, lambda: read_data(root / "prepared", checked))
    return Collected(
        reports_folder=folder,
        reports=list(reports.values()),
        runs=_read_runs(folder, unread),
        report_digests={path.stem: digest_file(path) for path in reports},
        data=data,
        curves=_tried("training", root / "model", unread, lambda: read_curves(folder / METRICS_FILE, root / "model")),
        answers=_tried("training", folder / ANSWERS_FILE, unread, lambda: read_answers(folder / ANSWERS_FILE)) or [],
        ladder=_tried("ladder", root / "candidates", unread, lambda: _read_ladder(root / "candidates")),
        mistakes=_tried("mistakes", root / "candidates" / REFERENCE, unread, lambda: _read_mistakes(root, data)),
        release=_tried("release", root / "release", unread, lambda: _read_release(root)),
        history=_tried("history", history_file(folder), unread, lambda: _read_history(folder)),
        unread=unread,
    )


def _tried(
    section: str, where: Path, unread: dict[str, list[Problem]], read: Callable[[], Found | None]
) -> Found | None:
    """What a section's files at `where` hold; None, and why, where they are there and cannot be read."""
    try:
        return read()
    except InputError as error:
        unread.setdefault(section, []).extend(error.problems)
    except (OSError, ValueError, IndexError, pl.exceptions.PolarsError) as error:
        unread.setdefault(section, []).append(
            Problem(f"{where.name} cannot be read: {error}", "run the stage that writes it again", str(where))
        )
    return None


def _read_runs(folder: Path, unread: dict[str, list[Problem]]) -> dict[str, RunRecord]:
    found = {}
    for path in sorted(folder.glob("*.run.json")):
        record = _tried("lineage", path, unread, lambda path=path: read_run_record(path))  # type: ignore[misc]
        if record is not None:
            found[record.stage] = record
    order = {stage: place for place, stage in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(ORDER)), item[0])))


def _read_ladder(folder: Path) -> Ladder | None:
    if not (folder / CHOICE).is_file():
        return None
    choice = read_choice(folder)
    names = dict.fromkeys([choice.chosen, *choice.ranked, *choice.not_chosen])
    there = sorted(path.parent.name for path in folder.glob("*/card.json"))
    ordered = [name for name in [*names, *there] if name in there]
    return Ladder({name: read_card(folder / name) for name in dict.fromkeys(ordered)}, choice)


def _read_mistakes(root: Path, data: Data | None) -> Mistakes | None:
    rows, answers = root / "prepared" / "test.parquet", root / "candidates" / REFERENCE / "test.parquet"
    if data is None or not rows.is_file() or not answers.is_file():
        return None
    frame = pl.read_parquet(rows, columns=["id", "source", "text"])
    return find_mistakes(read_reference(root / "candidates", "test"), frame, data.dataset.labels)


def _read_history(folder: Path) -> History | None:
    return show(folder) if history_file(folder).is_file() else None


def _read_release(root: Path) -> Released | None:
    """The release beside the reports, or around them where they are its evidence."""
    for folder in (root / "release", root):
        if (folder / MANIFEST).is_file():
            manifest = read_document(folder / MANIFEST, Manifest, next_step="run `modelyard release` again")
            return Released(folder, manifest, digest_file(folder / MANIFEST))
    return None
