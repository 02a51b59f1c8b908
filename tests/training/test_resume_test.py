"""The proof itself: it passes where resuming is exact, fails where one byte or one loss is another, and is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.reports import read_report, write_report
from modelyard.errors import GateFailed, InputError
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import exit_status, judge
from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.project.schema import ProjectSchema
from modelyard.reporting.words import chinese_of
from modelyard.training import resume_test as proof
from modelyard.training.resume_test import resume_test


def settings_of(base: Path, **train: Any) -> ProjectSchema:
    project = {"schema": 1, "project": "tiny", "data": {"train": "rows.csv"}, "model": {"base": str(base)}}
    return parse_settings(json.dumps(project | {"train": {"precision": "fp32", "tokens_per_batch": 64} | train}))


def run(base: Path, prepared: Path, place: Path, **options: Any) -> Report:
    return resume_test(settings_of(base), root=place, prepared=prepared, reports=place / "reports", **options)


def outcomes(report: Report) -> dict[tuple[str, str], str]:
    return {(verdict.rule, verdict.scope): verdict.outcome for verdict in report.verdicts}


@pytest.mark.parametrize(
    ("processes", "sharded"),
    [(1, False), pytest.param(2, False, marks=pytest.mark.system), pytest.param(2, True, marks=pytest.mark.system)],
)
def test_killed_twice_and_exact(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, processes: int, sharded: bool
) -> None:
    report = resume_test(
        settings_of(tiny_base, sharded=sharded),
        root=tmp_path,
        prepared=tiny_prepared,
        reports=tmp_path / "reports",
        steps=12,
        kills=2,
        processes=processes,
    )
    assert outcomes(report) == {
        ("resume_exact", "files of the model"): "PASS",
        ("resume_exact", "steps and evaluations"): "PASS",
        ("resume_lost", "SIGKILL"): "PASS",
        ("resume_lost", "SIGTERM"): "PASS",
    }
    assert report.parameters == {"steps": 12, "kills": 2, "seed": 0, "precision": "fp32", "processes": processes}
    assert read_report(tmp_path / "reports/resume-test.json") == report
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reports"]


@pytest.mark.parametrize(
    ("name", "scope", "note"),
    [
        ("model/config.json", "files of the model", "not the same in both models: config.json"),
        (
            "train.metrics.jsonl",
            "steps and evaluations",
            "the first line of the metrics that is not the same is of step 1",
        ),
    ],
)
def test_one_byte_that_differs_fails(
    tiny_base: Path,
    tiny_prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    scope: str,
    note: str,
) -> None:
    train = proof._run

    def spoil(work: proof.Work, *kill: Any) -> bool:
        killed = train(work, *kill)
        # by default as many as the memory holds, which the second training must not ask again
        assert work.tokens_per_forward == {"whole": None, "killed": 8_192}[work.folder.name]
        path = work.folder / name
        if work.folder.name == "killed" and not kill:
            path.write_text(path.read_text().replace("1", "2", 1))
        return killed

    monkeypatch.setattr(proof, "_run", spoil)
    report = run(tiny_base, tiny_prepared, tmp_path, steps=4, kills=0)
    assert outcomes(report)["resume_exact", scope] == "FAIL"
    assert list(outcomes(report).values()).count("PASS") == 1
    (told,) = report.notes[1:]
    assert told == note and chinese_of(told)
    assert exit_status(report.verdicts) == 1


def test_what_training_says_is_told(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training ended with exit status 2: .*model\.max_length_tokens is 9999"):
        settings = settings_of(tiny_base)
        assert settings.model is not None
        model = settings.model.model_copy(update={"max_length_tokens": 9999})
        resume_test(
            settings.model_copy(update={"model": model}),
            root=tmp_path,
            prepared=tiny_prepared,
            reports=tmp_path / "reports",
        )


def test_a_process_that_something_else_ended_is_told(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof.sys, "executable", str(tmp_path / "dies"))
    (tmp_path / "dies").write_text("#!/bin/sh\nkill -KILL $$\n")
    (tmp_path / "dies").chmod(0o700)
    with pytest.raises(InputError, match="training was ended by SIGKILL, which this test did not send"):
        run(tiny_base, tiny_prepared, tmp_path)


def test_one_that_gets_on_with_nothing_is_given_up(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(proof.sys, "executable", str(tmp_path / "hangs"))
    (tmp_path / "hangs").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "hangs").chmod(0o700)
    with pytest.raises(InputError, match="training has got on with nothing for"):
        run(tiny_base, tiny_prepared, tmp_path)


def test_a_failed_check_refuses_it_as_it_does_training(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    failed = judge(Interval.exact(1, n=2, unit="rows"), at_most(0), rule="text_in_two_splits")
    write_report(tmp_path / "reports", Report(stage="check", project="tiny", verdicts=[failed]))
    with pytest.raises(GateFailed, match="text_in_two_splits"):
        run(tiny_base, tiny_prepared, tmp_path)


def test_no_kill_in_time_proves_nothing(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = proof._run
    monkeypatch.setattr(proof, "_run", lambda work, *kill: train(work))
    with pytest.raises(InputError, match="the training ended before any of 1 kills came: nothing is proven"):
        run(tiny_base, tiny_prepared, tmp_path, steps=3, kills=1)
    assert not (tmp_path / "reports/resume-test.json").exists()


def test_too_few_steps_are_refused(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the training has 2 steps: a resume can be proven from 3"):
        run(tiny_base, tiny_prepared, tmp_path, steps=2)
