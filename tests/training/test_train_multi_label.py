"""`train` of classifiers whose rows may have several labels, from prepared rows to a model and its report."""

import json
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TextClassificationPipeline

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.model import check_model_folder, read_classifier, read_training
from modelyard.artifacts.prepared import Prepared, read_prepared
from modelyard.compression.inputs import read_trained
from modelyard.engines.opening import open_engine
from modelyard.errors import InputError, Stopped
from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.reporting.words import chinese_of, has
from modelyard.tasks.classification import encode, load_tokenizer
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier, several_labels_figures
from modelyard.training.kinds import MULTI_LABEL
from modelyard.training.rows import encode_split
from modelyard.training.train import train

PrepareLabels = Callable[[list[dict[str, Any]], list[str]], Path]
LABELS = ["bad", "好", "phone"]
WORDS = {"bad": "awful", "好": "好", "phone": "phone"}


def make_rows(count: int) -> list[dict[str, Any]]:
    """Every set of the three labels in turn, each label said by a word of its own, three times."""
    rows = []
    for number in range(count):
        labels = [label for place, label in enumerate(LABELS) if number >> place & 1]
        text = " ".join(["the", *(WORDS[label] for label in labels for _ in range(3)), *str(number)])
        rows.append({"text": text, "labels": labels, "site": "ab"[number % 5 > 2]})
    return rows


def run(base: Path, prepared: Path, place: Path, *, progress: Any = None, **section: Any) -> Report:
    settings = parse_settings(
        json.dumps(
            {
                "schema": 1,
                "project": "tiny",
                "task": "multi_label_classification",
                "data": {"train": "rows.jsonl"},
                "model": {"base": str(base)},
                "train": {"learning_rate": 0.005, "epochs": 12, "precision": "fp32"} | section,
            }
        )
    )
    options = {} if progress is None else {"progress": progress}
    return train(settings, root=place, prepared=prepared, output=place / "model", reports=place / "reports", **options)


def answers(model: Path, data: Prepared) -> np.ndarray[Any, Any]:
    texts = data.split("validation")["text"].to_list()
    rows = encode(load_tokenizer(model), texts, max_length_tokens=64)
    engine = open_engine(model, "torch", [])
    logits = engine.run(rows)
    engine.close()
    return logits


def test_labels_are_learned_and_measured(tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path) -> None:
    prepared = prepare_labels(make_rows(240), LABELS)
    report = run(tiny_base, prepared, tmp_path, epochs=30)
    (verdict,) = report.verdicts
    assert (verdict.rule, verdict.outcome) == ("better_than_shares", "PASS")
    data = read_prepared(prepared)
    truth = np.array([[label in row for label in LABELS] for row in data.split("validation")["labels"].to_list()])
    given = answers(tmp_path / "model", data) > 0
    found = {(item.name, item.scope): item.interval for item in report.measurements}
    assert found["exact_match", "overall"].estimate == (truth == given).all(axis=1).mean() > 0.4  # a guess: 1 of 8
    right, wrong = (truth & given).sum(axis=0), (truth ^ given).sum(axis=0)
    by_label = 2 * right / (2 * right + wrong)
    assert [found["f1", f"class:{label}"].estimate for label in LABELS] == pytest.approx(by_label.tolist())
    assert found["macro_f1", "overall"].estimate == pytest.approx(by_label.mean())
    assert found["micro_f1", "overall"].estimate == pytest.approx(2 * right.sum() / (2 * right + wrong).sum())
    slices = {"overall", "slice:site=a", "slice:site=b"}
    assert all({scope for name, scope in found if name == one} == slices for one in ("exact_match", "micro_f1"))
    training = read_training(tmp_path / "model")
    best = next(entry for entry in training.history if entry["step"] == training.best_step)
    assert best["validation_exact_match"] == found["exact_match", "overall"].estimate
    assert best["validation_macro_f1"] == pytest.approx(by_label.mean())
    assert report.notes[0].startswith("exact match on validation") and "; macro-F1" in report.notes[0]
    assert chinese_of(report.notes[0]) and chinese_of(verdict.next_step or "set in modelyard.yaml")
    assert has(f"rule.{verdict.rule}")


