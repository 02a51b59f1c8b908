"""What came of a run: each stage, its verdicts, the release, and the exit status."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.files import digest_file
from modelyard.artifacts.release import MARK, Manifest
from modelyard.artifacts.reports import read_report
from modelyard.errors import InputError
from modelyard.evidence.judge import exit_status
from modelyard.evidence.report import Report
from modelyard.pipeline.stages import Failure
from modelyard.project.load import Project

State = Literal["ran", "unchanged", "refused", "failed", "not reached"]


@dataclass(frozen=True)
class StageResult:
    """One line of the closing table.

    Attributes:
        name: of the stage.
        state: `refused`: a gate ended it; `failed`: it ended with an error.
        seconds: how long it ran; None where it did not.
        outcomes: PASS, FAIL, INCONCLUSIVE -> how many of its verdicts, candidate verdicts and warnings left out.
        reasons: rule, scope and reason of each verdict that keeps a release from being made.
    """

    name: str
    state: State
    seconds: float | None
    outcomes: dict[str, int]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Closing:
    """What came of a run.

    Attributes:
        stages: in the pipeline's order.
        status: exit status: of the stage that ended with an error, else of the verdicts.
        failure: the stage that stopped the run.
        release: the release's folder, None where there is none.
        digest: of the release's manifest.
        current: whether the release stands on this run's reports; False for one of an earlier run.
    """

    stages: list[StageResult]
    status: int
    failure: Failure | None
    release: Path | None
    digest: str | None
    current: bool


def close(
    project: Project, declared: list[str], order: list[str], seconds: dict[str, float], failure: Failure | None
) -> Closing:
    """Put together what came of a run.

    Args:
        project: whose reports are read.
        declared: stages of dvc.yaml, in its order.
        order: stages that ran or were found unchanged, in the order in which DVC met them.
        seconds: stage -> how long it ran.
        failure: the stage that stopped it.
    """
    names = list(dict.fromkeys([*order, *(name for name in declared if not _met(name, order))]))
    reports = {name: report for name in order if (report := _report(project.folder, name))}
    results = [_result(name, order, seconds, failure, reports.get(name)) for name in names]
    verdicts = [
        verdict
        for name, report in reports.items()
        # a stage that failed left the report of an earlier run
        if failure is None or name != failure.stage or failure.status in (1, 3)
        for verdict in report.verdicts
    ]
    status = exit_status(verdicts)
    if failure is not None:
        status = _failure_status(failure, status)
    folder = project.folder / "release"
    digest = digest_file(folder / MARK) if (folder / MARK).is_file() else None
    current = failure is None and digest is not None and _stands_on(folder, project.folder)
    return Closing(results, status, failure, folder if digest else None, digest, current)


def _met(name: str, order: list[str]) -> bool:
    # a stage with `foreach` or `matrix` is met as NAME@ITEM
    return any(met == name or met.startswith(f"{name}@") for met in order)


def _report(folder: Path, stage: str) -> Report | None:
    path = folder / "reports" / f"{stage}.json"
    return read_report(path) if path.is_file() else None


def _result(
    name: str, order: list[str], seconds: dict[str, float], failure: Failure | None, report: Report | None
) -> StageResult:
    state: State = "ran" if name in seconds else "unchanged" if name in order else "not reached"
    if failure is not None and failure.stage == name:
        state = "refused" if failure.status in (1, 3) else "failed"
    if report is None or state in ("failed", "not reached"):
        return StageResult(name, state, seconds.get(name), {}, ())
    gates = [verdict for verdict in report.verdicts if verdict.kind == "release" and verdict.severity == "error"]
    reasons = tuple(
        f"{verdict.rule} ({verdict.scope}): {verdict.reason}"
        + (f"; next: {verdict.next_step}" if verdict.next_step else "")
        for verdict in gates
        if verdict.blocks
    )
    return StageResult(name, state, seconds.get(name), dict(Counter(verdict.outcome for verdict in gates)), reasons)


def _failure_status(failure: Failure, verdicts: int) -> int:
    """The status of the stage that ended the run; FAIL wins over INCONCLUSIVE; a crash or a kill is 2."""
    if failure.status in (1, 3):
        return 1 if 1 in (failure.status, verdicts) else 3
    return failure.status if failure.status in (2, 4, 130) else 2


def _stands_on(release: Path, project: Path) -> bool:
    """Whether the release names the reports that lie in the project now."""
    try:
        manifest = read_document(release / MARK, Manifest, next_step="run `modelyard release` again")
    except InputError:
        return False
    return all(
        (path := project / "reports" / f"{stage}.json").is_file() and digest_file(path) == digest
        for stage, digest in manifest.lineage.reports.items()
    )
