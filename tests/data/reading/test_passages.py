"""Plain text cut into rows: at paragraphs, nothing lost, every row with its line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.data.reading.passages import parse_text, passages
from modelyard.data.reading.records import Parse


def parse(**changes: object) -> Parse:
    return Parse("a.txt", ("text",), ("text",), **changes)  # type: ignore[arg-type]


def test_a_short_text_is_one_row_without_the_blank_lines_around_it() -> None:
    (chunk,) = parse_text("\r\n \r\n　　第一段。\r\n\r\n第二段。 \r\n\r\n", parse(), most=100)
    assert chunk.cells == {"text": ["　　第一段。\n\n第二段。"]}
    assert chunk.lines == [3]
    (old,) = parse_text("one\rtwo\r", parse(), most=100)  # as Macintoshes wrote until 2001
    assert old.cells == {"text": ["one\ntwo"]}


@pytest.mark.parametrize(
    ("text", "most", "found"),
    [
        # 4 + 1 + 4 characters are more than half of 16: the blank line behind them ends a passage
        ("aaaa\nbbbb\n\ncccc\n\ndddd", 16, [(1, "aaaa\nbbbb"), (4, "cccc\n\ndddd")]),
        # without a blank line it ends before the line that is too much
        ("aaaa\nbbbb\ncccc\ndddd", 14, [(1, "aaaa\nbbbb\ncccc"), (4, "dddd")]),
        # a longer line is cut: behind a sentence, else between words, else anywhere; "a" and its line break take two
        ("One. Two. Six seven", 12, [(1, "One. Two."), (1, "Six seven")]),
        ('"No." "Yes!" Or', 13, [(1, '"No." "Yes!"'), (1, "Or")]),
        ("甲乙。丙丁！”戊己", 8, [(1, "甲乙。丙丁！”"), (1, "戊己")]),
        ("It is 3.14 and more", 12, [(1, "It is 3.14"), (1, "and more")]),
        ("aaa bbbbb cccc", 9, [(1, "aaa bbbbb"), (1, "cccc")]),
        ("a\nbbbbbbbbbb\nc", 4, [(1, "a\nbb"), (2, "bbbb"), (2, "bbbb"), (3, "c")]),
        # more than half of 8 stays apart; the rest of a line is joined by the next one
        ("aaaa\nbbbbbbbbbb\nc", 8, [(1, "aaaa"), (2, "bbbbbbbb"), (2, "bb\nc")]),
        ("  aaaaaa    bb      ", 8, [(1, "  aaaaaa"), (1, "bb")]),
        (f"a\n{' ' * 20}\n{' ' * 20}b", 4, [(1, "a"), (3, "b")]),
        ("aaaa\n\nbbbb", 10, [(1, "aaaa\n\nbbbb")]),  # 10 characters are not too much
        ("aaaa\n\nbbbb", 9, [(1, "aaaa"), (3, "bbbb")]),
        ("\n \n\n", 2, []),
    ],
)
def test_where_a_text_is_cut(text: str, most: int, found: list[tuple[int, str]]) -> None:
    assert list(passages(text, most)) == found


@given(st.text("ab. 。\n", max_size=200), st.integers(1, 40))
def test_every_character_is_in_one_passage_at_its_line(text: str, most: int) -> None:
    lines = text.split("\n")
    seen: list[tuple[int, str]] = []
    for start, passage in passages(text, most):
        own = passage.split("\n")
        assert own[0].strip() and own[-1].strip()
        assert len(passage) <= most
        for number, line in enumerate(own, start=start):
            assert line.rstrip() in lines[number - 1]
            seen += [(number, character) for character in line if character != " "]
    assert seen == [(n, character) for n, line in enumerate(lines, start=1) for character in line if character != " "]


@given(st.text("ab \n", max_size=200))
def test_no_line_that_fits_is_cut(text: str) -> None:
    lines = text.split("\n")
    most = max(1, *map(len, lines))
    for start, passage in passages(text, most):
        for number, line in enumerate(passage.split("\n"), start=start):
            assert lines[number - 1].rstrip() == line.rstrip()


def test_a_text_of_nothing_is_a_row_that_the_rules_see() -> None:
    (chunk,) = parse_text(" \n\n", parse(), most=100)
    assert (chunk.cells, chunk.lines) == ({"text": [""]}, [1])
    assert list(parse_text("\n", parse(first_line=90_000), most=100)) == []  # the end of a large file


def test_a_passage_that_no_text_is_can_be_left_out() -> None:
    one = parse(skip_bad_rows=True, broken=True)
    (chunk,) = parse_text("aaaa\n\nb\0bb\n\ncccc", one, most=6)
    assert (chunk.cells["text"], chunk.lines) == (["aaaa", "cccc"], [1, 5])
    assert [(skipped.line, skipped.raw) for skipped in one.skipped] == [(3, "b\0bb")]
    assert re.search("NUL", one.skipped[0].reason)
    only = parse(skip_bad_rows=True, broken=True)
    assert list(parse_text("b\0b", only, most=6)) == [] and len(only.skipped) == 1
