"""`reports/history/check.jsonl`: every audit kept in one line, and what became of each rule since.

The file only grows. A line is written in one piece under a lock; one that a killed process broke off is passed over.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.artifacts.documents import parse_document
from modelyard.artifacts.files import digest_bytes
from modelyard.artifacts.git import head_commit
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval, Limit
from modelyard.evidence.judge import Outcome, Severity, Verdict
from modelyard.evidence.proportion import newcombe
from modelyard.evidence.report import Report

FOLDER = "history"
MAX_BYTES = 16 * 1024**2
"""Some 4,000 audits. A file that would grow beyond is put aside under the date of its end, and a new one begins."""
MAX_RULES = 200
"""Kept of one audit."""
MAX_SKIPPED = 5
_STEPS: dict[Outcome, int] = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
_SCOPES = ("overall", "split:")


class Found(BaseModel):
    """What one audit found by one rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    scope: str
    severity: Severity
    outcome: Outcome
    interval: Interval
    limit: Limit


class Audit(BaseModel):
    """One line of the file.

    Attributes:
        schema_version: `schema` in JSON.
        when: when the audit was kept, in UTC.
        commit: what was checked out where the reports lie; None outside Git.
        project: as in the report.
        report: digest of the whole report, by which a repetition is known.
        inputs: as in the report: name -> digest.
        rules: the verdicts on all rows and on whole splits.
        counts: name of each count of rows -> rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    when: datetime
    commit: str | None
    project: str
    report: str
    inputs: dict[str, str]
    rules: list[Found]
    counts: dict[str, int]


class Point(BaseModel):
    """One rule in one audit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: datetime
    commit: str | None
    outcome: Outcome
    interval: Interval
    limit: Limit


class Change(BaseModel):
    """From an earlier audit to the last one.

    Attributes:
        since: date of the earlier one.
        before: value then.
        after: value now.
        worse: by how much it came nearer to its limit, or went beyond; below zero where it became better. In its unit.
        interval: of `worse` where it is a share: Newcombe's for two proportions; None for a count.
        steps: by how many outcomes it fell, of PASS, INCONCLUSIVE, FAIL.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: datetime
    before: float
    after: float
    worse: float
    interval: Interval | None
    steps: int

    @property
    def worsened(self) -> bool:
        """Whether it went the wrong way at all."""
        return self.worse > 0.0 or self.steps > 0

    @property
    def certain(self) -> bool:
        """Whether chance alone does not explain it: the interval lies above zero. A count is certain."""
        return self.interval is None or self.interval.low > 0.0


class Trend(BaseModel):
    """One rule through all audits that judged it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    scope: str
    severity: Severity
    points: list[Point]
    since_last: Change | None
    since_first: Change | None


