import pytest

from modelyard.scaffold.guess import Head, guess_label, guess_text, latin_share, look_swapped, slice_candidates


def head(**columns: list[str | None]) -> Head:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return Head(list(columns), rows)


LONG = [f"a rather long sentence, number {number}" for number in range(20)]
NAMES = [f"n{number}" for number in range(20)]
FEW: list[str | None] = ["up", "down"] * 10


def test_by_name_whatever_the_case_and_language() -> None:
    table = head(id=NAMES, Review=LONG, 标签=FEW)
    assert (guess_text(table).column, guess_label(table).column) == ("Review", "标签")
    assert guess_label(table).why == "by its name, 2 different in the first 20 rows: down, up"


def test_by_content_where_the_names_say_nothing() -> None:
    table = head(a=NAMES, b=LONG, c=FEW)
    assert (guess_text(table).column, guess_label(table, ["b"]).column) == ("b", "c")
    assert guess_text(table).why == "the longest values, 32 characters on average"


def test_two_long_columns_are_not_guessed_between() -> None:
    guess = guess_text(head(a=LONG, b=[text + "!" for text in LONG]))
    assert (guess.column, guess.why) == (None, "'b' and 'a' are about equally long")


def test_two_columns_of_few_values_are_not_guessed_between() -> None:
    table = head(a=FEW, b=list(reversed(FEW)), c=LONG)
    assert guess_label(table).why == "'a', 'b' could each be it"
    assert guess_label(table).column is None


def test_nothing_to_guess_from() -> None:
    assert guess_text(head(a=[None], b=[" "])).why == "no column holds text"
    assert guess_text(Head([], [])).why == "no column holds text"
    assert guess_label(head(a=NAMES)).why == "no column has few values that repeat"


def test_the_only_column_is_the_text() -> None:
    assert guess_text(head(a=LONG)).column == "a"


SHORT: list[str | None] = ["很好看", "一般", "不错啊", "难看死了"] * 5


@pytest.mark.parametrize(
    ("text", "label", "swapped"),
    [
        (FEW, LONG, True),
        (LONG, FEW, False),
        (FEW, NAMES, False),  # n0, n1: no longer than `down`, perhaps an odd set
        (["差", "好"] * 10, [f"第{number}条评论，还可以" for number in range(20)], True),
        (SHORT, FEW, False),  # texts that repeat
        (SHORT, [f"code {number:04}" for number in range(10)] * 2, True),  # half of the labels are different ones
        (SHORT, [f"code {number:04}" for number in range(5)] * 4, False),
        (FEW[:3], LONG[:3], False),  # three rows prove nothing
    ],
)
def test_a_text_of_few_values_and_a_label_of_many_look_swapped(
    text: list[str | None], label: list[str | None], swapped: bool
) -> None:
    said = look_swapped(head(a=text, b=label), "a", "b")
    assert ("look swapped" in said) is swapped


def test_slices_could_be_columns_of_few_values() -> None:
    table = head(text=LONG, label=FEW, site=["x", "y", "z", "w"] * 5, name=NAMES, empty=[None] * 20)
    assert slice_candidates(table, ["text", "label"]) == ["site"]


@pytest.mark.parametrize(
    ("text", "share"),
    [("good film", 1.0), ("Straße, café", 1.0), ("好电影", 0.0), ("привет", 0.0), ("12 !?", 1.0), ("好电影ab", 0.4)],
)
def test_share_of_latin_letters(text: str, share: float) -> None:
    assert latin_share([text]) == share
