import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.artifacts.files import write_json
from modelyard.artifacts.model import Training
from modelyard.artifacts.prepared import read_prepared
from modelyard.compression.inputs import encode_rows, index_labels, read_trained
from modelyard.errors import InputError


@pytest.fixture
def folder(tiny_classifier: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_classifier, tmp_path / "model"))


def _configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_foreign_model_says_it_in_its_config(folder: Path) -> None:
    trained = read_trained(folder)
    assert trained.labels == ["bad", "good"]
    assert trained.max_length_tokens == 64  # max_position_embeddings of the fixture
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 12}')
    assert read_trained(folder).max_length_tokens == 12
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    _configure(folder, max_position_embeddings=None)
    assert read_trained(folder).max_length_tokens == 512


def test_our_own_says_it_in_training_json(folder: Path) -> None:
    training = Training(
        task="classification",
        labels=["x", "y"],
        base="",
        prepared="",
        max_length_tokens=9,
        settings={},
        history=[],
        best_step=1,
    )
    write_json(folder / "training.json", training)
    trained = read_trained(folder)
    assert (trained.labels, trained.max_length_tokens) == (["x", "y"], 9)
    rows = encode_rows(trained, pl.DataFrame({"text": ["good " * 50, "bad"]}))
    assert [len(row) for row in rows] == [9, 3]


@pytest.mark.parametrize("names", [None, {}, {"0": "a"}, {"0": "a", "2": "b"}, ["a", "b"]])
def test_labels_must_be_named(folder: Path, names: Any) -> None:
    _configure(folder, id2label=names)
    with pytest.raises(InputError, match="label"):
        read_trained(folder)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_broken_config_is_named(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        read_trained(folder)


def test_labels_that_the_model_does_not_know(folder: Path, tiny_prepared: Path) -> None:
    prepared = read_prepared(tiny_prepared)
    expected = [int(label == "good") for label in prepared.split("test")["label"]]
    assert index_labels(read_trained(folder), prepared, "test").tolist() == expected
    _configure(folder, id2label={"0": "good", "1": "ugly"})
    with pytest.raises(InputError, match=r"the test rows have the labels 'bad', the model knows 'good', 'ugly'"):
        index_labels(read_trained(folder), prepared, "test")
