"""A fresh copy of the tiny encoder with a head, and the rows of the tiny data set as token ids."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedModel

from modelyard.artifacts.prepared import read_prepared
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.base import load_with_new_head
from modelyard.training.batches import Rows
from modelyard.training.rows import encode_split
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
