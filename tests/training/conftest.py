"""Fresh copies of the tiny encoder with a head and of the tiny decoder, and rows of tiny data sets."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from transformers import PreTrainedModel

from modelyard.artifacts.files import digest_file, write_json
from modelyard.artifacts.prepared import MARK, Dataset, read_prepared
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.base import load_causal, load_with_new_head
from modelyard.training.batches import Rows
from modelyard.training.checkpoint import save
from modelyard.training.checkpoint_state import About, Course
from modelyard.training.classifier import Classifier
from modelyard.training.derive import Derived
from modelyard.training.rows import encode_split
from modelyard.training.step import Learner, make_learner
from modelyard.training.surroundings import quiet_transformers


@pytest.fixture
def make_model(tiny_base: Path) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        with quiet_transformers():
            return load_with_new_head(tiny_base, ["bad", "good"], seed=1)

    return make


@pytest.fixture(scope="session")
def train_rows(tiny_base: Path, tiny_prepared: Path) -> Rows:
    return encode_split(load_tokenizer(tiny_base), read_prepared(tiny_prepared), "train")


@pytest.fixture(scope="session")
def validation_rows(tiny_base: Path, tiny_prepared: Path) -> Rows:
    return encode_split(load_tokenizer(tiny_base), read_prepared(tiny_prepared), "validation")


@pytest.fixture
def make_language_model(tiny_decoder: Path) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        with quiet_transformers():
            return load_causal(tiny_decoder)

    return make


PrepareLabels = Callable[[Sequence[dict[str, Any]], Sequence[str]], Path]


@pytest.fixture
def prepare_labels(tmp_path: Path) -> PrepareLabels:
    """A `prepared/` folder of rows with a list of `labels`: six tenths train, two tenths each of the others."""

    def prepare(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> Path:
        folder = tmp_path / "prepared"
        folder.mkdir()
        numbered = [{"id": str(n), "source": f"rows.jsonl:{n}", **row} for n, row in enumerate(rows, 1)]
        first, second = len(rows) * 6 // 10, len(rows) * 8 // 10
        parts = {"train": numbered[:first], "validation": numbered[first:second], "test": numbered[second:]}
        for name, part in parts.items():
            pl.DataFrame(part, schema_overrides={"labels": pl.List(pl.String)}).write_parquet(
                folder / f"{name}.parquet"
            )
        dataset = Dataset(
            task="multi_label_classification",
            shape="text_labels",
            labels=list(labels),
            counts={name: len(part) for name, part in parts.items()},
            digests={name: digest_file(folder / f"{name}.parquet") for name in parts},
            slices=["site"],
            seed=7,
            sources=[],
        )
        write_json(folder / MARK, dataset)
        return folder

    return prepare


PrepareLanguage = Callable[..., Path]


@pytest.fixture
def prepare_language(tmp_path: Path) -> PrepareLanguage:
    """A `prepared/` folder of a shape that language models learn from: two thirds train, a sixth each of the others."""

    def prepare(shape: str, rows: Sequence[dict[str, Any]], task: str = "causal_lm") -> Path:
        folder = tmp_path / f"prepared-{shape}"
        folder.mkdir()
        numbered = [
            {"id": str(n), "source": f"rows.jsonl:{n}", **row, "site": "ab"[n % 2]} for n, row in enumerate(rows, 1)
        ]
        first, second = len(rows) * 4 // 6, len(rows) * 5 // 6
        parts = {"train": numbered[:first], "validation": numbered[first:second], "test": numbered[second:]}
        for name, part in parts.items():
            pl.DataFrame(part, infer_schema_length=None).write_parquet(folder / f"{name}.parquet")
        dataset = Dataset(
            task=task,
            shape=shape,
            labels=[],
            counts={name: len(part) for name, part in parts.items()},
            digests={name: digest_file(folder / f"{name}.parquet") for name in parts},
            slices=["site"],
            seed=7,
            sources=[],
        )
        write_json(folder / MARK, dataset)
        return folder

    return prepare


@pytest.fixture
def learner(make_model: Callable[[], PreTrainedModel]) -> Learner:
    return make_learner(make_model().train(), Classifier(0), precision="fp32")


@pytest.fixture
def facts() -> dict[str, Any]:
    """Of the training whose checkpoints `write` writes."""
    return {"seed": 3, "learning_rate": 1e-3, "labels": ["bad", "good"]}


@pytest.fixture
def about(facts: dict[str, Any]) -> About:
    return About(facts, "fp32", "set", Derived(8_192, "default"))


@pytest.fixture
def write(about: About) -> Callable[..., None]:
    """A checkpoint of a learner after a step."""

    def write(folder: Path, learner: Learner, step: int, *, after: int | None = None, **fields: Any) -> None:
        after = step - 1 if after is None else after
        course = Course(step=step, loss_sum=0.1 + step, weight_seen=4, updated=True, **fields)
        save(folder, learner, course, about, after=after, trained_seconds=7.5, restarts=2)

    return write
