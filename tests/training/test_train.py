"""The whole stage on a tiny encoder: what it writes, that it learns, the same bit for bit, what it refuses."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from modelyard.artifacts.files import digest_file, digest_folder
from modelyard.artifacts.model import check_model_folder, read_training
from modelyard.artifacts.prepared import read_prepared
from modelyard.artifacts.reports import METRICS_FILE, read_report, read_run_record, refuse_failed, write_report
from modelyard.engines.opening import open_engine
from modelyard.errors import GateFailed, InputError, NotFinite, Stopped
from modelyard.evidence.judge import Verdict, exit_status
from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.project.schema import ProjectSchema
from modelyard.tasks.classification import encode, load_tokenizer
from modelyard.training import lora
from modelyard.training.checkpoint_folder import checkpoints_of, held
from modelyard.training.loop import Fitted, fit
from modelyard.training.train import Excerpt, train
from modelyard.training.watching import VARYING

FAST = {"learning_rate": 0.005, "epochs": 12}


def settings_of(base: Path, *, max_length_tokens: int | None = None, **train_section: Any) -> ProjectSchema:
    return parse_settings(
        json.dumps(
            {
                "schema": 1,
                "project": "tiny",
                "data": {"train": "rows.csv"},
                "model": {"base": str(base), "max_length_tokens": max_length_tokens},
                "train": FAST | train_section,
            }
        )
    )


def run(base: Path, prepared: Path, place: Path, **settings: Any) -> Report:
    return train(
        settings_of(base, **settings),
        root=place,
        prepared=prepared,
        output=place / "model",
        reports=place / "reports",
    )


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    place = tmp_path_factory.mktemp("trained")
    return place, run(tiny_base, tiny_prepared, place)


def test_writes_a_model_that_loads_and_says_how_it_was_made(
    trained: tuple[Path, Report], tiny_base: Path, tiny_prepared: Path
) -> None:
    place, report = trained
    check_model_folder(place / "model")
    names = {path.name for path in (place / "model").iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training.json"}
    assert digest_file(place / "model/tokenizer.json") == digest_file(tiny_base / "tokenizer.json")
    training = read_training(place / "model")
    assert training.labels == ["bad", "good"]
    assert training.base == digest_folder(tiny_base)
    assert training.prepared == digest_file(tiny_prepared / "dataset.json")
    assert training.best_step == min(training.history, key=lambda entry: entry["validation_loss"])["step"]
    assert report.inputs == {"prepared": training.prepared, "base": training.base}
    assert str(place) not in (place / "model/config.json").read_text() + (place / "model/training.json").read_text()


def test_the_engine_answers_as_the_report_says(trained: tuple[Path, Report], tiny_prepared: Path) -> None:
    place, report = trained
    data = read_prepared(tiny_prepared)
    texts = data.split("validation")["text"].to_list()
    rows = encode(
        load_tokenizer(place / "model"), texts, max_length_tokens=read_training(place / "model").max_length_tokens
    )
    engine = open_engine(place / "model", "torch", [])
    right = engine.run(rows).argmax(axis=1) == data.label_indices("validation")
    engine.close()
    (accuracy,) = [item.interval for item in report.measurements if (item.name, item.scope) == ("accuracy", "overall")]
    assert accuracy.estimate == right.mean() > 0.8


def test_the_report_measures_derives_and_judges(trained: tuple[Path, Report]) -> None:
    place, report = trained
    assert read_report(place / "reports/train.json") == report
    scopes = {(item.name, item.scope, item.subject) for item in report.measurements}
    accuracy_scopes = {"overall", "class:bad", "class:good", "slice:site=film", "slice:site=phone"}
    slices = {"overall", "slice:site=film", "slice:site=phone"}
    assert scopes == {("accuracy", scope, "validation") for scope in accuracy_scopes} | {
        *(("macro_f1", scope, "validation") for scope in slices),
        ("padding_share", "overall", "train"),
        ("rows_cut_share", "overall", "train"),
        ("rows_cut_share", "overall", "validation"),
    }
    for name in ("precision", "max_length_tokens", "tokens_per_batch", "evaluations_per_epoch", "learning_rate"):
        assert set(report.parameters[name]) == {"value", "reason"}
    assert f"(n=60); macro-F1 {_overall(report, 'macro_f1'):.2%}, " in report.notes[0]
    best = min(read_training(place / "model").history, key=lambda entry: entry["validation_loss"])
    assert best["validation_accuracy"] == _overall(report, "accuracy")
    assert best["validation_macro_f1"] == pytest.approx(_overall(report, "macro_f1"))
    (verdict,) = report.verdicts
    assert (verdict.rule, verdict.outcome) == ("better_than_majority", "PASS")
    assert exit_status(report.verdicts) == 0


def _overall(report: Report, name: str) -> float:
    (found,) = [item.interval.estimate for item in report.measurements if (item.name, item.scope) == (name, "overall")]
    return found


def test_figures_of_every_step_stand_beside_the_report(trained: tuple[Path, Report]) -> None:
    place, _ = trained
    lines = [json.loads(line) for line in (place / "reports" / METRICS_FILE).read_text().splitlines()]
    assert lines[0] == {
        "precision_seconds": {
            "fp32": lines[0]["precision_seconds"]["fp32"],
            "bf16": lines[0]["precision_seconds"]["bf16"],
        }
    }
    steps = [line["step"] for line in lines if "tokens_per_second" in line]
    assert steps == list(range(1, len(steps) + 1))
    assert [line for line in lines if "validation_loss" in line] == read_training(place / "model").history
    assert read_run_record(place / "reports/train.run.json").stage == "train"


def test_the_same_work_gives_the_same_bytes(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(tiny_base, tiny_prepared, tmp_path / name, epochs=1)
    run(tiny_base, tiny_prepared, tmp_path / "three", epochs=1, seed=8)
    assert digest_folder(tmp_path / "one/model") == digest_folder(tmp_path / "two/model")
    assert digest_file(tmp_path / "one/reports/train.json") == digest_file(tmp_path / "two/reports/train.json")
    assert digest_folder(tmp_path / "one/model") != digest_folder(tmp_path / "three/model")


def test_every_row_is_to_count_the_same_also_in_an_excerpt(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def fit_and_note(*args: Any, step_weight: float, **options: Any) -> Fitted:
        given.append(step_weight)
        return fit(*args, step_weight=step_weight, **options)

    monkeypatch.setattr("modelyard.training.train.fit", fit_and_note)
    run(tiny_base, tiny_prepared, tmp_path, epochs=1, tokens_per_batch=200)
    steps = [json.loads(line) for line in (tmp_path / "reports" / METRICS_FILE).read_text().splitlines()]
    count = sum("tokens" in line for line in steps)
    train_rows = len(read_prepared(tiny_prepared).split("train"))
    train(
        settings_of(tiny_base, epochs=1, tokens_per_batch=200),
        root=tmp_path,
        prepared=tiny_prepared,
        output=tmp_path / "excerpt",
        reports=tmp_path / "reports",
        excerpt=Excerpt(steps=2, every_seconds=60.0),
    )
    assert count > 2
    assert given == [train_rows / count] * 2


def test_replaces_its_own_output_and_nobody_elses(
    trained: tuple[Path, Report], tiny_base: Path, tiny_prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained[0] / "model", tmp_path / "model")
    run(tiny_base, tiny_prepared, tmp_path, epochs=1)
    assert read_training(tmp_path / "model").settings["epochs"] == 1
    (tmp_path / "model/training.json").unlink()
    with pytest.raises(InputError, match=r"holds no training\.json"):
        run(tiny_base, tiny_prepared, tmp_path, epochs=1)


def test_of_two_trainings_to_one_output_the_second_is_refused(
    trained: tuple[Path, Report], tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.training.checkpoint_folder.LOCK_WAIT_SECONDS", 0.0)
    shutil.copytree(trained[0] / "model", tmp_path / "model")
    with held(checkpoints_of(tmp_path / "model")):
        with pytest.raises(InputError, match="another training has") as caught:
            run(tiny_base, tiny_prepared, tmp_path, epochs=1)
        assert "--output" in str(caught.value.problems[0].next_step)
    assert digest_folder(tmp_path / "model") == digest_folder(trained[0] / "model")
    assert not (tmp_path / "reports" / METRICS_FILE).exists()  # that of the first is its own


@pytest.mark.parametrize(
    ("outcome", "severity", "refused"),
    [("FAIL", "error", True), ("FAIL", "warning", False), ("INCONCLUSIVE", "error", False), ("PASS", "error", False)],
)
def test_refuses_after_a_failed_check(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, outcome: Any, severity: Any, refused: bool
) -> None:
    verdict = Verdict(
        rule="text_in_two_splits",
        interval=None,
        limit=None,
        outcome=outcome,
        severity=severity,
        reason="3 texts stand in train and test",
        next_step="drop them",
    )
    write_report(tmp_path / "reports", Report(stage="check", project="tiny", verdicts=[verdict]))
    if refused:
        with pytest.raises(GateFailed, match="text_in_two_splits") as caught:
            run(tiny_base, tiny_prepared, tmp_path, epochs=1)
        assert caught.value.exit_status == 1
        assert not (tmp_path / "model").exists()
    else:
        run(tiny_base, tiny_prepared, tmp_path, epochs=1)


def test_cuts_rows_and_says_how_many(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    report = run(tiny_base, tiny_prepared, tmp_path, epochs=1, max_length_tokens=12)
    assert read_training(tmp_path / "model").max_length_tokens == 12
    shares = {item.subject: item.interval.estimate for item in report.measurements if item.name == "rows_cut_share"}
    assert 0.3 < shares["train"] < 1.0
    assert report.parameters["max_length_tokens"] == {"value": 12, "reason": "set in modelyard.yaml"}


def test_a_length_beyond_the_positions(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_length_tokens is 128: the model has 64 positions"):
        run(tiny_base, tiny_prepared, tmp_path, max_length_tokens=128)


def test_fp16_without_a_gpu_is_refused_before_anything_is_read(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="fp16"):
        run(tiny_base, tmp_path / "missing", tmp_path, precision="fp16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "seq2seq_lm"}, "the prepared data are for seq2seq_lm"),
        ({"labels": ["bad"]}, "at least two"),
        ({"labels": ["bad", "bad"]}, "all different"),
    ],
)
def test_prepared_data_that_do_not_fit(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    prepared = shutil.copytree(tiny_prepared, tmp_path / "prepared")
    content = json.loads((prepared / "dataset.json").read_text()) | changes
    (prepared / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        run(tiny_base, prepared, tmp_path)


def test_a_loss_that_is_no_number_leaves_no_model_and_a_way_on(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that are ruined by step 3, which is saved: its checkpoint is no way on, that of step 2 is."""
    options = {"root": tmp_path, "prepared": tiny_prepared, "output": tmp_path / "model"}
    saved_always = Excerpt(steps=8, every_seconds=0.0)
    whole = train(settings_of(tiny_base), **options, reports=tmp_path / "whole", excerpt=saved_always)
    expected = digest_folder(tmp_path / "model")
    shutil.rmtree(tmp_path / "model")

    options["reports"] = tmp_path / "reports"
    with monkeypatch.context() as patched:
        patched.setattr("modelyard.training.train.fit", ruined_at(3))
        with pytest.raises(NotFinite, match="the loss is nan at step 4") as caught:
            train(settings_of(tiny_base), **options, excerpt=saved_always)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))
    checkpoints = tmp_path / "model.checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step-000000002"]
    next_step = caught.value.problems[0].next_step
    assert f"set a lower train.learning_rate or train.precision: fp32 and remove {checkpoints}" in next_step

    with pytest.raises(InputError, match=f"remove {checkpoints} to begin anew"):
        train(settings_of(tiny_base, learning_rate=1e-4), **options, excerpt=saved_always)
    again = train(settings_of(tiny_base), **options, excerpt=saved_always)  # the machine was at fault
    assert again == whole
    assert digest_folder(tmp_path / "model") == expected
    figures = [json.loads(line) for line in (tmp_path / "reports" / METRICS_FILE).read_text().splitlines()]
    assert [line["resumed_after_step"] for line in figures if "resumed_after_step" in line] == [2]


