"""The stage on the tiny model, as `compress` leaves it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.candidate import read_card, read_choice
from modelyard.artifacts.files import digest_file, digest_folder, write_json
from modelyard.artifacts.model import Training
from modelyard.artifacts.reports import read_report, write_report
from modelyard.audit import audit as module
from modelyard.audit.audit import audit
from modelyard.compression.compress import compress
from modelyard.errors import GateFailed
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings

SETTINGS = parse_settings(
    "schema: 1\nproject: tiny\ndata: {train: rows.csv}\nmodel: {base: models/tiny}\n"
    "compress: {goal: smallest}\ngates: {drop_max: 0.2, slice_drop_max: 0.4}\n"
)


@pytest.fixture(scope="module")
def world(tiny_classifier: Path, tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a project up to `compress`."""
    root = tmp_path_factory.mktemp("audit")
    folders = {"prepared": tiny_prepared, "model": root / "model", "candidates": root / "candidates"}
    shutil.copytree(tiny_classifier, folders["model"])
    training = Training(
        task="classification",
        labels=["bad", "good"],
        base="sha256:b",
        prepared=digest_file(tiny_prepared / "dataset.json"),
        max_length_tokens=32,
        settings={},
        history=[],
        best_step=1,
    )
    write_json(folders["model"] / "training.json", training)
    reports = root / "reports"
    trained = Report(stage="train", project="tiny", parameters={"model": digest_folder(folders["model"])})
    write_report(reports, trained)
    compress(SETTINGS, prepared=tiny_prepared, model=folders["model"], output=folders["candidates"], reports=reports)
    return {**folders, "reports": reports}


def test_the_chosen_candidate_is_asked_as_it_will_be_served(world: dict[str, Path]) -> None:
    report = audit(SETTINGS, **world)
    assert read_report(world["reports"] / "audit.json") == report
    chosen = read_card(world["candidates"] / read_choice(world["candidates"]).chosen)
    assert report.inputs == {
        "prepared": digest_file(world["prepared"] / "dataset.json"),
        "model": digest_folder(world["model"]),
        "artefact": chosen.digest,
    }
    by_rule = {verdict.rule: verdict for verdict in report.verdicts}
    assert by_rule["parity"].outcome == by_rule["parity_served"].outcome == "PASS"
    assert by_rule["parity"].subject == "onnx-fp32"
    assert by_rule["parity_served"].interval.n == 80  # type: ignore[union-attr]  # every test row, alone
    # the same rows, in one order, through the same engine: what `compress` counted on test
    served = next(m for m in report.measurements if m.name == "accuracy" and m.scope == "overall")
    assert served.interval.estimate == pytest.approx(chosen.accuracy["test"].estimate, abs=0.026)  # two of 80 rows
    scopes = {m.scope for m in report.measurements if m.name == "accuracy"}
    assert scopes == {"overall", "slice:site=film", "slice:site=phone", "class:bad", "class:good"}
    assert report.parameters["batch_rows"] in (1, chosen.batch_rows)


def test_what_will_be_served_row_by_row_is_measured_row_by_row(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[int] = []
    read, serve, judge = module.read_card, module._serve, module.judge_flips

    def serve_seen(settings: Any, audited: Any, batch_rows: int, progress: Any) -> Any:
        served.append(batch_rows)
        return serve(settings, audited, batch_rows, progress)

    monkeypatch.setattr(module, "read_card", lambda folder: read(folder).model_copy(update={"batch_rows": 32}))
    monkeypatch.setattr(module, "_serve", serve_seen)
    monkeypatch.setattr(module, "judge_flips", lambda *a, **b: judge(*a, **b).model_copy(update={"outcome": "FAIL"}))
    report = audit(SETTINGS, **{**world, "reports": tmp_path})
    assert served == [32, 1]
    assert report.parameters["batch_rows"] == 1
    assert any("row by row" in note for note in report.notes)


def test_equal_work_gives_an_equal_report(world: dict[str, Path]) -> None:
    audit(SETTINGS, **world)
    first = (world["reports"] / "audit.json").read_bytes()
    audit(SETTINGS, **world)
    assert (world["reports"] / "audit.json").read_bytes() == first


def test_a_failed_stage_before_stops_it(world: dict[str, Path], tmp_path: Path) -> None:
    failed = Verdict(rule="non_finite", interval=None, limit=None, outcome="FAIL", reason="so")
    write_report(tmp_path, Report(stage="train", project="tiny", verdicts=[failed]))
    with pytest.raises(GateFailed, match="non_finite"):
        audit(SETTINGS, **{**world, "reports": tmp_path})
    assert not (tmp_path / "audit.json").exists()


def test_a_model_changed_after_training_is_refused(world: dict[str, Path], tmp_path: Path) -> None:
    model = Path(shutil.copytree(world["model"], tmp_path / "model"))
    reports = Path(shutil.copytree(world["reports"], tmp_path / "reports"))
    (reports / "audit.json").unlink(missing_ok=True)  # of a test before
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1  # of the last weight
    (model / "model.safetensors").write_bytes(weights)
    with pytest.raises(GateFailed, match="is not about this model/") as refused:
        audit(SETTINGS, **{**world, "model": model, "reports": reports})
    assert refused.value.problems[0].next_step == "run `modelyard train` again, and what follows it"
    assert not (reports / "audit.json").exists()
