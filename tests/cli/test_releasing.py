"""`verify`, `keys` and `release` as a person runs them."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli.main import main
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Report


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def test_verify_says_who_signed_what(sealed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("verify", str(sealed.folder), "--trusted-key", str(sealed.key)) == 0
    printed = capsys.readouterr().out
    assert "verified: sums, 4 files" in printed
    assert status_of("keys", "show", str(sealed.key)) == 0
    assert capsys.readouterr().out.split()[0] in printed
    assert status_of("verify", str(sealed.folder), "--trusted-key", str(sealed.key), "--json") == 0
    assert json.loads(capsys.readouterr().out)["files"] == 4


def test_verify_names_every_file_that_was_touched(sealed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (sealed.folder / "config.json").unlink()
    (sealed.folder / "more.txt").write_text("x")
    assert status_of("verify", str(sealed.folder), "--trusted-key", str(sealed.key)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "config.json is missing" in printed.err
    assert "more.txt is not in the manifest" in printed.err
    assert status_of("verify", str(sealed.folder / "evidence"), "--trusted-key", str(sealed.key)) == 2


def test_keys_are_made_once_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status_of("keys", "new") == 0
    name = capsys.readouterr().out.split()[1]
    assert status_of("keys", "new") == 2
    assert "never overwritten" in capsys.readouterr().err
    settings = "schema: 1\nproject: p\ndata: {train: d}\nmodel: {base: b}\n"
    Path("modelyard.yaml").write_text(settings)
    assert status_of("keys", "show") == 2
    Path("modelyard.yaml").write_text(settings + "release: {trusted_keys: [keys/team.pub]}\n")
    assert status_of("keys", "show") == 0
    assert capsys.readouterr().out == f"{name}  keys/team.pub\n"


@pytest.mark.parametrize(("high", "status"), [(0.005, 0), (0.02, 3), (None, 1)])
def test_release_ends_with_the_status_of_its_verdicts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    high: float | None,
    status: int,
) -> None:
    low, high = (0.0, high) if high else (0.05, 0.1)
    interval = Interval(low=low, estimate=(low + high) / 2, high=high, n=1000, unit="fraction", method="tango")
    verdict = judge(interval, at_most(0.01), rule="drop_max", samples_needed=2000)
    asked: dict[str, Path] = {}

    def stage(settings: object, **folders: Any) -> Report:
        asked.update(folders)
        return Report(stage="release", project="p", verdicts=[verdict])

    monkeypatch.setattr("modelyard.pipeline.release.release", stage)
    (tmp_path / "modelyard.yaml").write_text("schema: 1\nproject: p\ndata: {train: d}\nmodel: {base: b}\n")
    elsewhere = str(tmp_path / "elsewhere")
    assert status_of("release", "--project", str(tmp_path), "--output", elsewhere, "--json") == status
    assert json.loads(capsys.readouterr().out)["verdicts"][0]["outcome"] == verdict.outcome
    assert asked["output"] == Path(elsewhere)
    assert [asked[name] for name in ("prepared", "model", "candidates", "reports")] == [
        tmp_path / name for name in ("prepared", "model", "candidates", "reports")
    ]
    assert status_of("release", "--project", str(tmp_path), "--exit-zero") == 0
    assert "drop_max" in capsys.readouterr().out
