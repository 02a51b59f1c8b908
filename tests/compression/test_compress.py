import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.artifacts.candidate import digest_artefact, read_card, read_choice
from modelyard.artifacts.files import digest_file, digest_folder, write_json
from modelyard.artifacts.prepared import read_prepared
from modelyard.artifacts.reports import read_report, read_run_record, write_report
from modelyard.compression import candidates as making
from modelyard.compression.compress import compress
from modelyard.compression.reference import read_reference
from modelyard.errors import GateFailed, InputError
from modelyard.evidence.judge import exit_status
from modelyard.evidence.report import Report

NAMES = ["onnx-fp32", "onnx-int8-dynamic", "openvino-int8-static"]


def test_each_candidate_stands_alone_with_its_card(compressed: Any) -> None:
    assert sorted(path.name for path in compressed.candidates.iterdir()) == ["choice.json", *NAMES, "reference"]
    for name in NAMES:
        folder = compressed.candidates / name
        card = read_card(folder)
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            ["card.json", "config.json", "tokenizer.json", *card.artefact]
        )
        assert (card.name, card.compressed) == (name, name != "onnx-fp32")
        assert card.digest == digest_artefact(folder, card.artefact)
        assert card.size_bytes == sum((folder / file).stat().st_size for file in card.artefact)
        assert card.speed_ratio is not None
        assert card.latency_ms is not None
        assert card.peak_memory_bytes
    assert read_card(compressed.candidates / "onnx-fp32").speed_ratio.estimate == 1  # type: ignore[union-attr]


def test_the_choice_follows_the_goal(compressed: Any) -> None:
    choice = read_choice(compressed.candidates)
    sizes = {name: read_card(compressed.candidates / name).size_bytes for name in choice.ranked}
    assert choice.ranked == sorted(sizes, key=lambda name: sizes[name])
    assert choice.chosen == choice.ranked[0]
    assert set(choice.not_chosen) == set(NAMES) - {choice.chosen}
    chosen = read_card(compressed.candidates / choice.chosen)
    # 140 rows prove nothing about a rate of 0.5%: served row by row, whatever was chosen
    flips, *drops = chosen.verdicts
    assert (flips.rule, flips.kind) == ("batch_flips", "candidate")
    assert (flips.outcome == "PASS") == (chosen.batch_rows == 32)
    assert {verdict.outcome for verdict in drops} == {"PASS"}
    assert {verdict.subject for verdict in drops} == {
        f"{choice.chosen} on validation",
        f"{choice.chosen} on test",
    }


def test_only_parity_is_a_release_verdict(compressed: Any) -> None:
    report: Report = compressed.report
    assert [(v.rule, v.subject, v.outcome) for v in report.verdicts if v.kind == "release"] == [
        ("parity", "onnx-fp32", "PASS")
    ]
    assert exit_status(report.verdicts) == 0
    scopes = {verdict.scope for verdict in report.verdicts if verdict.kind == "candidate"}
    assert scopes == {"overall", "slice:site=film", "slice:site=phone", "class:bad", "class:good"}


def test_the_report_is_on_disk_and_knows_no_clock(compressed: Any, tiny_prepared: Path, tiny_classifier: Path) -> None:
    assert read_report(compressed.reports / "compress.json") == compressed.report
    assert read_run_record(compressed.reports / "compress.run.json").stage == "compress"
    assert compressed.report.inputs == {
        "model": digest_folder(tiny_classifier),
        "prepared": digest_file(tiny_prepared / "dataset.json"),
        "test": digest_file(tiny_prepared / "test.parquet"),
        "reference": digest_folder(compressed.candidates / "reference"),
    }
    assert {measurement.interval.unit for measurement in compressed.report.measurements} == {"bytes", "fraction"}
    assert "times as fast" not in (compressed.reports / "compress.json").read_text()


def test_the_reference_is_the_trained_models(compressed: Any, tiny_prepared: Path) -> None:
    prepared = read_prepared(tiny_prepared)
    for split in ("validation", "test"):
        reference = read_reference(compressed.candidates, split)
        assert reference.ids == prepared.split(split)["id"].to_list()
        assert reference.label_indices.tolist() == prepared.label_indices(split)
        accuracy = next(
            measurement.interval.estimate
            for measurement in compressed.report.measurements
            if (measurement.subject, measurement.scope) == ("trained", f"split:{split}")
        )
        assert accuracy == pytest.approx(reference.right.mean())


