"""The program itself: fast to start, quiet at its ends, and every error with its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import __version__
from modelyard.cli.main import main
from modelyard.cli.quiet import OFF, OFF_UNLESS_SET, switch_off

MODELYARD = str(Path(sys.executable).parent / "modelyard")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom modelyard.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'polars', 'scipy', 'onnxruntime', 'openvino', 'pydantic', 'numpy'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stdout


def test_version_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.strip() == __version__
    assert call("no-such-command") == 2


def test_an_error_is_shown_with_its_next_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", "--project", str(tmp_path)) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "there is no modelyard.yaml" in err
    assert "next: make a project: modelyard init" in err


def test_schema_and_rules_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "modelyard.yaml"
    assert call("check", "--rules") == 0
    assert "duplicate_exact" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{MODELYARD} schema | head -n 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 141)
    assert done.stderr == ""


def test_telemetry_is_off_and_the_users_own_choice_stays() -> None:
    environment = {"HF_HUB_OFFLINE": "0"}
    switch_off(environment)
    assert environment["HF_HUB_OFFLINE"] == "0"
    assert set(OFF) | set(OFF_UNLESS_SET) == set(environment)
    assert environment["DVC_NO_ANALYTICS"] == "1"


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from modelyard.project import load

    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "load_project", interrupted)
    assert call("check", "--project", str(tmp_path)) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_mistake_of_our_own_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelyard.project import load

    def broken(folder: Path) -> None:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(load, "load_project", broken)
    assert call("check", "--project", str(tmp_path)) == 70
    said = capsys.readouterr().err
    assert "KeyError: 'nobody thought of this'" in said
    assert "a mistake in Modelyard" in said


def test_doctor_report_and_unknown_fetch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor") == 0  # the environment of the tests lacks nothing
    assert "torch" in capsys.readouterr().out
    assert call("report", str(tmp_path)) == 2
    assert call("fetch", "no-such-model") == 2
    assert os.environ["DVC_NO_ANALYTICS"] == "1"