def test_transformers_reads_it_as_what_it_is(tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path) -> None:
    prepared = prepare_labels(make_rows(60), LABELS)
    run(tiny_base, prepared, tmp_path, epochs=2)
    check_model_folder(tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", local_files_only=True)
    assert model.config.problem_type == "multi_label_classification"
    pipeline = TextClassificationPipeline(
        model=model, tokenizer=AutoTokenizer.from_pretrained(tmp_path / "model"), top_k=None, device="cpu"
    )
    data = read_prepared(prepared)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = pipeline(data.split("validation")["text"].to_list()[:4])
    chances = 1 / (1 + np.exp(-answers(tmp_path / "model", data)[:4]))
    found = [[{one["label"]: one["score"] for one in row}[label] for label in LABELS] for row in said]
    np.testing.assert_allclose(found, chances, atol=1e-5)
    with torch.inference_mode():
        rows = encode_split(load_tokenizer(tiny_base), data, "validation", several=True)
        mine = MULTI_LABEL.objective(model, rows).read(rows, [0])(model.eval())
        theirs = model(
            input_ids=torch.tensor([list(rows.ids[0])]), labels=torch.tensor(rows.labels[:1], dtype=torch.float32)
        )
    torch.testing.assert_close(mine[0], theirs.loss)


def test_stopped_and_run_again_it_ends_with_the_same_bytes(
    tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path
) -> None:
    prepared = prepare_labels(make_rows(80), LABELS)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    report = run(tiny_base, prepared, whole, epochs=4)

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("train,") and done == total // 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        run(tiny_base, prepared, stopped, epochs=4, progress=stop)
    assert run(tiny_base, prepared, stopped, epochs=4) == report
    assert digest_folder(whole / "model") == digest_folder(stopped / "model")


def test_with_lora(tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path) -> None:
    report = run(tiny_base, prepare_labels(make_rows(160), LABELS), tmp_path, lora_rank=4, learning_rate=0.02)
    assert {verdict.rule: verdict.outcome for verdict in report.verdicts} == {
        "better_than_shares": "PASS",
        "lora_merge_parity": "PASS",
    }


def test_one_label_is_enough_and_one_that_validation_lacks_is_told(
    tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path
) -> None:
    rows = make_rows(80)
    for number, row in enumerate(rows):
        row["labels"] = [label for label in row["labels"] if label == "好"]
        if number < 4:  # in train alone
            row["labels"] = [*row["labels"], "seldom"]
    report = run(tiny_base, prepare_labels(rows, ["seldom", "好"]), tmp_path / "two", epochs=6)
    assert {item.scope for item in report.measurements if item.name == "f1"} == {"class:好"}
    assert "over 1 of the 2 labels: no row has the others or is given them" in report.notes[0]
    for row in rows:
        row["labels"] = [label for label in row["labels"] if label == "好"]
    (tmp_path / "prepared").rename(tmp_path / "prepared-two")
    report = run(tiny_base, prepare_labels(rows, ["好"]), tmp_path / "one", epochs=2)
    assert report.verdicts[0].rule == "better_than_shares"
    assert read_training(tmp_path / "one/model").labels == ["好"]


def test_rows_without_any_label_have_no_f1(tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path) -> None:
    rows = [{"text": f"the story {n}", "labels": ["a"] if n < 2 else [], "site": None} for n in range(40)]
    report = run(tiny_base, prepare_labels(rows, ["a"]), tmp_path, epochs=2)
    assert {item.name for item in report.measurements if "f1" in item.name} == set()
    assert report.notes[0].endswith("; no F1: no row has a label or is given one")
    assert chinese_of(report.notes[0])
    assert "validation_macro_f1" not in read_training(tmp_path / "model").history[0]


def test_marks_of_rows(tiny_base: Path, prepare_labels: PrepareLabels) -> None:
    texts = [{"text": f"the story {n}", "site": None} for n in range(10)]
    labels: list[list[str]] = [["b", "a"], [], ["b", "b"], ["a"], [], []]
    rows = [{**text, "labels": labels[n] if n < 6 else []} for n, text in enumerate(texts)]
    data = read_prepared(prepare_labels(rows, ["a", "b"]))
    found = encode_split(load_tokenizer(tiny_base), data, "train", several=True)
    assert found.labels.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0], [0, 0], [0, 0]]
    assert found.weights.tolist() == [1] * 6
    objective = Classifier(0, figures=several_labels_figures)
    assert objective.figures(np.full((6, 2), -1.0, np.float32), found.labels) == {
        "validation_exact_match": 0.5,
        "validation_macro_f1": 0.0,
    }


@pytest.mark.parametrize(("labels", "shown"), [(["好", "坏，糟"], "'坏，糟'"), (None, "None"), ([None], "None")])
def test_labels_that_the_data_set_does_not_name(
    tiny_base: Path, prepare_labels: PrepareLabels, labels: Any, shown: str
) -> None:
    rows = make_rows(20)
    rows[3]["labels"] = labels
    data = read_prepared(prepare_labels(rows, LABELS))
    with pytest.raises(InputError) as caught:
        encode_split(load_tokenizer(tiny_base), data, "train", several=True)
    (problem,) = caught.value.problems
    assert problem.where == "rows.jsonl:4"
    assert problem.message == f"the label {shown} of a train row is not one of the 3 in dataset.json"


def test_a_column_of_texts_is_no_column_of_lists(
    tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path
) -> None:
    data = read_prepared(prepare_labels(make_rows(20), LABELS))
    data.split("train").with_columns(labels=pl.lit("bad, 好")).write_parquet(data.folder / "train.parquet")
    with pytest.raises(InputError, match="the label 'bad, 好' of a train row is not one of the 3"):
        encode_split(load_tokenizer(tiny_base), data, "train", several=True)


@pytest.mark.parametrize(("labels", "message"), [([], "at least one"), (["好", "好"], "at least one, all different")])
def test_labels_that_are_none(
    tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path, labels: list[str], message: str
) -> None:
    rows = [row | {"labels": []} for row in make_rows(20)]
    with pytest.raises(InputError, match=message):
        run(tiny_base, prepare_labels(rows, labels), tmp_path)


def test_what_comes_after_says_that_it_takes_one_label_a_row(
    tiny_base: Path, prepare_labels: PrepareLabels, tmp_path: Path
) -> None:
    run(tiny_base, prepare_labels(make_rows(40), LABELS), tmp_path, epochs=1)
    for read in (read_classifier, read_trained):
        with pytest.raises(InputError, match="trained for multi_label_classification: this version compresses") as said:
            read(tmp_path / "model")
        assert "language" not in said.value.problems[0].next_step
    (tmp_path / "model/training.json").unlink()  # a folder of transformers alone
    with pytest.raises(InputError, match="several labels"):
        read_trained(tmp_path / "model")


def test_rows_of_several_labels_cut_keep_them(tiny_base: Path, prepare_labels: PrepareLabels) -> None:
    data, tokenizer = read_prepared(prepare_labels(make_rows(40), LABELS)), load_tokenizer(tiny_base)
    rows = encode_split(tokenizer, data, "train", several=True)
    cut, _ = MULTI_LABEL.cut(tokenizer, rows, data, "train", 4)
    assert isinstance(cut, Rows) and max(cut.lengths) == 4
    assert cut.labels is rows.labels