def test_progress_is_told(compressed: Any) -> None:
    assert {"ask the trained model on validation", "make candidates, onnx-fp32", "measure speed"} <= set(
        compressed.told
    )


def _never(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("nothing may be made here")


@pytest.fixture
def stage(
    tmp_path: Path, tiny_classifier: Path, tiny_prepared: Path, settings_of: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A call of the stage that must end before any candidate is made."""
    monkeypatch.setattr(making, "export_onnx", _never)

    def call(**changes: Any) -> Report:
        paths = {"prepared": tiny_prepared, "model": tiny_classifier}
        paths |= {"output": tmp_path / "candidates", "reports": tmp_path / "reports"}
        return compress(settings_of(""), **(paths | changes))

    return call


def test_a_failed_stage_before_stops_it(stage: Any, compressed: Any, tmp_path: Path) -> None:
    passing = compressed.report.verdicts[0]
    failed = passing.model_copy(update={"outcome": "FAIL", "rule": "set_not_empty", "kind": "release"})
    write_report(tmp_path / "reports", Report(stage="check", project="tiny", verdicts=[failed, passing]))
    with pytest.raises(GateFailed, match="check failed: set_not_empty"):
        stage()


def test_a_model_changed_after_training_is_refused(stage: Any, tiny_classifier: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_classifier, tmp_path / "model"))
    trained = Report(stage="train", project="tiny", parameters={"model": digest_folder(model)})
    write_report(tmp_path / "reports", trained)
    with pytest.raises(AssertionError, match="nothing may be made"):  # so far it went on
        stage(model=model)
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1  # of the last weight
    (model / "model.safetensors").write_bytes(weights)
    with pytest.raises(GateFailed, match="is not about this model/") as refused:
        stage(model=model)
    assert refused.value.problems[0].next_step == "run `modelyard train` again, and what follows it"
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["train.json"]


def test_somebody_elses_folder_is_not_replaced(stage: Any, tmp_path: Path) -> None:
    (tmp_path / "candidates").mkdir()
    (tmp_path / "candidates" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="Modelyard did not make it"):
        stage()


def test_what_stood_before_still_stands_after_a_failure(stage: Any, compressed: Any, tmp_path: Path) -> None:
    shutil.copytree(compressed.candidates, tmp_path / "candidates")
    before = digest_folder(tmp_path / "candidates")
    with pytest.raises(AssertionError, match="nothing may be made"):
        stage()
    assert digest_folder(tmp_path / "candidates") == before
    assert [path.name for path in tmp_path.iterdir()] == ["candidates"]


def test_empty_splits_and_unknown_labels_all_at_once(stage: Any, tiny_prepared: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_prepared, tmp_path / "prepared"))
    pl.read_parquet(folder / "validation.parquet").clear().write_parquet(folder / "validation.parquet")
    rows = pl.read_parquet(folder / "test.parquet")
    rows.with_columns(label=pl.lit("ugly")).write_parquet(folder / "test.parquet")
    dataset = read_prepared(tiny_prepared).dataset
    digests = {name: digest_file(folder / f"{name}.parquet") for name in dataset.digests}
    write_json(folder / "dataset.json", dataset.model_copy(update={"digests": digests}))
    with pytest.raises(InputError) as caught:
        stage(prepared=folder)
    assert [problem.message.partition(",")[0] for problem in caught.value.problems] == [
        "the validation split has no rows",
        "the test rows have the labels 'ugly'",
    ]


def test_outputs_without_a_name(stage: Any, tiny_classifier: Path, tmp_path: Path) -> None:
    from modelyard.artifacts.model import Training

    model = Path(shutil.copytree(tiny_classifier, tmp_path / "model"))
    training = Training(
        task="classification",
        labels=["bad", "good", "ugly"],
        base="",
        prepared="",
        max_length_tokens=16,
        settings={},
        history=[],
        best_step=1,
    )
    write_json(model / "training.json", training)
    with pytest.raises(InputError, match="2 outputs and 3 label names"):
        stage(model=model)


def test_a_broken_choice_is_named(compressed: Any, tmp_path: Path) -> None:
    (tmp_path / "choice.json").write_text(json.dumps({"schema": 2}))
    with pytest.raises(InputError, match="schema 2"):
        read_choice(tmp_path)
