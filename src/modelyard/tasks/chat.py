"""Conversations as the model's own chat template writes them, and where the assistant's answers stand in that.

A template is a program of the model folder's. transformers runs it in Jinja's sandbox: it reaches no file, no network
and no module. What bounds its time and memory stands in `rendering`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from modelyard.errors import InputError, Problem
from modelyard.tasks.causal_lm import Span
from modelyard.tasks.special_tokens import FILE, read_settings, special_tokens

TEMPLATE_FILE = "chat_template.jinja"
MAX_TEMPLATE_BYTES = 1024**2
MAX_ANSWERS = 256
"""Of one conversation that are learned, the last ones: for each the conversation is written twice up to there."""
DATE = "26 Jul 2024"
"""What templates that write today's date get, Llama 3.2's own default: tomorrow's rows must be today's."""
_NEXT = f"copy {TEMPLATE_FILE}, or {FILE} with chat_template, of a chat model of this family into the folder"


class Template(NamedTuple):
    """A chat template and the special tokens that it may name."""

    source: str
    tokens: dict[str, str]


class Rendered(NamedTuple):
    """A conversation as text.

    Attributes:
        text: special tokens included.
        answers: where the assistant's turns stand, with what ends them.
        skipped: turns of the assistant that are read, not learned: those that the template writes otherwise once
            others follow, as some leave out what the model thought, and those before the last `MAX_ANSWERS`.
    """

    text: str
    answers: list[Span]
    skipped: int


def read_template(folder: Path, tokenizer: Tokenizer) -> Template:
    """The chat template of a model folder.

    Raises:
        InputError: there is none, or it is larger than 1 MiB.
    """
    settings = read_settings(folder, FILE)
    path = folder / TEMPLATE_FILE
    try:
        large = path.is_file() and path.stat().st_size > MAX_TEMPLATE_BYTES
        source = path.read_text(encoding="utf-8") if path.is_file() and not large else settings.get("chat_template")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"{TEMPLATE_FILE} cannot be read: {error}", _NEXT, str(path))) from error
    if isinstance(source, list):  # several, each with a name
        source = next(
            (one.get("template") for one in source if isinstance(one, dict) and one.get("name") == "default"), None
        )
    if large or (isinstance(source, str) and len(source) > MAX_TEMPLATE_BYTES):
        raise InputError(Problem("the chat template is larger than 1 MiB", _NEXT, str(folder)))
    if not isinstance(source, str) or not source:
        message = f"the base model has no chat template: neither {TEMPLATE_FILE} nor chat_template in {FILE}"
        raise InputError(Problem(message, f"{_NEXT}, or give rows of prompt and completion", str(folder)))
    return Template(source, special_tokens(folder, tokenizer))


def render(messages: Sequence[Mapping[str, Any]], template: Template) -> Rendered:
    """A conversation up to its last answer, and where its answers stand.

    An answer is what the template adds to the text that the model is asked with, so that it learns exactly what it
    will have to write.

    Args:
        messages: turns with `role`, `content` and `tool_calls` (JSON or null), one of them the assistant's.
        template: from `read_template`.

    Raises:
        ValueError: the template refuses the conversation, or does not write its last answer behind what it is asked
            with; the message says which.
        MemoryError: the template takes more than there is.
    """
    turns = [_turn(message) for message in messages]
    places = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    text = _written(turns[: places[-1] + 1], template)
    answers: dict[int, Span] = {}
    for place in places[-MAX_ANSWERS:]:
        asked = _written(turns[:place], template, asks=True)
        answered = text if place == places[-1] else _written(turns[: place + 1], template)
        if text.startswith(answered) and answered.startswith(asked):
            end = len(answered.rstrip())  # a template may set a line's end behind the token that ends the answer
            answers[place] = (len(asked), end)
    if places[-1] not in answers:
        raise ValueError("the chat template does not write the last answer behind the text that it is asked with")
    _, end = answers[places[-1]]
    return Rendered(text[:end], list(answers.values()), skipped=len(places) - len(answers))


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message["role"], "content": message["content"] or ""}
    if calls := message.get("tool_calls"):
        try:
            found = json.loads(calls)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):  # the older `function_call`: one, by itself
            found = [{"type": "function", "function": found}]
        if isinstance(found, list) and all(isinstance(call, dict) for call in found):
            turn["tool_calls"] = found
        else:  # ShareGPT writes the call itself as text
            turn["content"] = turn["content"] or calls
    return turn


def _written(turns: Sequence[dict[str, Any]], template: Template, *, asks: bool = False) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template  # only conversations need it

    source = template.source
    if "strftime_now" in source:
        source = f"{{% macro strftime_now(format) %}}{DATE}{{% endmacro %}}{source}"
    try:
        rendered, _ = render_jinja_template(
            conversations=[list(turns)],
            chat_template=source,
            add_generation_prompt=asks,
            date_string=DATE,
            **template.tokens,
        )
    except MemoryError:  # whoever bounds it knows how much it was
        raise
    except RecursionError as error:
        raise ValueError("the chat template calls itself or nests too deeply") from error
    except Exception as error:  # a stranger's program may end in any way
        reason = str(error).strip()[:200] or type(error).__name__
        raise ValueError(f"the chat template refuses it: {reason}") from error
    return str(rendered[0])
