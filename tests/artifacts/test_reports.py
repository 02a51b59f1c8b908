from pathlib import Path

import pytest

from modelyard.artifacts import reports
from modelyard.artifacts.reports import (
    find_reports,
    read_report,
    read_run_record,
    recording,
    refuse_another_model,
    refuse_failed,
    reports_folder,
    write_report,
)
from modelyard.errors import GateFailed, InputError, Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement, Report


def test_equal_reports_are_equal_files(tmp_path: Path) -> None:
    report = Report(
        stage="check",
        project="评论",
        inputs={"rows": "sha256:0"},
        measurements=[Measurement(name="rows", interval=Interval.exact(3, n=3, unit="rows"))],
    )
    one, other = write_report(tmp_path / "one", report), write_report(tmp_path / "other", report)
    assert one.name == "check.json"
    assert one.read_bytes() == other.read_bytes()
    assert read_report(one) == report


def test_what_a_stage_took_stands_beside_it(tmp_path: Path) -> None:
    with recording(tmp_path, "train"):
        sum(range(1000))
    record = read_run_record(tmp_path / "train.run.json")
    assert record.stage == "train"
    assert record.start <= record.end
    assert record.gpu_seconds is None  # nobody measured it
    assert record.peak_memory_bytes > 1_000_000  # a Python process is larger
    assert record.versions["python"] == record.machine["python"]


def test_a_stage_that_fails_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="boom"), recording(tmp_path, "train"):
        raise InputError(Problem("boom", "mend it"))
    assert not list(tmp_path.iterdir())


def test_cpu_flags_are_the_known_ones_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {"flags": "fpu avx512_vnni avx2 sse", "Features": ""}
    monkeypatch.setattr(reports, "_cpuinfo_value", lambda key: lines[key])
    assert reports.cpu_flags() == ["avx2", "avx512_vnni"]
    lines.update({"flags": "", "Features": "fp asimddp i8mm"})
    assert reports.cpu_flags() == ["asimddp", "i8mm"]


def test_no_cpuinfo_is_no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "Path", lambda name: Path("/nowhere/cpuinfo"))
    assert reports.cpu_flags() == []


def test_only_a_fail_of_a_stage_before_refuses(tmp_path: Path) -> None:
    def write(stage: str, *outcomes: str, severity: str = "error") -> None:
        verdicts = [
            Verdict(
                rule=f"rule_{outcome.lower()}",
                interval=None,
                limit=None,
                outcome=outcome,  # type: ignore[arg-type]
                reason="why",
                severity=severity,  # type: ignore[arg-type]
            )
            for outcome in outcomes
        ]
        write_report(tmp_path, Report(stage=stage, project="p", verdicts=verdicts))

    refuse_failed(tmp_path, ["check"])  # no report: the stage stands alone
    write("check", "PASS", "INCONCLUSIVE")
    write("train", "FAIL", severity="warning")
    refuse_failed(tmp_path, ["check", "train"])
    write("train", "FAIL")
    write("check", "FAIL")
    refuse_failed(tmp_path, [])
    with pytest.raises(GateFailed) as found:
        refuse_failed(tmp_path, ["check", "train"])
    assert [problem.message for problem in found.value.problems] == [
        "check failed: rule_fail (overall): why",
        "train failed: rule_fail (overall): why",
    ]
    assert found.value.problems[1].next_step == "mend it and run `modelyard train` again"


def test_reports_are_found_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    for stage in ("zebra", "release", "audit", "check", "ant"):
        write_report(folder, Report(stage=stage, project="toy"))
    (folder / "check.run.json").write_text("{}")
    (folder / ".check.json.1234.tmp.json").write_text("{}")
    for place in (folder, tmp_path):
        assert [path.stem for path in find_reports(place)] == ["check", "audit", "release", "ant", "zebra"]
        assert reports_folder(place) == folder
    with pytest.raises(InputError, match="holds no report"):
        find_reports(tmp_path / "nowhere")


def test_only_the_model_that_was_trained_goes_on(tmp_path: Path) -> None:
    refuse_another_model(tmp_path, "sha256:a")  # no report: a model of the user's own
    write_report(tmp_path, Report(stage="train", project="p", parameters={"model": "sha256:a"}))
    refuse_another_model(tmp_path, "sha256:a")
    with pytest.raises(GateFailed) as refused:
        refuse_another_model(tmp_path, "sha256:b")
    (problem,) = refused.value.problems
    assert problem.message == "train.json is not about this model/ (sha256:b)"
    assert problem.next_step == "run `modelyard train` again, and what follows it"
    assert problem.where == str(tmp_path / "train.json")
    write_report(tmp_path, Report(stage="train", project="p"))  # of a version that did not tell which model it made
    with pytest.raises(GateFailed, match="not about this model"):
        refuse_another_model(tmp_path, "sha256:a")
