"""The special tokens of a model folder: where its tokenizer's settings name them, else by their id in its config."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from modelyard.artifacts.documents import read_object

FILE = "tokenizer_config.json"
_OLD_FILE = "special_tokens_map.json"
_CONFIGS = ("generation_config.json", "config.json")
_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token")


def read_settings(folder: Path, name: str) -> dict[str, Any]:
    """What a JSON file of a model folder says; nothing where it is not there.

    Raises:
        InputError: it is no JSON object.
    """
    path = folder / name
    return read_object(path, next_step="copy it from the model that the weights are of") if path.is_file() else {}


def special_tokens(folder: Path, tokenizer: Tokenizer) -> dict[str, str]:
    """Name, as `eos_token`, -> token: a string, or the `content` of an object, or what a config gives the id of.

    Raises:
        InputError: a file of settings cannot be read.
    """
    found: dict[str, str] = {}
    for name in _CONFIGS[::-1]:
        config = read_settings(folder, name)
        for token in _NAMES:
            number = config.get(f"{token}_id")
            number = number[0] if isinstance(number, list) and number else number
            written = tokenizer.id_to_token(number) if type(number) is int and number >= 0 else None
            found |= {} if written is None else {token: written}
    for name in (_OLD_FILE, FILE):
        settings = read_settings(folder, name)
        for token in _NAMES:
            value = settings.get(token)
            value = value.get("content") if isinstance(value, dict) else value
            found |= {token: value} if isinstance(value, str) else {}
    return found


def token_id(folder: Path, tokenizer: Tokenizer, name: str) -> int | None:
    """The id of a special token, as `pad_token`; None where nothing names it or the tokenizer lacks it.

    Raises:
        InputError: a file of settings cannot be read.
    """
    token = special_tokens(folder, tokenizer).get(name)
    number = None if token is None else tokenizer.token_to_id(token)
    return None if number is None else int(number)
