"""Special tokens as a model folder names them, in all the ways that there are."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from modelyard.errors import InputError
from modelyard.tasks.special_tokens import read_settings, special_tokens, token_id


@pytest.fixture
def tokenizer(tiny_base: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_base / "tokenizer.json"))


def write(folder: Path, name: str, **settings: Any) -> None:
    (folder / name).write_text(json.dumps(settings))


def test_a_string_and_an_object_name_a_token(tmp_path: Path, tokenizer: Tokenizer) -> None:
    pad = {"content": "[PAD]", "lstrip": False}
    write(tmp_path, "tokenizer_config.json", eos_token="[SEP]", pad_token=pad, bos_token=None, x="y")
    assert special_tokens(tmp_path, tokenizer) == {"eos_token": "[SEP]", "pad_token": "[PAD]"}


def test_older_files_and_ids_are_asked_where_the_settings_are_silent(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write(tmp_path, "config.json", eos_token_id=1, bos_token_id=2, pad_token_id=-1, unk_token_id=10**6)
    assert special_tokens(tmp_path, tokenizer) == {"eos_token": "[UNK]", "bos_token": "[CLS]"}
    write(tmp_path, "generation_config.json", eos_token_id=[3, 1])
    assert special_tokens(tmp_path, tokenizer)["eos_token"] == "[SEP]"
    write(tmp_path, "special_tokens_map.json", eos_token="[PAD]")
    assert special_tokens(tmp_path, tokenizer)["eos_token"] == "[PAD]"
    write(tmp_path, "tokenizer_config.json", eos_token="[CLS]")
    assert special_tokens(tmp_path, tokenizer)["eos_token"] == "[CLS]"


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000])
def test_settings_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(InputError, match=r"tokenizer_config\.json is not settings"):
        read_settings(tmp_path, "tokenizer_config.json")


def test_an_id_is_none_where_nobody_names_it_or_the_tokenizer_lacks_it(tmp_path: Path, tokenizer: Tokenizer) -> None:
    assert token_id(tmp_path, tokenizer, "sep_token") is None
    write(tmp_path, "tokenizer_config.json", sep_token="[SEP]", eos_token="<nowhere>")
    assert token_id(tmp_path, tokenizer, "sep_token") == 3
    assert token_id(tmp_path, tokenizer, "eos_token") is None
