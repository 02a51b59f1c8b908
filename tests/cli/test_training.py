"""`modelyard train` as a person runs it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.cli.main import main
from modelyard.evidence.report import Report


@pytest.fixture
def project(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_prepared, tmp_path / "prepared")
    shutil.copytree(tiny_base, tmp_path / "base")
    (tmp_path / "modelyard.yaml").write_text(
        "schema: 1\nproject: tiny\ndata: {train: rows.csv}\nmodel: {base: base}\n"
        "train: {epochs: 2, learning_rate: 0.001, precision: fp32}\n"
    )
    return tmp_path


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["train", *arguments])
    return int(end.value.code or 0)


def test_trains_and_prints_what_a_person_wants(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--project", str(project)) == 0
    shown = capsys.readouterr().out
    for part in (
        "better_than_majority",
        "accuracy on validation",
        "the weights are those of step",
        "learning_rate 0.001",
    ):
        assert part in shown
    assert (project / "model/model.safetensors").is_file()
    assert (project / "reports/train.json").is_file()


def test_writes_where_it_is_told_and_prints_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [
        "--output",
        str(project / "out/m"),
        "--reports",
        str(project / "out/r"),
        "--prepared",
        str(project / "prepared"),
    ]
    assert status_of("--project", str(project), *places, "--json", "--exit-zero") == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "train"
    assert (project / "out/m/training.json").is_file()
    assert (project / "out/r/train.run.json").is_file()
    assert not (project / "model").exists()


def test_of_several_processes_one_speaks(
    project: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, one_of: Callable[[int], None]
) -> None:
    """torchrun leaves stdout and stderr of all to the terminal."""
    report = Report(stage="train", project="tiny")
    monkeypatch.setattr("modelyard.training.train.train", lambda *_, progress, **places: progress("x", 1, 1) or report)
    one_of(2)
    assert status_of("--project", str(project)) == 0
    assert capfd.readouterr() == ("", "")


def test_alone_whatever_a_scheduler_numbers_it(
    project: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert status_of("--project", str(project)) == 0
    assert "better_than_majority" in capfd.readouterr().out


def test_other_processes_than_were_started_are_refused(
    project: Path, capfd: pytest.CaptureFixture[str], one_of: Callable[[int], None]
) -> None:
    one_of(4)
    assert status_of("--project", str(project), "--processes", "2") == 2
    assert "2 processes are asked for, and WORLD_SIZE says that 4 train together" in capfd.readouterr().err


def test_the_resume_test_starts_its_processes_and_keeps_no_model(
    project: Path, capfd: pytest.CaptureFixture[str], one_of: Callable[[int], None]
) -> None:
    one_of(4)
    assert status_of("--project", str(project), "--resume-test", "--output", str(project / "model")) == 2
    said = capfd.readouterr().err
    assert "--output: --resume-test writes no model" in said
    assert "starts and kills its processes itself" in said


def test_a_missing_base_is_bad_input(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "base")
    assert status_of("--project", str(project)) == 2
    assert "model.base is 'base'" in capsys.readouterr().err


def test_help_loads_no_torch() -> None:
    code = (
        "import sys\nfrom modelyard.cli.main import main\n"
        "try: main(['train', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'polars', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "Fine-tune the base model" in done.stdout


def test_the_resume_test_takes_the_number_of_processes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def prove(settings: object, **options: object) -> Report:
        asked.update(options)
        return Report(stage="resume-test", project="tiny")

    monkeypatch.setattr("modelyard.training.resume_test.resume_test", prove)
    assert status_of("--project", str(project), "--resume-test", "--processes", "3") == 0
    assert (asked["processes"], asked["reports"]) == (3, project / "reports")


def test_several_processes_get_the_same_options_and_their_status_is_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def launch(command: list[str], processes: int) -> int:
        asked.append((command[command.index("train") :], processes))
        return 3

    monkeypatch.setattr("modelyard.training.launch.launch", launch)
    assert status_of("--project", str(project), "--processes", "2", "--json", "--output", "out") == 3
    options = ["--processes", "2", "--project", str(project), "--output", "out", "--json"]
    assert asked == [(["train", *options], 2)]
