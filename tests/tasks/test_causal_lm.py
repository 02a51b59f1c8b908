"""Rows of a language model: what is learned of a text, of an answer, of a span; pieces; perplexity by hand."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from modelyard.tasks.causal_lm import (
    Learned,
    encode_answers,
    encode_spans,
    encode_texts,
    perplexity,
    pieces,
)
from modelyard.tasks.classification import load_tokenizer

END = 2


@pytest.fixture
def tokenizer(tiny_decoder: Path) -> Tokenizer:
    return load_tokenizer(tiny_decoder)


def learned(tokenizer: Tokenizer, row: Learned) -> str:
    """The text that the model learns to write, special tokens included."""
    return str(tokenizer.decode([t for t, m in zip(row.ids, row.marks, strict=True) if m], skip_special_tokens=False))


def test_of_a_text_all_but_the_first_token_is_learned(tokenizer: Tokenizer) -> None:
    row, ended = encode_texts(tokenizer, ["一段 text。", "done<|im_end|>"], END)
    assert tokenizer.decode(list(row.ids), skip_special_tokens=False) == "一段 text。<|im_end|>"
    assert row.marks == b"\0" + b"\1" * (len(row.ids) - 1)
    assert list(ended.ids).count(END) == 1


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [("2 + 2 =", " 4"), ("问：天是什么颜色？", "蓝色。"), ("a", "b"), ("Say it: ", "fine")],
)
def test_of_an_answer_only_what_follows_the_prompt(tokenizer: Tokenizer, prompt: str, completion: str) -> None:
    (row,) = encode_answers(tokenizer, [prompt], [completion], END)
    assert tokenizer.decode(list(row.ids), skip_special_tokens=False) == f"{prompt}{completion}<|im_end|>"
    assert learned(tokenizer, row) == f"{completion}<|im_end|>"


def test_the_prompt_is_read_as_a_user_will_send_it() -> None:
    """A tokenizer that joins the prompt's last character to the answer's first would learn what nobody asks."""
    vocabulary = {"<end>": 0, "x": 1, "y": 2, "xy": 3, "z": 4}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("x", "y")]))
    assert tokenizer.encode("xyz").ids == [3, 4]
    (row,) = encode_answers(tokenizer, ["x"], ["yz"], 0)
    assert (list(row.ids), row.marks) == ([1, 2, 4, 0], b"\0\1\1\1")


def test_a_prompt_whose_tokens_would_be_others_before_its_answer() -> None:
    """GPT-2's pattern takes two line ends for one token at the end of a text, for two before a word."""
    tokenizer = byte_level(["\n\n"])
    prompt = tokenizer.encode("a\n\n").ids
    assert tokenizer.encode("a\n\nb").ids[: len(prompt)] != prompt
    (row,) = encode_answers(tokenizer, ["a\n\n"], ["b"], 0)
    assert list(row.ids[: len(prompt)]) == prompt
    assert learned(tokenizer, row) == "b<end>"


def byte_level(joined: list[str]) -> Tokenizer:
    """A tokenizer of bytes, of which some are joined, that gives spaces no width."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = {" ": "Ġ", "\n": "Ċ"}
    pairs = [tuple(letters.get(character, character) for character in pair) for pair in joined]
    pieces = ["<end>", *alphabet, *("".join(pair) for pair in pairs)]
    tokenizer = Tokenizer(models.BPE({piece: place for place, piece in enumerate(pieces)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    return tokenizer


def test_spaces_are_learned_whatever_width_the_tokenizer_gives_them() -> None:
    tokenizer = byte_level([])
    (row,) = encode_answers(tokenizer, ["def f():"], ["\n    return 1  "], 0)
    assert learned(tokenizer, row) == "\n    return 1  <end>"
    (row,) = encode_spans(tokenizer, ["ask:  yes  <end>"], [[(4, 16)]])
    assert learned(tokenizer, row) == "  yes  <end>"


def test_a_tokenizer_that_begins_texts_with_a_space_and_with_tokens_of_its_own() -> None:
    """As Llama 2's: `▁` before a text, and `<s>` before and `</s>` behind one where it is asked to."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "a": 4, "b": 5, ".": 6, "\n": 7}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    (text,) = encode_texts(tokenizer, ["a b"], 2)
    assert (list(text.ids), text.marks) == ([1, 3, 4, 3, 5, 2], b"\0" + b"\1" * 5)
    (row,) = encode_answers(tokenizer, ["a"], ["b."], 2)
    assert (list(row.ids), row.marks) == ([1, 3, 4, 5, 6, 2], b"\0\0\0\1\1\1")
    (ended,) = encode_answers(tokenizer, ["a"], ["b</s>"], 2)
    assert list(ended.ids) == [1, 3, 4, 5, 2]
    (chat,) = encode_spans(tokenizer, ["<s>a.b</s>"], [[(5, 10)]])
    assert chat.ids[-2:].tolist() == [5, 2]  # type: ignore[attr-defined]
    assert chat.marks.endswith(b"\0\1\1")


def test_no_token_reaches_across_the_border_of_a_span() -> None:
    tokenizer = byte_level(["ab"])
    (row,) = encode_spans(tokenizer, ["xab"], [[(2, 3)]])
    assert [tokenizer.id_to_token(token) for token in row.ids] == ["x", "a", "b"]
    assert row.marks == b"\0\0\1"


def test_the_first_token_of_all_is_never_learned() -> None:
    (row,) = encode_spans(byte_level([]), ["ab"], [[(0, 2)]])
    assert row.marks == b"\0\1"


def test_pieces_learn_every_token_once() -> None:
    row = Learned(list(range(10)), b"\0" + b"\1" * 9)
    found = list(pieces(row, 4))
    assert [list(piece.ids) for piece in found] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert [token for piece in found for token, mark in zip(piece.ids, piece.marks, strict=True) if mark] == list(
        range(1, 10)
    )
    assert [list(piece.ids) for piece in pieces(row, 100)] == [list(range(10))]


def test_a_piece_without_a_learned_token_is_left_out() -> None:
    row = Learned([1, 2, 3, 4, 5], b"\0\0\0\0\1")
    assert [(list(piece.ids), piece.marks) for piece in pieces(row, 3)] == [([3, 4, 5], b"\0\0\1")]


def test_perplexity_of_a_model_that_guesses_among_eight() -> None:
    tokens = np.array([3.0, 10.0, 7.0])
    interval = perplexity(tokens * np.log(8.0), tokens)
    assert interval.estimate == pytest.approx(8.0)
    assert interval.low == pytest.approx(8.0, abs=1e-6)
    assert interval.unit == "perplexity"


def test_a_loss_beyond_all_numbers_has_a_perplexity() -> None:
    assert np.isfinite(perplexity(np.array([1e6, 1.0]), np.array([1.0, 1.0])).high)
