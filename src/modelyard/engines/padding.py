"""From the rows of one batch to the arrays that a model reads."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.artifacts.files import read_json_text
from modelyard.engines.base import Row
from modelyard.errors import InputError, Problem

INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
_NEXT = "copy the model's config.json into the folder"


def pad(rows: Sequence[Row], pad_id: int, length: int | None = None) -> dict[str, NDArray[np.int64]]:
    """Pad the rows of a batch on the right.

    Args:
        rows: at least one row of token ids.
        pad_id: token id that fills the rest.
        length: tokens of each row then, at least as many as the longest has; None for just as many.

    Returns:
        `input_ids`, `attention_mask` (1 on tokens, 0 on padding) and `token_type_ids` (zeros: one text per row), each
        of shape (rows, length).

    Raises:
        ValueError: no rows, or a row without a token: a caller's mistake, `encode` makes neither.
    """
    lengths = [len(row) for row in rows]
    if not lengths or min(lengths) == 0:
        raise ValueError(f"a batch has at least one row and a row at least one token, got lengths {lengths}")
    shape = (len(lengths), max(lengths) if length is None else length)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    for index, row in enumerate(rows):
        input_ids[index, : lengths[index]] = row
    attention_mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }


def read_pad_id(folder: Path) -> int:
    """The padding token of a model folder, from its `config.json`; 0 where it names none.

    Raises:
        InputError: the config is missing or is not one.
    """
    return _read_number(folder, "pad_token_id")


def read_positions(folder: Path) -> int:
    """How many tokens the model of a folder has places for, from its `config.json`; 0 where it names no limit.

    Raises:
        InputError: the config is missing or is not one.
    """
    return _read_number(folder, "max_position_embeddings")


def _read_number(folder: Path, key: str) -> int:
    path = folder / "config.json"
    try:
        config = json.loads(read_json_text(path, next_step=_NEXT))
        return max(0, int(config.get(key) or 0))  # some say -1 for none
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(Problem(f"config.json is not a model's config: {error}", _NEXT, str(path))) from error


def check_inputs(names: Sequence[str], path: Path) -> None:
    """Refuse a model that asks for something other than token ids, mask and token types.

    Raises:
        InputError: it names the inputs that are not known here.
    """
    strange = sorted(set(names) - set(INPUT_NAMES))
    if strange or "input_ids" not in names:
        raise InputError(
            Problem(
                f"the model's inputs are {', '.join(names)}: a text classifier reads {', '.join(INPUT_NAMES)}",
                "name the folder of an encoder for text classification",
                str(path),
            )
        )
