"""Shapes: recognised by the names the field uses, and what keeps a row from being one."""

import json

import pytest

from modelyard.data.reading.records import Chunk
from modelyard.data.reading.shapes import (
    MESSAGES,
    PROMPT,
    Shape,
    label_sets,
    listed,
    looks_like_list,
    recognise,
    row_frame,
)
from modelyard.errors import InputError


@pytest.mark.parametrize(
    ("columns", "name", "roles"),
    [
        (["text"], "text", {"text": "text"}),
        (["id", "正文"], "text", {"text": "正文"}),
        (["text", "label"], "text_label", {"text": "text", "label": "label"}),
        (["text", "label", "article", "summary"], "text_label", {"text": "text", "label": "label"}),
        (["source_text", "target_text"], "prompt_completion", {"prompt": "source_text", "completion": "target_text"}),
        (["instruction", "input", "output"], "prompt_completion",
         {"prompt": "instruction", "input": "input", "completion": "output"}),
        (["prompt", "completion"], "prompt_completion", {"prompt": "prompt", "completion": "completion"}),
        (["id", "conversations"], "messages", {"messages": "conversations"}),
        (["messages"], "messages", {"messages": "messages"}),
        (["prompt", "chosen", "rejected"], "preference",
         {"chosen": "chosen", "rejected": "rejected", "prompt": "prompt"}),
    ],
)  # fmt: skip
def test_shapes_by_name(columns: list[str], name: str, roles: dict[str, str]) -> None:
    found = recognise(columns, {}, "a.jsonl")
    assert (found.name, found.columns) == (name, roles)


def test_what_the_user_says_decides() -> None:
    assert recognise(["a", "b"], {"prompt": "a", "completion": "b"}, "x").name == "prompt_completion"
    assert recognise(["body", "label", "text"], {"text": "body"}, "x").columns == {"text": "body", "label": "label"}
    assert recognise([], {}, "x").name == "text_label"
    with pytest.raises(InputError, match="'promt' is no role"):
        recognise(["a"], {"promt": "a"}, "x")
    with pytest.raises(InputError, match="no shape of rows that is known"):
        recognise(["a", "b"], {}, "x")


def rows(shape: Shape, **cells: list[str | None]) -> list[tuple[str | None, str | None]]:
    """Text and problem of each row."""
    count = len(next(iter(cells.values())))
    frame, _ = row_frame(Chunk({shape.columns[role]: values for role, values in cells.items()}, [1] * count), shape)
    return list(frame.select("text", "shape_problem").iter_rows())


def test_prompt_input_and_completion() -> None:
    shape = Shape(name="prompt_completion", columns={"prompt": "p", "input": "i", "completion": "c"})
    cells: dict[str, list[str | None]] = {
        "prompt": ["翻译", "ask", "ask", None, " "],
        "input": ["hello", "", None, "x", "x"],
        "completion": ["你好", "answer", " ", "answer", "answer"],
    }
    assert rows(shape, **cells) == [
        ("翻译\nhello\n你好", None),
        ("ask\nanswer", None),
        ("ask\n ", "the completion is empty"),
        (None, None),
        (" \nx\nanswer", "the prompt is empty"),
    ]
    chunk = Chunk({"p": cells["prompt"], "i": cells["input"], "c": cells["completion"]}, [1] * 5)
    _, derived = row_frame(chunk, shape)
    assert derived[PROMPT].to_list()[:3] == ["翻译\nhello", "ask", "ask"]
    assert shape.stored == {"prompt": PROMPT, "completion": "c"}


def test_preferences() -> None:
    shape = Shape(name="preference", columns={"chosen": "c", "rejected": "r", "prompt": "p"})
    found = rows(
        shape,
        prompt=["q", "q", "q", "q"],
        chosen=["good", "same", "", "good"],
        rejected=["bad", "same ", "bad", None],
    )
    assert [problem for _, problem in found] == [
        None,
        "chosen and rejected are the same",
        "the chosen answer is empty",
        "there is no rejected answer",
    ]
    assert found[0][0] == "q\ngood"


def turns(*pairs: tuple[str, str]) -> str:
    return json.dumps([{"role": role, "content": content} for role, content in pairs], ensure_ascii=False)


CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather"}}]}
ASK, SAY = {"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}
TOOL = {"role": "tool", "content": "22"}


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (turns(("user", "你好"), ("assistant", "您好")), None),
        (turns(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")), None),
        (json.dumps([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]), None),
        (json.dumps([ASK, CALL, TOOL, SAY]), None),
        (json.dumps([{"role": "user", "content": [{"type": "text", "text": "a"}]}, SAY]), None),
        (turns(("user", "a"), ("assistant", " ")), "turn 2 (assistant) is empty"),
        (turns(("user", "a"), ("narrator", "b")), "turn 2 is by 'narrator', no role of a conversation"),
        (turns(("user", "a")), "the last turn is by the user: there is no answer to learn"),
        (turns(("assistant", "a"), ("user", "b"), ("assistant", "c")),
         "turn 1 is by the assistant, the first after the system is the user's"),
        (turns(("user", "a"), ("user", "b"), ("assistant", "c")), "turns 1 and 2 are both by the user"),
        (turns(("user", "a"), ("system", "s"), ("assistant", "c")),
         "turn 2 is by the system, which speaks first or not at all"),
        (json.dumps([ASK, TOOL, SAY]), "turn 2 is by a tool that nobody called"),
        (json.dumps([ASK, CALL, ASK, SAY]), "turn 2 calls a tool that never answers"),
        (json.dumps([ASK, 3]), "turn 2 is no object"),
        (json.dumps([ASK, {"role": "assistant"}]), "turn 2 (assistant) has no content"),
        ("[]", "there is no turn of a user"),
        (json.dumps([ASK] * 10_001), "10001 turns, the most is 10000"),
    ],
)  # fmt: skip
def test_conversations(cell: str, problem: str | None) -> None:
    shape = Shape(name="messages", columns={"messages": "m"})
    assert rows(shape, messages=[cell])[0][1] == problem


def test_turns_are_stored_alike_whatever_format_they_came_in() -> None:
    shape = Shape(name="messages", columns={"messages": "m"})
    cell = json.dumps([{"from": "human", "value": "问"}, {"from": "gpt", "value": "答"}])
    frame, derived = row_frame(Chunk({"m": [cell, None, "no json", '{"a": 1}']}, [1, 2, 3, 4]), shape)
    assert json.loads(derived[MESSAGES][0]) == [
        {"role": "user", "content": "问"},
        {"role": "assistant", "content": "答"},
    ]
    assert frame["text"].to_list() == ["问\n答", None, None, None]
    assert frame["text_type"].to_list() == [None, None, "a string that is no JSON list of turns", "no list of turns"]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        # as str() of a list writes them in Python 3, which pandas' to_csv calls
        (str(["b", "a"]), ["a", "b"]),
        (str(["it's", 'he said "no"', 'it\'s "both"']), ['he said "no"', "it's", 'it\'s "both"']),
        (str(["退款", "a\\b", "tab\t", "\u200b"]), ["a\\b", "tab", "\u200b", "退款"]),
        ("[]", []),
        (" [ 'a' ,'a' ]\n", ["a"]),
        ('["a", "b"]', ["a", "b"]),  # JSON
    ],
)
def test_lists_of_labels_as_json_and_as_python_prints_them(cell: str, found: list[str]) -> None:
    assert looks_like_list(cell)
    assert listed(cell) == found


@pytest.mark.parametrize(
    "cell",
    [
        "['a' 'b']",  # NumPy; Python itself would join the two
        "['a'\n 'b']",
        "['a', 1]",
        "['a', None]",
        "['a', ['b']]",
        "[u'a']",
        "['a',]",
        "['a'] + ['b']",
        "[1, 'a']",
        r"['\U00110000']",
        r"['\d']",
        "['" + "x" * 300_000 + "']",
    ],
)
def test_other_lists_are_not_guessed_at(cell: str) -> None:
    frame, _ = row_frame(
        Chunk({"text": ["a text"], "label": [cell]}, [1]),
        Shape(name="text_labels", columns={"text": "text", "label": "label"}),
    )
    assert frame["label"].to_list() == [None]
    problem = """a list that cannot be read: write ["a", "b"], or texts alone as ['a', 'b']"""
    assert frame["label_type"].to_list() == [problem]
    assert label_sets(["['a', 'b']", cell]) == ['["a", "b"]', cell]


@pytest.mark.parametrize(
    "cell",
    ["[it's]", "[l'amour]", "[the 'best' one]", "[draft] it's", "[a, b]", "[__import__('os').getcwd()]", "['tis"],
)
def test_a_label_in_brackets_is_a_label(cell: str) -> None:
    assert not looks_like_list(cell)
    assert listed(cell) == [cell]
