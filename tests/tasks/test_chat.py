"""Conversations by a chat template: where the answers stand, what is left out, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import InputError
from modelyard.tasks.chat import DATE, MAX_ANSWERS, MAX_TEMPLATE_BYTES, Template, read_template, render
from modelyard.tasks.classification import load_tokenizer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# as Qwen3's: what the model thought is written in its last turn only
THINKS = (
    "{% for message in messages %}<{{ message.role }}>"
    "{% if message.role == 'assistant' and loop.last %}(thought){% endif %}{{ message.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def turns(*said: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": what, "tool_calls": None} for n, what in enumerate(said)]


def answers(messages: list[dict[str, Any]], source: str) -> list[str]:
    rendered = render(messages, Template(source, {}))
    return [rendered.text[start:end] for start, end in rendered.answers]


def test_every_answer_with_what_ends_it() -> None:
    messages = [{"role": "system", "content": "be brief", "tool_calls": None}, *turns("你好", "您好！", "Bye", "Bye!")]
    assert answers(messages, CHATML) == ["您好！<|im_end|>", "Bye!<|im_end|>"]


def test_what_follows_the_last_answer_is_cut() -> None:
    rendered = render(turns("hi", "hello", "and now?"), Template(CHATML, {}))
    assert "and now" not in rendered.text


def test_an_answer_that_is_written_otherwise_later_is_read_not_learned() -> None:
    rendered = render(turns("one", "first", "two", "second"), Template(THINKS, {}))
    assert rendered.text == "<user>one<end><assistant>first<end><user>two<end><assistant>(thought)second<end>"
    assert [rendered.text[a:b] for a, b in rendered.answers] == ["(thought)second<end>"]
    assert rendered.skipped == 1


def test_special_tokens_and_calls_reach_the_template() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}{{ m.content }}"
        "{% if m.tool_calls %}{{ m.tool_calls[0].name }}{% endif %}{{ eos_token }}{% endfor %}"
    )
    messages = turns("what time?", "")
    messages[1]["tool_calls"] = json.dumps([{"name": "clock"}])
    rendered = render(messages, Template(source, {"bos_token": "<s>", "eos_token": "</s>"}))
    assert rendered.text == "<s>what time?</s>clock</s>"
    messages[1]["tool_calls"] = json.dumps({"name": "clock", "arguments": "{}"})  # the older `function_call`
    by_function = source.replace("tool_calls[0].name", "tool_calls[0].function.name")
    assert render(messages, Template(by_function, {"bos_token": "", "eos_token": "."})).text == "what time?.clock."
    messages[1]["tool_calls"] = "clock()"  # ShareGPT writes the call as text
    assert render(messages, Template(source, {"bos_token": "", "eos_token": "."})).text == "what time?.clock()."


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('only system first') }}", "the chat template refuses it: only system first"),
        ("{{ messages[9].content }}", "the chat template refuses it"),
        ("{% for m in messages %}{{ m.content }}", "the chat template refuses it"),
        ("{{ ''.__class__.__mro__ }}", "the chat template refuses it"),
        ("{% for i in range(10000000) %}x{% endfor %}", "the chat template refuses it"),
        ("{{ 1 // 0 }}", "the chat template refuses it"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "the chat template calls itself or nests too deeply"),
        ("{{ messages | length }}", "does not write the last answer"),
    ],
)
def test_templates_that_refuse_or_do_not_write_answers(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(turns("a", "b"), Template(source, {}))


def test_a_template_is_read_from_either_file(tiny_decoder: Path, tmp_path: Path) -> None:
    found = read_template(tiny_decoder, load_tokenizer(tiny_decoder))
    assert (found.source, found.tokens["eos_token"]) == (CHATML, "<|im_end|>")
    settings = {"chat_template": [{"name": "default", "template": "A"}, {"name": "tools", "template": "B"}]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert read_template(tmp_path, load_tokenizer(tiny_decoder)).source == "A"


def test_no_template_and_one_that_is_too_large(tiny_decoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no chat template"):
        read_template(tmp_path, load_tokenizer(tiny_decoder))
    (tmp_path / "chat_template.jinja").write_bytes(b"x" * (MAX_TEMPLATE_BYTES + 1))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_template(tmp_path, load_tokenizer(tiny_decoder))
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"chat_template\.jinja cannot be read"):
        read_template(tmp_path, load_tokenizer(tiny_decoder))


def test_a_template_that_writes_the_date_writes_the_same_tomorrow() -> None:
    source = "{{ strftime_now('%d') }}{% for m in messages %}|{{ m.content }}{% endfor %}"
    assert render(turns("a", "b"), Template(source, {})).text == f"{DATE}|a|b"


def test_of_a_conversation_without_end_the_last_answers_are_learned() -> None:
    rendered = render(turns(*map(str, range(2 * MAX_ANSWERS + 4))), Template(CHATML, {}))
    assert (len(rendered.answers), rendered.skipped) == (MAX_ANSWERS, 2)
    assert rendered.text.count("assistant") == MAX_ANSWERS + 2


def test_a_conversation_ends_with_its_last_answer() -> None:
    """ChatML sets a line's end behind the token that ends a turn: nothing is learned from it, and no answer ends so."""
    rendered = render(turns("hi", "hello"), Template(CHATML, {}))
    assert rendered.text.endswith("hello<|im_end|>")
    assert rendered.answers[-1][1] == len(rendered.text)
