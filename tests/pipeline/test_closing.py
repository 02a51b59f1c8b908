"""What `close` says of stages, verdicts and the release; the way through DVC is in test_run.py."""

import json
from pathlib import Path

import pytest

from modelyard.artifacts.files import digest_file
from modelyard.artifacts.reports import write_report
from modelyard.evidence.judge import Outcome, Verdict, Waiver
from modelyard.evidence.report import Report
from modelyard.pipeline.closing import close
from modelyard.pipeline.stages import Failure
from modelyard.project.load import Project, parse_settings

SETTINGS = "schema: 1\nproject: toy\ndata: {train: data}\nmodel: {base: base}\n"
ZERO = "sha256:" + "0" * 64


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, parse_settings(SETTINGS))


def verdict(outcome: Outcome, **changes: object) -> Verdict:
    return Verdict.model_validate(
        {"rule": "drop_max", "interval": None, "limit": None, "outcome": outcome, "reason": "so", **changes}
    )


def report(project: Project, stage: str, *verdicts: Verdict) -> str:
    path = write_report(project.folder / "reports", Report(stage=stage, project="toy", verdicts=list(verdicts)))
    return digest_file(path)


def release(project: Project, reports: dict[str, str]) -> None:
    lineage = {"prepared": ZERO, "model": ZERO, "candidates": ZERO, "commit": None, "modelyard": "0.1.0"}
    manifest = {
        **{"schema": 1, "project": "toy", "task": "classification", "labels": ["a", "b"], "max_length_tokens": 9},
        **{"candidate": "int8", "engine": "onnx", "artefact": ["model.onnx"], "dtypes": {}, "cpu_flags": []},
        **{"limits": {}, "objectives": {}, "lineage": {**lineage, "reports": reports}, "files": {}},
    }
    (project.folder / "release").mkdir()
    (project.folder / "release" / "manifest.json").write_text(json.dumps(manifest))


def test_what_could_not_be_told_may_be_waived_and_what_failed_may_not(project: Project) -> None:
    report(project, "release", verdict("INCONCLUSIVE", scope="class:好评"))
    _, head, line = close(project, ["release"], ["release"], {}, Failure("release", 3)).waivers
    assert (head, line.startswith('    - {rule: "drop_max", scope: "class:好评", by: "", on: "')) == (
        "  waivers:",
        True,
    )
    report(project, "check", verdict("FAIL"))
    assert close(project, ["check", "release"], ["check", "release"], {}, None).waivers == ()


def test_candidate_verdicts_and_warnings_neither_count_nor_set_the_status(project: Project) -> None:
    report(project, "compress", verdict("FAIL", kind="candidate"), verdict("FAIL", severity="warning"), verdict("PASS"))
    closing = close(project, ["compress"], ["compress"], {"compress": 1.0}, None)
    assert (closing.status, closing.stages[0].outcomes, closing.stages[0].reasons) == (0, {"PASS": 1}, ())
    assert closing.stages[0].others == 2


@pytest.mark.parametrize(
    ("outcomes", "status"), [(["PASS"], 0), (["FAIL"], 1), (["INCONCLUSIVE"], 3), (["INCONCLUSIVE", "FAIL"], 1)]
)
def test_the_status_is_that_of_the_verdicts(project: Project, outcomes: list[Outcome], status: int) -> None:
    report(project, "check", *map(verdict, outcomes))
    assert close(project, ["check"], ["check"], {}, None).status == status


@pytest.mark.parametrize(
    ("stopped", "status"), [(1, 1), (3, 3), (2, 2), (4, 4), (130, 130), (70, 70), (-9, 2), (137, 2), (77, 2), (None, 2)]
)
def test_the_status_of_the_stage_that_stopped_it(project: Project, stopped: int | None, status: int) -> None:
    assert close(project, ["a"], ["a"], {"a": 1.0}, Failure("a", stopped)).status == status


def test_a_failed_verdict_before_wins_over_an_inconclusive_stop(project: Project) -> None:
    report(project, "check", verdict("FAIL"))
    assert close(project, ["check", "train"], ["check", "train"], {}, Failure("train", 3)).status == 1


