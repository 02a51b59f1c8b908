"""Lines, paragraphs and C4's line filters, counted by hand in both languages."""

import polars as pl
import pytest

from modelyard.data.quality.lines import measure_c4, measure_lines, measure_paragraphs


def lines(text: str) -> dict[str, int]:
    found: dict[str, int] = measure_lines(pl.Series([text])).row(0, named=True)
    return {name: count for name, count in found.items() if count}


def test_by_hand() -> None:
    text = "- A line of some words, not short.  \r\n\n  same\nsame\nIt goes on and on...\nPlease enable Javascript now."
    assert lines(text) == {
        "lines": 5, "line_characters": 34 + 4 + 4 + 20 + 29, "bullet_lines": 1, "ellipsis_lines": 1,
        "terminal_lines": 3, "short_lines": 4, "repeated_lines": 1, "repeated_characters": 4, "javascript_lines": 1,
        "long_lines": 2,
    }  # fmt: skip
    assert lines("本店使用 cookies，请见 privacy policy。")["policy_lines"] == 1
    assert lines(" \n") == {}


@pytest.mark.parametrize(
    ("line", "terminal"),
    [
        ("The end.", True), ("“The end.”", True), ("(The end.)", True), ('He said "so"', True), ("结束了。", True),
        ("“结束了！”", True), ("真的吗？", True), ("……", True), ("هل انتهى؟", True), ("यह अंत है।", True),
        ("the end", False), ("结束了", False), ("结束，", False), ("(附图片)", False),
    ],
)  # fmt: skip
def test_terminal_punctuation(line: str, terminal: bool) -> None:
    assert ("terminal_lines" in lines(line)) is terminal


@pytest.mark.parametrize(
    ("line", "short", "long"),
    [
        ("x" * 29, True, False),
        ("x" * 30, False, False),
        ("one two three four", True, False),
        ("one two three four five", True, True),
        ("一二三四五六七八", True, False),
        ("一二三四五六七八，九", False, True),
    ],
)
def test_short_and_long_lines(line: str, short: bool, long: bool) -> None:
    assert ("short_lines" in lines(line), "long_lines" in lines(line)) == (short, long)


def test_a_line_repeats_only_within_its_text() -> None:
    found = measure_lines(pl.Series(["same\nsame\nsame", "same", None, ""]))
    assert found["repeated_lines"].to_list() == [2, 0, 0, 0]
    assert found["lines"].to_list() == [3, 1, 0, 0]


def test_paragraphs() -> None:
    found = measure_paragraphs(pl.Series(["one\ntwo\n \t\nthree\n\n\none\ntwo", "一段"])).to_dicts()
    assert found[0] == {
        "paragraphs": 3, "paragraph_characters": 7 + 5 + 7, "repeated_paragraphs": 1, "repeated_characters": 7
    }  # fmt: skip
    assert found[1]["paragraphs"] == 1 and found[1]["repeated_paragraphs"] == 0


@pytest.mark.parametrize(
    ("text", "kept", "sentences"),
    [
        ("It was late. Was it? It was so late that we went home!", 1, 3),
        ('He said that "it is all over now"', 1, 1),
        ("A line of five words\nToo short.\nBut here are five words of text.", 1, 1),
        ("It trails off and on and on...", 0, 0),
        ("As we wrote in our first paper.[12]", 1, 1),
        ("Turn JavaScript on to see all of it.\nThis shop uses cookies to do its work.", 0, 0),
        ("今天天气很好，我们去公园。你去不去？去！", 1, 3),
        ("他说：“我们今天不去公园了。”", 1, 1),
        ("太短。", 0, 0),
    ],
)
def test_what_c4_leaves(text: str, kept: int, sentences: int) -> None:
    assert measure_c4(pl.Series([text])).row(0) == (kept, sentences)
