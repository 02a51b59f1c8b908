"""The whole chain on a tiny model: init, run with the real DVC, release, and what it refuses."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.reports import read_report
from modelyard.cli.main import main

MODELYARD = str(Path(sys.executable).parent / "modelyard")


def call(*arguments: str) -> int:
    """A command in this process; its exit status."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MODELYARD, "run"], cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, rows_of: Callable[[int], list[dict[str, str]]]
) -> tuple[Path, str]:
    """A project that was run once, and what `run` printed."""
    parent = tmp_path_factory.mktemp("chain")
    with (parent / "rows.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, ["text", "label", "site"])
        writer.writeheader()
        writer.writerows(rows_of(400))
    options = ["--text", "text", "--label", "label", "--slices", "site", "--model", str(tiny_base)]
    done = subprocess.run(
        [MODELYARD, "init", "chain", "--data", "rows.csv", *options],
        cwd=parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folder = parent / "chain"
    change(folder, "learning_rate: null", "learning_rate: 0.005")
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture
def project(whole: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that project."""
    return Path(shutil.copytree(whole[0], tmp_path / "chain", symlinks=True))


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "modelyard.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (old, text)
    path.write_text(text.replace(old, new), encoding="utf-8")


def states(printed: str) -> dict[str, str]:
    """Stage -> what the closing table says of it."""
    return dict(
        re.findall(r"^(check|train|compress|audit|release) +(ran|unchanged|refused|failed|not reached)", printed, re.M)
    )


def test_a_run_ends_with_a_release_that_answers(whole: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, printed = whole
    assert states(printed) == dict.fromkeys(("check", "train", "compress", "audit", "release"), "ran")
    assert "modelyard predict release" in printed
    key = str(folder / "keys/team.pub")
    assert call("verify", str(folder / "release"), "--trusted-key", key) == 0
    assert call("predict", str(folder / "release"), "good great lovely", "--trusted-key", key, "--json") == 0
    out = capsys.readouterr().out
    answer = json.loads(out[out.index("{") :])
    assert answer["predictions"][0]["label"] == "good"
    assert sum(answer["predictions"][0]["probabilities"].values()) == pytest.approx(1.0)
    card = (folder / "release/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "No verdict was waived." in card


def test_nothing_re_runs_and_a_change_re_runs_what_follows_it(project: Path) -> None:
    again = run(project)
    assert again.returncode == 0
    assert states(again.stdout) == dict.fromkeys(("check", "train", "compress", "audit", "release"), "unchanged")
    change(project, "goal: fastest", "goal: smallest")
    changed = run(project)
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert states(changed.stdout) == {
        "check": "unchanged",
        "train": "unchanged",
        "compress": "ran",
        "audit": "ran",
        "release": "ran",
    }


def test_too_few_test_rows_are_inconclusive_until_a_person_waives_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(project, "compressed: optional", "compressed: required")
    assert call("compress", "--project", str(project)) == 0
    assert call("audit", "--project", str(project)) == 0
    before = digest_folder(project / "release")
    capsys.readouterr()
    assert call("release", "--project", str(project)) == 3
    report = read_report(project / "reports/release.json")
    undecided = [verdict for verdict in report.verdicts if verdict.blocks]
    assert {verdict.outcome for verdict in undecided} == {"INCONCLUSIVE"}
    overall = next(verdict for verdict in undecided if (verdict.rule, verdict.scope) == ("drop_max", "overall"))
    # where more rows can help their number is there, at least 3.84 * 0.99 / 0.01: Tango's with b = c = 0
    assert overall.interval is not None
    assert (overall.samples_needed or 0) >= (381 if overall.interval.estimate <= 0.01 else 0)
    small = [verdict for verdict in undecided if verdict.samples_needed]
    assert small and str(small[0].samples_needed) in capsys.readouterr().out
    assert digest_folder(project / "release") == before  # refused: what stood still stands

    waivers = ", ".join(
        f'{{rule: {verdict.rule}, scope: "{verdict.scope}", by: Li Wei, on: 2026-11-25, reason: "a trial, 40 rows"}}'
        for verdict in undecided
    )
    change(project, "waivers: []", f"waivers: [{waivers}]")
    assert call("release", "--project", str(project)) == 0
    card = (project / "release/MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.count("was waived** by Li Wei on 2026-11-25: a trial, 40 rows") == len(undecided)


def test_an_artefact_ruined_after_the_ladder_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import onnx
    from onnx import numpy_helper

    chosen = json.loads((project / "candidates/choice.json").read_text(encoding="utf-8"))["chosen"]
    assert chosen == "onnx-fp32"  # 100 test rows cannot prove a compressed one
    path = next((project / "candidates" / chosen).glob("*.onnx"))
    model = onnx.load(path)
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim == 2:
            step = float(np.abs(values).max()) / 2 or 1.0
            weights.CopyFrom(numpy_helper.from_array((np.round(values / step) * step).astype(np.float32), weights.name))
    onnx.save(model, path)
    assert call("release", "--project", str(project)) == 1
    failed = {v.rule for v in read_report(project / "reports/release.json").verdicts if v.outcome == "FAIL"}
    assert failed == {"parity", "evidence"}
    assert "parity" in capsys.readouterr().out


def test_accuracy_latency_and_idle_waivers_are_judged(project: Path) -> None:
    change(project, "accuracy_min: null", "accuracy_min: 0.999")
    change(project, "latency_p95_ms_max: null", "latency_p95_ms_max: 10000")
    change(project, "waivers: []", "waivers: [{rule: drop_max, by: me, on: 2026-11-25, reason: none}]")
    status = call("release", "--project", str(project), "--json")
    verdicts = {v.rule: v for v in read_report(project / "reports/release.json").verdicts}
    # at least 99.9% is beyond 100 rows, even if all are right: Wilson's lower end is 100 / (100 + 3.84)
    assert status == {"FAIL": 1, "INCONCLUSIVE": 3}[verdicts["accuracy_min"].outcome]
    assert verdicts["latency_p95_ms_max"].outcome == "PASS"
    assert verdicts["waiver"].severity == "warning"


def test_stale_evidence_fails(project: Path) -> None:
    (project / "reports/train.json").unlink()
    assert call("release", "--project", str(project)) == 1
    failed = [v for v in read_report(project / "reports/release.json").verdicts if v.outcome == "FAIL"]
    assert [(v.rule, v.scope) for v in failed] == [("evidence", "stage:train")]


@pytest.mark.parametrize("damage", ["flipped", "missing", "added", "key"])
def test_a_tampered_release_is_refused(project: Path, damage: str, tmp_path: Path) -> None:
    release, key = project / "release", project / "keys/team.pub"
    if damage == "flipped":
        data = bytearray((release / "model.onnx").read_bytes())
        data[len(data) // 2] ^= 1
        (release / "model.onnx").write_bytes(data)
    elif damage == "missing":
        (release / "tokenizer.json").unlink()
    elif damage == "added":
        (release / "extra.txt").write_text("x", encoding="utf-8")
    else:
        assert call("keys", "new", "--directory", str(tmp_path / "other")) == 0
        key = tmp_path / "other/team.pub"
    for command in (["verify"], ["predict"], ["serve"]):
        text = ["good"] if command == ["predict"] else []
        assert call(*command, str(release), *text, "--trusted-key", str(key)) == 1


def test_a_failed_check_stops_before_training(project: Path) -> None:
    data = project / "data/rows.csv"
    lines = data.read_text(encoding="utf-8").splitlines(keepends=True)
    data.write_text("".join([lines[0], *lines[1:60] * 5]), encoding="utf-8")
    change(project, "rules: {}", "rules: {duplicate_exact: {budget: 0.1, severity: error}}")
    done = run(project)
    assert done.returncode == 1
    assert states(done.stdout)["train"] == "refused"
    assert "duplicate_exact" in done.stdout
    assert "earlier run" in done.stdout
