"""Encoding, loss and metric of classification against transformers, SciPy and hand calculations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from transformers import PreTrainedTokenizerFast

from modelyard.errors import InputError
from modelyard.tasks.classification import correct, decode, encode, load_tokenizer, losses

LOGITS = np.array([[1.0, 3.0, 2.0], [0.5, 0.5, -1.0], [1000.0, 0.0, -1000.0]], dtype=np.float32)


def test_encodes_as_transformers_does_and_keeps_the_special_tokens_when_cut(tiny_base: Path) -> None:
    texts = ["the film was good", "这 部 电 影 很 棒", "", "a " * 50]
    reference = PreTrainedTokenizerFast.from_pretrained(tiny_base, local_files_only=True)
    expected = reference(texts, truncation=True, max_length=9)["input_ids"]
    found = encode(load_tokenizer(tiny_base), texts, max_length_tokens=9)
    assert found == expected
    assert [len(row) for row in found] == [6, 8, 2, 9]
    assert {(row[0], row[-1]) for row in found} == {(2, 3)}


def test_losses_are_the_cross_entropy_of_each_row() -> None:
    labels = np.array([2, 0, 0])
    expected = -log_softmax(LOGITS.astype(np.float64), axis=1)[np.arange(3), labels]
    np.testing.assert_allclose(losses(torch.from_numpy(LOGITS), torch.from_numpy(labels)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_losses_are_in_float32_at_least(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert losses(torch.zeros(2, 2, dtype=dtype), torch.tensor([0, 1])).dtype == expected


def test_correct_takes_the_first_of_equal_logits_as_decode_does() -> None:
    labels = np.array([1, 0, 1])
    assert correct(LOGITS, labels).tolist() == [True, True, False]
    answers = [prediction.label for prediction in decode(LOGITS, ["a", "b", "c"])]
    assert answers == ["b", "a", "a"]


def test_decode_gives_probabilities_by_name() -> None:
    first = decode(LOGITS, ["a", "b", "c"])[0]
    assert list(first.probabilities.values()) == pytest.approx(softmax(LOGITS[0].astype(np.float64)))
    assert first.logits == [1.0, 3.0, 2.0]
    assert sum(decode(LOGITS, ["a", "b", "c"])[2].probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", "{", '{"version":"1.0"}', "[]", '{"version":"1.0","model":{"type":"None"}}'])
def test_a_tokenizer_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)


def test_a_missing_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)