def test_an_old_report_of_a_stage_that_crashed_or_was_not_reached_says_nothing(project: Project) -> None:
    for stage in ("train", "release"):
        report(project, stage, verdict("FAIL"))
    closing = close(project, ["train", "release"], ["train"], {"train": 1.0}, Failure("train", 4))
    assert [(stage.name, stage.state, stage.outcomes) for stage in closing.stages] == [
        ("train", "failed", {}),
        ("release", "not reached", {}),
    ]
    assert closing.status == 4


def test_an_old_report_of_a_stage_that_refused_to_begin_says_nothing(project: Project) -> None:
    report(project, "train", verdict("PASS"))
    met = ["check", "train"]
    assert close(project, met, met, {}, Failure("train", 1), written=["check"]).stages[1].outcomes == {}
    assert close(project, met, met, {}, Failure("train", 1), written=met).stages[1].outcomes == {"PASS": 1}


def test_a_release_that_stands_on_these_reports_is_current(project: Project) -> None:
    release(project, {"check": report(project, "check", verdict("PASS"))})
    closing = close(project, ["check"], ["check"], {}, None)
    assert closing.current and closing.digest == digest_file(project.folder / "release" / "manifest.json")
    assert not close(project, ["check"], ["check"], {}, Failure("check", 1)).current


def test_a_release_of_an_earlier_run_is_told_apart(project: Project) -> None:
    release(project, {"check": ZERO})
    report(project, "check", verdict("PASS"))
    closing = close(project, ["check"], ["check"], {}, None)
    assert closing.digest is not None and not closing.current


def test_a_waiver_on_what_came_from_before_counts_where_it_came_from(project: Project) -> None:
    undecided = verdict("INCONCLUSIVE", rule="slice_too_small")
    report(project, "check", undecided)
    waiver = {"by": "Li Wei", "on": "2026-11-25", "reason": "a trial"}
    report(project, "release", undecided.model_copy(update={"waiver": Waiver.model_validate(waiver)}))
    closing = close(project, ["check", "release"], ["check", "release"], {}, None)
    assert closing.status == 0
    assert [stage.reasons for stage in closing.stages] == [(), ()]
    other = verdict("INCONCLUSIVE", rule="slice_too_small", scope="class:a")
    report(project, "check", undecided, other)
    assert close(project, ["check", "release"], ["check", "release"], {}, None).status == 3


def test_a_release_that_would_not_be_loaded_is_not_offered(project: Project) -> None:
    release(project, {"check": report(project, "check", verdict("PASS"))})
    closing = close(project, ["check"], ["check"], {}, None)
    assert closing.current and closing.status == 1
    assert "no trusted key was named" in str(closing.refused[0])


def test_a_broken_manifest_is_not_current(project: Project) -> None:
    (project.folder / "release").mkdir()
    (project.folder / "release" / "manifest.json").write_text("{}")
    assert not close(project, [], [], {}, None).current


def test_without_a_release_there_is_none(project: Project) -> None:
    closing = close(project, ["check"], [], {}, None)
    assert (closing.release, closing.digest, closing.current) == (None, None, False)


def test_items_of_a_stage_stand_for_it(project: Project) -> None:
    closing = close(project, ["each", "last"], ["each@a", "each@b"], {"each@a": 1.0}, None)
    assert [(stage.name, stage.state) for stage in closing.stages] == [
        ("each@a", "ran"),
        ("each@b", "unchanged"),
        ("last", "not reached"),
    ]


def test_a_pipeline_that_ends_with_train_ends_with_its_report(project: Project) -> None:
    report(project, "train", verdict("PASS", severity="warning"))
    met = ["check", "train"]
    closing = close(project, met, met, {}, None)
    assert not closing.releases and closing.trained is not None and closing.trained.stage == "train"
    assert closing.stages[1].outcomes == {"PASS": 1}  # a stage without a gate: its warnings
    assert close(project, met, ["check"], {}, Failure("check", 1)).trained is None
    assert close(project, met, met, {}, Failure("train", 2)).trained is None
    own = [*met, "own"]
    assert close(project, own, own, {}, Failure("own", 2)).trained == closing.trained  # the model stands all the same
    assert close(project, [*met, "release"], met, {}, None).trained is None  # there `release` has the last word


def test_what_no_release_would_carry_on_is_not_waived(project: Project) -> None:
    report(project, "check", verdict("INCONCLUSIVE"))
    closing = close(project, ["check"], ["check"], {}, None)
    assert (closing.status, closing.waivers) == (3, ())