class History(BaseModel):
    """All audits.

    Attributes:
        project: of the last audit.
        first: date of the first audit.
        last: date of the last audit.
        audits: how many there are.
        trends: each rule of the last audit, in its order.
        worsened_last: the trend that worsened most since the last audit but one; None where none did.
        worsened_first: the same since the first audit.
        notes: lines that were passed over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    first: datetime
    last: datetime
    audits: int
    trends: list[Trend]
    worsened_last: Trend | None
    worsened_first: Trend | None
    notes: list[str]


def history_file(reports: Path) -> Path:
    """Where the audits of a folder of reports are kept."""
    return reports / FOLDER / "check.jsonl"


def append(reports: Path, report: Report, when: datetime) -> bool:
    """Keep an audit, unless the last one kept is of the same report.

    Args:
        reports: folder of the reports.
        report: of `check`.
        when: now, with a time zone.

    Returns:
        Whether a line was written.

    Raises:
        InputError: nothing can be written there.
    """
    path = history_file(reports)
    audit = _audit(report, when, head_commit(reports) if reports.is_dir() else None)
    line = audit.model_dump_json(by_alias=True).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as handle, _locked(handle):
            audits, _ = _read(handle, path)
            if audits and audits[-1].report == audit.report:
                return False
            size = handle.seek(0, os.SEEK_END)
            if audits and size + len(line) > MAX_BYTES:
                _put_aside(path, audits[-1].when)
                path.write_bytes(line)
                return True
            handle.seek(max(0, size - 1))
            broken = size > 0 and handle.read(1) != b"\n"
            handle.write(b"\n" * broken + line)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(Problem(f"{path} cannot be written: {reason}", "allow writing there", str(path))) from error
    return True


def show(reports: Path) -> History:
    """Every rule through all audits, and the one that worsened most.

    Args:
        reports: folder of the reports.

    Raises:
        InputError: there is no audit, or the file cannot be read.
    """
    path = history_file(reports)
    try:
        with path.open("rb") as handle:
            audits, notes = _read(handle, path)
    except OSError as error:
        raise InputError(_no_audit(path)) from error
    if not audits:
        raise InputError(_no_audit(path))
    trends = [_trend(found, audits) for found in audits[-1].rules]
    return History(
        project=audits[-1].project,
        first=audits[0].when,
        last=audits[-1].when,
        audits=len(audits),
        trends=trends,
        worsened_last=_worst([(trend.since_last, trend) for trend in trends]),
        worsened_first=_worst([(trend.since_first, trend) for trend in trends]),
        notes=notes,
    )


def _no_audit(path: Path) -> Problem:
    return Problem(f"there is no audit in {path}", "run `modelyard check`: each run keeps one", str(path))


def _audit(report: Report, when: datetime, commit: str | None) -> Audit:
    rules = [_found(verdict) for verdict in report.verdicts if verdict.scope.startswith(_SCOPES)]
    counts = {
        f"{item.name} {item.scope}".removesuffix(" overall"): round(item.interval.estimate)
        for item in report.measurements
        if item.interval.unit == "rows"
    }
    return Audit(
        when=when.astimezone(UTC),
        commit=commit,
        project=report.project,
        report=digest_bytes(report.model_dump_json(by_alias=True).encode()),
        inputs=report.inputs,
        rules=[found for found in rules if found is not None][:MAX_RULES],
        counts=dict(list(counts.items())[:MAX_RULES]),
    )


def _found(verdict: Verdict) -> Found | None:
    if verdict.interval is None or verdict.limit is None:
        return None
    return Found(
        rule=verdict.rule,
        scope=verdict.scope,
        severity=verdict.severity,
        outcome=verdict.outcome,
        interval=verdict.interval,
        limit=verdict.limit,
    )


@contextlib.contextmanager
def _locked(handle: BinaryIO) -> Iterator[None]:
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _put_aside(path: Path, last: datetime) -> None:
    path.rename(path.with_name(f"{path.stem}-to-{last:%Y%m%dT%H%M%S}.jsonl"))


def _read(handle: BinaryIO, path: Path) -> tuple[list[Audit], list[str]]:
    """The audits, and a note where lines are none."""
    handle.seek(0)
    content = handle.read(2 * MAX_BYTES + 1)
    if len(content) > 2 * MAX_BYTES:
        raise InputError(Problem(f"{path} is larger than 32 MiB", "move it away: a new one begins", str(path)))
    audits, skipped = [], []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            audits.append(parse_document(line.decode(), Audit, path=path, next_step="remove the line"))
        except (InputError, UnicodeDecodeError, json.JSONDecodeError):
            skipped.append(str(number))
    if not skipped:
        return audits, []
    more = f" and {len(skipped) - MAX_SKIPPED} more" if len(skipped) > MAX_SKIPPED else ""
    return audits, [
        f"lines of {path.name} that cannot be read were passed over: {', '.join(skipped[:MAX_SKIPPED])}{more}"
    ]


def _trend(found: Found, audits: Sequence[Audit]) -> Trend:
    points = [
        Point(when=audit.when, commit=audit.commit, outcome=one.outcome, interval=one.interval, limit=one.limit)
        for audit in audits
        for one in audit.rules
        if (one.rule, one.scope, one.interval.unit) == (found.rule, found.scope, found.interval.unit)
    ]
    return Trend(
        rule=found.rule,
        scope=found.scope,
        severity=found.severity,
        points=points,
        since_last=_change(points[-2], points[-1]) if len(points) > 1 else None,
        since_first=_change(points[0], points[-1]) if len(points) > 1 else None,
    )


def _change(before: Point, after: Point) -> Change:
    sign = 1.0 if after.limit.bound == "at_most" else -1.0
    rise = _rise(before.interval, after.interval)
    if rise is not None and sign < 0.0:
        rise = rise.model_copy(update={"low": -rise.high, "estimate": -rise.estimate, "high": -rise.low})
    return Change(
        since=before.when,
        before=before.interval.estimate,
        after=after.interval.estimate,
        worse=sign * (after.interval.estimate - before.interval.estimate),
        interval=rise,
        steps=_STEPS[after.outcome] - _STEPS[before.outcome],
    )


def _rise(before: Interval, after: Interval) -> Interval | None:
    """Newcombe's interval where both are shares of rows that were counted."""
    both = (after, before)
    if not all(one.unit == "fraction" and one.method in ("count", "wilson") and one.n > 0 for one in both):
        return None
    counts = [one.estimate * one.n for one in both]
    if not all(
        0.0 <= one.estimate <= 1.0 and abs(count - round(count)) < 1e-6 * one.n
        for count, one in zip(counts, both, strict=True)
    ):
        return None
    return newcombe(round(counts[0]), after.n, round(counts[1]), before.n)


def _worst(changes: Sequence[tuple[Change | None, Trend]]) -> Trend | None:
    """The rule that fell by most outcomes; among equals what is no chance, then what used most of its limit."""
    fell = [(change, trend) for change, trend in changes if change is not None and change.worsened]
    return max(fell, key=lambda one: _weight(*one), default=(None, None))[1]


def _weight(change: Change, trend: Trend) -> tuple[int, bool, float, float]:
    limit = abs(trend.points[-1].limit.value)
    return change.steps, change.certain, change.worse / limit if limit else float("inf"), change.worse
