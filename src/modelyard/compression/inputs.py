"""What `compress` reads: the trained model's folder and the prepared rows, encoded as in training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from modelyard.artifacts.documents import read_object
from modelyard.artifacts.model import MARK, check_model_folder, read_classifier
from modelyard.artifacts.prepared import Prepared, Split
from modelyard.engines.base import Row
from modelyard.errors import InputError, Problem
from modelyard.tasks.classification import encode, load_tokenizer
from modelyard.tasks.special_tokens import read_settings

LONGEST_TOKENS = 512  # for a model that names no length: what its encoder was most likely trained with
_SANE_LENGTH = 1_000_000  # transformers writes 1e30 for "no limit"


@dataclass(frozen=True)
class Trained:
    """A trained classifier's folder.

    Attributes:
        folder: the Hugging Face folder.
        labels: names in the order of its outputs.
        max_length_tokens: rows are cut to this many tokens.
        tokenizer: without padding or truncation.
    """

    folder: Path
    labels: list[str]
    max_length_tokens: int
    tokenizer: Tokenizer


def read_trained(folder: Path) -> Trained:
    """Open a model that `modelyard train` wrote, or any Hugging Face sequence classifier.

    The second kind has no `training.json`: labels are `id2label` of its config, and its length is the least that
    config and tokenizer allow, 512 where neither says.

    Raises:
        InputError: the folder is not safe to load or says too little.
    """
    check_model_folder(folder)
    if (folder / MARK).is_file():
        training = read_classifier(folder)
        labels, length = training.labels, training.max_length_tokens
    else:
        config = read_object(folder / "config.json", next_step="copy the model's folder again")
        _refuse_several_labels(config, folder)
        labels, length = _config_labels(config, folder), _config_length(config, folder)
    if len(labels) < 2:
        raise InputError(
            Problem(
                f"the model has {len(labels)} labels, a classifier has 2 or more", "train a classifier", str(folder)
            )
        )
    return Trained(folder, labels, length, load_tokenizer(folder))


def encode_rows(trained: Trained, frame: pl.DataFrame) -> list[Row]:
    """Token ids of a frame's texts, in its order."""
    return list(encode(trained.tokenizer, frame["text"].to_list(), max_length_tokens=trained.max_length_tokens))


def index_labels(trained: Trained, prepared: Prepared, split: Split) -> NDArray[np.int64]:
    """True label of each row as its index in the model's labels, shape (rows,).

    Raises:
        InputError: the rows have labels that the model does not know.
    """
    index = {label: position for position, label in enumerate(trained.labels)}
    names = prepared.split(split)["label"].to_list()
    unknown = sorted(set(names) - index.keys())
    if unknown:
        shown = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
        raise InputError(
            Problem(
                f"the {split} rows have the labels {shown}, the model knows {', '.join(map(repr, trained.labels))}",
                "train the model on this data, or name data with the model's labels",
                str(prepared.folder / f"{split}.parquet"),
            )
        )
    return np.array([index[name] for name in names], dtype=np.int64)


def _refuse_several_labels(config: dict[str, object], folder: Path) -> None:
    """Refuse a model whose labels are each given or not: its largest logit is not its answer."""
    if config.get("problem_type") == "multi_label_classification":
        message = "the model may give a row several labels (problem_type in config.json): one label is judged here"
        raise InputError(Problem(message, "name a classifier of one label a row", str(folder / "config.json")))


def _config_labels(config: dict[str, object], folder: Path) -> list[str]:
    names = config.get("id2label")
    if not isinstance(names, dict) or sorted(names) != sorted(map(str, range(len(names)))):
        raise InputError(
            Problem(
                "config.json names no labels: `id2label` must name the outputs 0, 1, …",
                'add "id2label": {"0": "NAME", "1": "NAME"} to it',
                str(folder / "config.json"),
            )
        )
    return [str(names[str(position)]) for position in range(len(names))]


def _config_length(config: dict[str, object], folder: Path) -> int:
    settings = read_settings(folder, "tokenizer_config.json")
    stated = [config.get("max_position_embeddings"), settings.get("model_max_length")]
    lengths = [value for value in stated if isinstance(value, int) and 8 <= value < _SANE_LENGTH]
    return min(lengths, default=LONGEST_TOKENS)
