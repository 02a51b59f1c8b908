"""Rows of the three shapes as a language model learns them, cut, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.prepared import read_prepared
from modelyard.errors import InputError
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.batches import Rows
from modelyard.training.language_rows import cut_language_rows, encode_language_split

PrepareLanguage = Callable[[str, list[dict[str, Any]]], Path]


def turns(*said: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[n % 2], "content": what, "tool_calls": None} for n, what in enumerate(said)]


def learned(base: Path, rows: Rows, place: int) -> str:
    ids = [token for token, mark in zip(rows.ids[place], rows.learned[place], strict=True) if mark]
    return str(load_tokenizer(base).decode(ids, skip_special_tokens=False))


def encoded(base: Path, folder: Path) -> Rows:
    return encode_language_split(load_tokenizer(base), base, read_prepared(folder), "train")


def test_texts(tiny_decoder: Path, prepare_language: PrepareLanguage) -> None:
    rows = encoded(tiny_decoder, prepare_language("text", [{"text": f"the film 好 {n}"} for n in range(6)]))
    assert learned(tiny_decoder, rows, 1) == " film 好 1<|im_end|>"  # `the` is a token
    assert rows.sources == [f"rows.jsonl:{n}" for n in (1, 2, 3, 4)]


def test_answers(tiny_decoder: Path, prepare_language: PrepareLanguage) -> None:
    rows = [{"prompt": f"count {n}:", "completion": f" {n + 1}"} for n in range(6)]
    assert (
        learned(tiny_decoder, encoded(tiny_decoder, prepare_language("prompt_completion", rows)), 2) == " 3<|im_end|>"
    )


def test_conversations(tiny_decoder: Path, prepare_language: PrepareLanguage) -> None:
    rows = [{"messages": turns("hi", f"hello {n}", "bye", "再见")} for n in range(5)] + [{"messages": turns("alone")}]
    found = encoded(tiny_decoder, prepare_language("messages", rows))
    assert learned(tiny_decoder, found, 0) == "hello 0<|im_end|>再见<|im_end|>"


def test_long_texts_lose_nothing(tiny_decoder: Path, prepare_language: PrepareLanguage) -> None:
    folder = prepare_language("text", [{"text": "quite a story " * n} for n in range(1, 13)])
    tokenizer, data = load_tokenizer(tiny_decoder), read_prepared(folder)
    rows = encode_language_split(tokenizer, tiny_decoder, data, "train")
    cut, (left_out,) = cut_language_rows(rows, data, "train", 8)
    assert max(cut.lengths) == 8
    assert cut.weights.sum() == rows.weights.sum()
    assert len(cut.ids) > len(rows.ids)
    assert set(cut.sources) == set(rows.sources)
    assert left_out.interval.estimate == 0.0


def test_answers_are_cut_and_prompts_that_fill_a_row_left_out(
    tiny_decoder: Path, prepare_language: PrepareLanguage
) -> None:
    prompts = ["x" * 3, "x" * 30, "x" * 3, "x" * 3, "x", "x"]
    rows = [{"prompt": prompt, "completion": "y" * (2 + 8 * (n == 2))} for n, prompt in enumerate(prompts)]
    tokenizer, data = load_tokenizer(tiny_decoder), read_prepared(prepare_language("prompt_completion", rows))
    found = encode_language_split(tokenizer, tiny_decoder, data, "train")
    cut, (shortened, left_out) = cut_language_rows(found, data, "train", 8)
    assert (shortened.interval.estimate, left_out.interval.estimate) == (0.25, 0.25)  # of four rows
    assert cut.sources == ["rows.jsonl:1", "rows.jsonl:3", "rows.jsonl:4"]
    assert all(1 in marks for marks in cut.learned)


def test_nothing_left_to_learn(tiny_decoder: Path, prepare_language: PrepareLanguage) -> None:
    rows = [{"prompt": "x" * 30, "completion": "y"} for _ in range(6)]
    tokenizer, data = load_tokenizer(tiny_decoder), read_prepared(prepare_language("prompt_completion", rows))
    found = encode_language_split(tokenizer, tiny_decoder, data, "train")
    with pytest.raises(InputError, match="no train row has a token to learn within 8"):
        cut_language_rows(found, data, "train", 8)


def test_a_model_without_a_chat_template(tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_decoder, tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="has no chat template"):
        encoded(base, prepare_language("messages", [{"messages": turns("hi", "hello")}] * 6))


def test_every_conversation_that_the_template_refuses_is_named(
    tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_decoder, tmp_path / "base")
    (base / "chat_template.jinja").write_text(
        "{% if messages[0].content == 'no' %}{{ raise_exception('it says no') }}{% endif %}"
        + (base / "chat_template.jinja").read_text()
    )
    rows = [{"messages": turns("no" if n in (1, 3) else "hi", "hello")} for n in range(6)]
    with pytest.raises(InputError) as caught:
        encoded(base, prepare_language("messages", rows))
    assert [problem.where for problem in caught.value.problems] == ["rows.jsonl:2", "rows.jsonl:4"]
    assert "it says no" in caught.value.problems[0].message


def test_a_tokenizer_that_ends_no_text(tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_decoder, tmp_path / "base")
    for name in ("tokenizer_config.json", "generation_config.json"):
        (base / name).unlink()
    (base / "config.json").write_text("{}")
    with pytest.raises(InputError, match="names no token that ends a text"):
        encoded(base, prepare_language("text", [{"text": "a story"}] * 6))


def test_a_row_without_a_text(tiny_decoder: Path, prepare_language: PrepareLanguage) -> None:
    rows = [{"prompt": "a", "completion": None if n == 1 else "b"} for n in range(6)]
    with pytest.raises(InputError, match="a train row has no completion") as caught:
        encoded(tiny_decoder, prepare_language("prompt_completion", rows))
    assert caught.value.problems[0].where == "rows.jsonl:2"
