"""What came of a run: each stage, its verdicts, the release, and the exit status."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.files import digest_file
from modelyard.artifacts.release import MARK, Manifest, open_release
from modelyard.artifacts.reports import read_report
from modelyard.errors import InputError, ModelyardError, Problem
from modelyard.evidence.judge import exit_status
from modelyard.evidence.report import Report
from modelyard.pipeline.stages import Failure
from modelyard.pipeline.waivers import waiver_lines
from modelyard.project.load import Project

State = Literal["ran", "unchanged", "refused", "failed", "not reached"]


@dataclass(frozen=True)
class StageResult:
    """One line of the closing table.

    Attributes:
        name: of the stage.
        state: `refused`: a gate ended it; `failed`: it ended with an error.
        seconds: how long it ran; None where it did not.
        outcomes: PASS, FAIL, INCONCLUSIVE -> how many of its gates; of a stage without one, PASS -> how many warnings.
        others: how many candidate verdicts and warnings, which stop nothing, did not pass.
        reasons: rule, scope and reason of each verdict that keeps a release from being made.
    """

    name: str
    state: State
    seconds: float | None
    outcomes: dict[str, int]
    others: int
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
        model: which candidate was released, in the words of its verdict; empty where none was.
        waivers: a sentence and the lines that would waive what could not be told; empty where none would help.
        folder: of the project.
        releases: whether the pipeline has a stage `release`; where it has none it ends with `train` or before.
        trained: the report of `train` where it made a model and no release follows.
        refused: why `predict` and `serve` would refuse it (a key that is no longer trusted, a changed file).
    """

    stages: list[StageResult]
    status: int
    failure: Failure | None
    release: Path | None
    digest: str | None
    current: bool
    model: str = ""
    refused: tuple[Problem, ...] = ()
    waivers: tuple[str, ...] = ()
    folder: Path = Path()
    releases: bool = True
    trained: Report | None = None


def close(
    project: Project,
    declared: list[str],
    order: list[str],
    seconds: dict[str, float],
    failure: Failure | None,
    *,
    written: Collection[str] | None = None,
) -> Closing:
    """Put together what came of a run.

    Args:
        project: whose reports are read.
        declared: stages of dvc.yaml, in its order.
        order: stages that ran or were found unchanged, in the order in which DVC met them.
        seconds: stage -> how long it ran.
        failure: the stage that stopped it.
        written: stages whose report this run wrote; a stage that refused to begin wrote none. None: not known.
    """
    names = list(dict.fromkeys([*order, *(name for name in declared if not _met(name, order))]))
    reports = {name: report for name in order if (report := _report(project.folder, name))}
    if failure is not None:
        judged = failure.status in (1, 3) and (written is None or failure.stage in written)
        if not judged:
            reports.pop(failure.stage, None)  # of an earlier run
    waived = _waived(reports.get("release"))
    verdicts = [
        verdict
        for report in reports.values()
        for verdict in report.verdicts
        if (verdict.rule, verdict.scope, verdict.outcome) not in waived
    ]
    results = [_result(name, order, seconds, failure, reports.get(name), waived) for name in names]
    status = exit_status(verdicts)
    if failure is not None:
        status = _failure_status(failure, status)
    folder = project.folder / "release"
    digest = digest_file(folder / MARK) if (folder / MARK).is_file() else None
    current = failure is None and digest is not None and _stands_on(folder, project.folder)
    refused = _refused(folder, project) if current else ()
    if refused:
        status = max(status, 1)
    released = reports.get("release") if current else None
    model = next((one.reason for one in released.verdicts if one.rule == "compressed"), "") if released else ""
    releases = any(name.partition("@")[0] == "release" for name in names)
    told = waiver_lines(verdicts, on=date.today(), none_yet=not project.settings.gates.waivers) if releases else []
    return Closing(
        results,
        status,
        failure,
        folder if digest else None,
        digest,
        current,
        model,
        refused,
        tuple(told) if status == 3 else (),
        folder=project.folder,
        releases=releases,
        trained=None if releases or (failure and failure.stage == "train") else reports.get("train"),
    )


def _waived(release: Report | None) -> set[tuple[str, str, str]]:
    """What `release` carried on from earlier stages under a waiver: there it stands without one."""
    verdicts = release.verdicts if release else []
    return {(verdict.rule, verdict.scope, "INCONCLUSIVE") for verdict in verdicts if verdict.waiver}


def _refused(release: Path, project: Project) -> tuple[Problem, ...]:
    """Why `predict` and `serve` would refuse the release, nothing where they would not."""
    keys = [project.path(name) for name in project.settings.release.trusted_keys]
    try:
        open_release(release, keys)
    except ModelyardError as error:
        return error.problems
    return ()


def _met(name: str, order: list[str]) -> bool:
    # a stage with `foreach` or `matrix` is met as NAME@ITEM
    return any(met == name or met.startswith(f"{name}@") for met in order)


def _report(folder: Path, stage: str) -> Report | None:
    path = folder / "reports" / f"{stage}.json"
    return read_report(path) if path.is_file() else None


def _result(
    name: str,
    order: list[str],
    seconds: dict[str, float],
    failure: Failure | None,
    report: Report | None,
    waived: set[tuple[str, str, str]],
) -> StageResult:
    state: State = "ran" if name in seconds else "unchanged" if name in order else "not reached"
    if failure is not None and failure.stage == name:
        state = "refused" if failure.status in (1, 3) else "failed"
    if report is None or state == "not reached":
        return StageResult(name, state, seconds.get(name), {}, 0, ())
    gates = [verdict for verdict in report.verdicts if verdict.kind == "release" and verdict.severity == "error"]
    others = sum(verdict.outcome != "PASS" for verdict in report.verdicts) - sum(one.outcome != "PASS" for one in gates)
    reasons = tuple(
        f"{verdict.rule} ({verdict.scope}): {verdict.reason}"
        + (f"; next: {verdict.next_step}" if verdict.next_step else "")
        for verdict in gates
        if verdict.blocks and (verdict.rule, verdict.scope, verdict.outcome) not in waived
    )
    warned = [verdict for verdict in report.verdicts if verdict.kind == "release" and verdict.outcome == "PASS"]
    counts: dict[str, int] = dict(Counter(verdict.outcome for verdict in gates or warned))
    return StageResult(name, state, seconds.get(name), counts, others, reasons)


def _failure_status(failure: Failure, verdicts: int) -> int:
    """The status of the stage that ended the run; FAIL wins over INCONCLUSIVE; a crash or a kill is 2."""
    if failure.status in (1, 3):
        return 1 if 1 in (failure.status, verdicts) else 3
    return failure.status if failure.status in (2, 4, 70, 130) else 2


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