def ruined_at(step: int) -> Callable[..., Fitted]:
    """The real loop, in which a step leaves a weight that is no number."""

    def ruined(model: PreTrainedModel, *arguments: Any, record: Any, **options: Any) -> Fitted:
        def told(figures: Mapping[str, Any]) -> None:
            record(figures)
            if figures.get("step") == step:
                with torch.no_grad():
                    model.classifier.weight[0, 0] = torch.nan

        return fit(model, *arguments, record=told, **options)

    return ruined


def test_updates_that_are_added_wrongly_fail_the_stage_and_what_follows(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = run(tiny_base, tiny_prepared, tmp_path, epochs=1, lora_rank=2)
    assert outcome_of(right, "lora_merge_parity") == "PASS"
    assert right.parameters["model"] == digest_folder(tmp_path / "model")
    merge = lora.merge

    def wrongly(adapter: Any) -> None:
        merge(adapter)
        with torch.no_grad():
            adapter.model.classifier.weight.mul_(-3.0)

    monkeypatch.setattr(lora, "merge", wrongly)
    wrong = run(tiny_base, tiny_prepared, tmp_path, epochs=1, lora_rank=2)
    assert outcome_of(wrong, "lora_merge_parity") == "FAIL"
    assert exit_status(wrong.verdicts) == 1
    assert wrong.parameters["model"] == digest_folder(tmp_path / "model") != right.parameters["model"]
    with pytest.raises(GateFailed, match="lora_merge_parity"):
        refuse_failed(tmp_path / "reports", ["train"])


def outcome_of(report: Report, rule: str) -> str:
    (found,) = [verdict.outcome for verdict in report.verdicts if verdict.rule == rule]
    return found


def test_a_kill_before_the_report_leaves_none_of_the_model_before(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny_base, tiny_prepared, tmp_path, epochs=1)
    before = digest_folder(tmp_path / "model")

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("modelyard.training.train.save_answers", killed)  # what comes right after the model
        with pytest.raises(KeyboardInterrupt):
            run(tiny_base, tiny_prepared, tmp_path, epochs=1, seed=8)
    assert digest_folder(tmp_path / "model") != before
    assert not (tmp_path / "reports/train.json").exists()


def test_metrics_that_cannot_be_written(tiny_base: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "reports" / METRICS_FILE).mkdir(parents=True)
    with pytest.raises(InputError, match=r"train\.metrics\.jsonl cannot be written"):
        run(tiny_base, tiny_prepared, tmp_path)


def test_a_full_disk_while_training(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.training.train.METRICS_FILE", "/dev/full")
    with pytest.raises(InputError, match="No space left"):
        run(tiny_base, tiny_prepared, tmp_path)


def test_weights_that_cannot_be_written(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(InputError, match=r"model cannot be written: .*No space left.*--output, where it begins anew"):
        run(tiny_base, tiny_prepared, tmp_path, epochs=1)
    assert not list(tmp_path.glob("*model*"))


def test_an_output_that_cannot_be_written_is_found_before_training(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    settings = settings_of(tiny_base)
    with pytest.raises(InputError, match="cannot be written"):
        train(
            settings,
            root=tmp_path,
            prepared=tiny_prepared,
            output=tmp_path / "file/model",
            reports=tmp_path / "reports",
        )
    assert not (tmp_path / "reports" / METRICS_FILE).exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_a_gpu_the_same_bits_twice_and_a_model_that_answers_without_one(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, precision: str
) -> None:
    reports = [run(tiny_base, tiny_prepared, tmp_path / name, precision=precision) for name in ("one", "two")]
    weights = [digest_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two")]
    assert weights[0] == weights[1]
    assert [verdict.outcome for verdict in reports[0].verdicts] == ["PASS"]
    data = read_prepared(tiny_prepared)
    texts = data.split("validation")["text"].to_list()
    engine = open_engine(tmp_path / "one/model", "torch", [])  # on the CPU, whatever trained it
    right = engine.run(encode(load_tokenizer(tiny_base), texts, max_length_tokens=64)).argmax(axis=1)
    engine.close()
    (accuracy,) = [m.interval for m in reports[0].measurements if (m.name, m.scope) == ("accuracy", "overall")]
    assert (right == data.label_indices("validation")).mean() == pytest.approx(accuracy.estimate, abs=1 / 60)


def test_stopped_and_run_again_it_ends_as_if_it_had_not_been(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path
) -> None:
    place = tmp_path / "whole"
    settings = {"precision": "fp32"}  # on a busy machine another may be measured the second time
    whole = run(tiny_base, tiny_prepared, place, **settings)
    told: list[int] = []

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("train, loss"):
            told.append(done)
            if done == total // 2:
                os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    options = {
        "root": tmp_path,
        "prepared": tiny_prepared,
        "output": tmp_path / "model",
        "reports": tmp_path / "reports",
    }
    with pytest.raises(Stopped) as caught:
        train(settings_of(tiny_base, **settings), **options, progress=stop)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert caught.value.exit_status == 143
    assert not (tmp_path / "model").exists()
    with (tmp_path / "reports" / METRICS_FILE).open("a") as torn:
        torn.write('{"step": 99')

    with pytest.raises(InputError, match=r"model\.checkpoints is of another training: epochs was 12, is 11"):
        train(settings_of(tiny_base, **settings, epochs=11), **options)
    again = train(settings_of(tiny_base, **settings), **options)
    assert again == whole
    assert digest_folder(tmp_path / "model") == digest_folder(place / "model")
    assert not (tmp_path / "model.checkpoints").exists()
    lines = [
        [
            {name: value for name, value in line.items() if name not in VARYING}
            for line in map(json.loads, (folder / "reports" / METRICS_FILE).read_text().splitlines())
            if "step" in line
        ]
        for folder in (place, tmp_path)
    ]
    assert lines[0] == lines[1]
