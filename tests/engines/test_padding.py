from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.engines.padding import check_inputs, pad, read_pad_id, read_positions
from modelyard.errors import InputError


def test_pads_to_the_longest_of_the_batch() -> None:
    arrays = pad([[2, 5, 3], [2, 3]], pad_id=7)
    np.testing.assert_array_equal(arrays["input_ids"], [[2, 5, 3], [2, 3, 7]])
    np.testing.assert_array_equal(arrays["attention_mask"], [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(arrays["token_type_ids"], [[0, 0, 0], [0, 0, 0]])
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int64)}


def test_pads_to_a_length_that_is_asked_for() -> None:
    arrays = pad([[2, 3], [4]], pad_id=7, length=4)
    np.testing.assert_array_equal(arrays["input_ids"], [[2, 3, 7, 7], [4, 7, 7, 7]])
    np.testing.assert_array_equal(arrays["attention_mask"], [[1, 1, 0, 0], [1, 0, 0, 0]])
    assert arrays["token_type_ids"].shape == (2, 4)


@pytest.mark.parametrize("rows", [[], [[1], []]])
def test_refuses_a_batch_without_tokens(rows: Any) -> None:
    with pytest.raises(ValueError, match="at least one"):
        pad(rows, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"pad_token_id": 1}', 1), ('{"pad_token_id": null}', 0), ('{"pad_token_id": -1}', 0), ("{}", 0)],
)
def test_pad_id_comes_from_the_config(tmp_path: Path, text: str, expected: Any) -> None:
    (tmp_path / "config.json").write_text(text)
    assert read_pad_id(tmp_path) == expected
    assert read_positions(tmp_path) == 0
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    assert read_positions(tmp_path) == 512


@pytest.mark.parametrize("text", ["[1]", "{", '{"pad_token_id": [3]}', '{"pad_token_id": Infinity}', "[" * 100_000])
def test_a_broken_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json is not a model's config"):
        read_pad_id(tmp_path)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        read_pad_id(tmp_path)


def test_only_a_text_models_inputs_are_read(tmp_path: Path) -> None:
    check_inputs(["attention_mask", "input_ids"], tmp_path)
    for names in (["input_ids", "pixels"], ["attention_mask"], []):
        with pytest.raises(InputError, match="the model's inputs are"):
            check_inputs(names, tmp_path)
