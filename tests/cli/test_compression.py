"""`modelyard compress` as a person runs it: once for real on a file of rows, else with the stage replaced."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.reports import recording, write_report
from modelyard.cli.main import main
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.report import Report


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["compress", *arguments])
    return int(end.value.code or 0)


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["review", "stars"])
        for number in range(300):
            label = ("bad", "good")[number % 2]
            writer.writerow(
                [f"the film {number} was very {label} and 很{'好' if label == 'good' else '坏'} {number % 7}", label]
            )
    return path


def test_a_model_and_a_file_are_enough(
    tiny_classifier: Path,
    rows_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    output = tmp_path / "out" / "candidates"
    foreign = tmp_path / "out" / "reports" / "train.json"
    write_report(foreign.parent, Report(stage="train", project="other", verdicts=[_parity(3)]))  # a FAIL of other work
    before = foreign.read_bytes()
    words = [str(tiny_classifier), "--data", str(rows_file), "--text", "review", "--label", "stars"]
    assert status_of(*words, "--output", str(output)) == 0
    shown = capsys.readouterr().out
    choice = json.loads((output / "choice.json").read_text())
    assert f"→ {choice['chosen']}" in shown
    for part in (
        "as served",
        "one row alone: a single request",
        "memory",
        "int8",
        "float32",
        "PASS, parity",
        "was not chosen: ",
    ):
        assert part in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["candidates", "reports"]
    assert foreign.read_bytes() == before
    names = ["compress.json", "compress.run.json", "train.json"]
    assert sorted(path.name for path in foreign.parent.iterdir()) == names
    report = json.loads((tmp_path / "out/reports/compress.json").read_text())
    assert report["project"] == "model"
    assert {v["subject"] for v in report["verdicts"]} >= {"onnx-fp32"}


def test_data_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--data", "x.csv") == 2
    assert "modelyard compress MODEL --data FILE" in capsys.readouterr().err


def test_a_folder_that_is_no_model(rows_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(str(tmp_path), "--data", str(rows_file)) == 2
    shown = capsys.readouterr().err
    for part in ("no .safetensors file", "config.json is missing", "tokenizer.json is missing"):
        assert part in shown


def test_a_text_has_no_label_to_judge_by(
    tiny_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book.txt"
    book.write_text("A text and nothing beside it.\n")
    assert status_of(str(tiny_classifier), "--data", str(book), "--output", str(tmp_path / "out")) == 2
    said = capsys.readouterr().err
    assert "a plain text has no column 'label'" in said
    assert "name a table (CSV, TSV, JSON, JSONL or Parquet) that has 'text', 'label'\n" in said


def test_alone_in_a_project_nothing_of_it_is_replaced(
    tiny_classifier: Path,
    rows_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import modelyard.compression.compress as stage

    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "modelyard.yaml").touch()
    monkeypatch.chdir(folder)
    outputs = []

    def compress(settings: Any, *, output: Path, reports: Path, **paths: Any) -> Report:
        outputs.append(output)
        report = Report(stage="compress", project=settings.project, verdicts=[_parity(0)])
        with recording(reports, "compress"):
            write_report(reports, report)
        return report

    monkeypatch.setattr(stage, "compress", compress)
    words = [str(tiny_classifier), "--data", str(rows_file), "--text", "review", "--label", "stars", "--json"]
    for places in ([], ["--reports", "r"], ["--output", "other"], ["--output", str(folder / "candidates")]):
        assert status_of(*words, *places) == 2
        shown = " ".join(capsys.readouterr().err.split())
        assert "is a project" in shown
        assert "--output alone/candidates" in shown
    assert not outputs
    assert [path.name for path in folder.iterdir()] == ["modelyard.yaml"]
    assert status_of(*words, "--output", "alone/candidates") == 0
    assert status_of(*words, "--output", "other", "--reports", "r") == 0
    assert outputs == [Path("alone/candidates"), Path("other")]
    reports = {str(path.relative_to(folder)) for path in folder.rglob("*.json")}
    names = ("compress.json", "compress.run.json")
    assert reports == {f"{place}/{name}" for place in ("alone/reports", "r") for name in names}


def test_rows_that_fail_the_check_are_refused(
    tiny_classifier: Path, rows_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows_file.write_text("review,stars\n" + "the same good film,good\n" * 300)
    words = [str(tiny_classifier), "--data", str(rows_file), "--text", "review", "--label", "stars"]
    assert status_of(*words, "--output", str(tmp_path / "out" / "candidates")) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "check failed: label_count" in shown
    assert rows_file.name in shown
    assert not (tmp_path / "out").exists()


def test_without_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--project", str(tmp_path)) == 2
    assert "modelyard init" in capsys.readouterr().err


def _parity(rows: int) -> Verdict:
    return judge(Interval.exact(rows, n=10, unit="rows"), at_most(0), rule="parity", subject="onnx-fp32")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project whose stage only notes its paths and finds as many differing rows as it is told."""
    import modelyard.compression.compress as stage

    (tmp_path / "modelyard.yaml").write_text("schema: 1\nproject: tiny\ndata: {train: rows.csv}\nmodel: {base: base}\n")
    called: dict[str, Any] = {"differing": 0}

    def compress(settings: Any, **paths: Any) -> Report:
        called.update(paths)
        return Report(stage="compress", project=settings.project, verdicts=[_parity(called["differing"])])

    monkeypatch.setattr(stage, "compress", compress)
    return tmp_path, called


def test_in_a_project_the_folders_are_known(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, called = project
    assert status_of("--project", str(folder), "--json") == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "compress"
    for name in ("prepared", "model", "reports"):
        assert called[name] == folder / name
    assert called["output"] == folder / "candidates"


def test_every_folder_can_be_named(project: Any) -> None:
    folder, called = project
    words = ["m", "--prepared", "p", "--output", "o", "--reports", "r"]
    assert status_of(*words, "--project", str(folder), "--json") == 0
    names = {name: str(called[name]) for name in ("model", "prepared", "output", "reports")}
    assert names == {"model": "m", "prepared": "p", "output": "o", "reports": "r"}


def test_a_failed_parity_sets_the_exit_status(project: Any) -> None:
    folder, called = project
    called["differing"] = 3
    assert status_of("--project", str(folder), "--json") == 1
    assert status_of("--project", str(folder), "--json", "--exit-zero") == 0
