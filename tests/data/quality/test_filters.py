"""The published filters: each breaks and holds at its threshold, and datatrove says the same of the same texts."""

import json
from pathlib import Path

import polars as pl
import pytest

from modelyard.data.quality.features import FEATURES
from modelyard.data.quality.filters import FILTERS, find_filtered

VECTORS = json.loads((Path(__file__).parent / "filter_vectors.json").read_text(encoding="utf-8"))["texts"]

# what datatrove drops and we do not (-), and the reverse (+); FILTERS[...].differs says why
DIFFERENT = {
    "short": {"-gopher_top_4_gram"},
    "javascript": {"-gopher_top_4_gram"},
    "menu": {"-gopher_top_3_gram", "-gopher_top_4_gram", "-gopher_alphabetic_words"},
    "bullets": {"+gopher_top_3_gram"},
    "ellipsis": {"-c4_terminal_punctuation"},
    "quotes": {"-fineweb_terminal_lines"},
    "some_repetition": {f"+gopher_duplicate_{size}_gram" for size in range(5, 11)},
}


def found(*texts: str | None) -> list[set[str]]:
    rows = pl.DataFrame({"row": range(len(texts)), "text": pl.Series(texts, dtype=pl.String)})
    names: list[set[str]] = [set() for _ in texts]
    for row, rule, _ in find_filtered(rows, list(FILTERS)).iter_rows():
        names[row].add(rule)
    return names


def evidence(rule: str, text: str) -> str | None:
    said = find_filtered(pl.DataFrame({"row": [1], "text": [text]}), [rule])
    assert said.columns == ["row", "rule", "evidence"]
    return None if said.is_empty() else said["evidence"].item()


def test_same_as_datatrove() -> None:
    ours = found(*(entry["text"] for entry in VECTORS.values()))
    assert len(VECTORS) == 25
    different = {}
    for (name, entry), own in zip(VECTORS.items(), ours, strict=True):
        theirs = set(entry["dropped_by"])
        signs = {f"+{rule}" for rule in own - theirs} | {f"-{rule}" for rule in theirs - own}
        if signs:
            different[name] = signs
    assert different == DIFFERENT
    assert all(FILTERS[rule[1:]].differs for rules in DIFFERENT.values() for rule in rules)
    both = {rule for entry, own in zip(VECTORS.values(), ours, strict=True) for rule in own & set(entry["dropped_by"])}
    assert both == set(FILTERS)


STOP = "of the words the, be, to, of, and, that, have, with, the least is 2"


@pytest.mark.parametrize(
    ("rule", "breaks", "says", "holds"),
    [
        ("gopher_word_count", "word " * 49, "49 words, the least is 50", "word " * 50),
        ("gopher_word_count", "word " * 100_001, "100001 words, the most is 100000", "word " * 100_000),
        ("gopher_word_count", "字" * 85, "85 letters, the least is 86 (1.72 for a word)", "字" * 86),
        ("gopher_word_count", "", "0 words, the least is 50", "a " * 50),
        ("gopher_mean_word_length", "ab abc", "2.5 characters a word, the least is 3", "abc abc"),
        ("gopher_mean_word_length", "a" * 21 + " b", "11.0 characters a word, the most is 10", "a" * 10),
        ("gopher_mean_word_length", "ab 12", "2.0 characters a word, the least is 3", "这很好"),
        ("gopher_symbol_ratio", "# # a b", "1.0 hash signs to a word, the most is 0.1", "# " + "a " * 10),
        ("gopher_symbol_ratio", "好…好…", "1.72 ellipses to a word, the most is 0.1", "好" * 18 + "……"),
        ("gopher_alphabetic_words", "a b c 1", "75.0% of the words hold a letter, the least is 80%", "a b c d 1"),
        ("gopher_alphabetic_words", "好 1 2", "33.3% of the words hold a letter, the least is 80%", "好好好好1。"),
        (
            "gopher_stop_words",
            "Of course it is",
            f"1 {STOP}",
            "To be is it",
        ),
        ("gopher_stop_words", "Le chat est gris", f"0 {STOP}", "Кот серый"),
        ("gopher_stop_words", "x", f"0 {STOP}", "猫是灰的"),
        (
            "gopher_bullet_lines",
            "- a\n• b",
            "100.0% of the lines start with a bullet, the most is 90%",
            "- a\n" * 9 + "b",
        ),
        (
            "gopher_ellipsis_lines",
            "好……\n好",
            "50.0% of the lines end in an ellipsis, the most is 30%",
            "a...\n" * 3 + "b\n" * 7,
        ),
        ("gopher_repeated_lines", "a\na", "50.0% of the lines repeat an earlier one, the most is 30%", "a\na\nb\nc"),
        (
            "gopher_repeated_line_characters",
            "好的\n好的\n不",
            "40.0% of the characters are in repeated lines, the most is 20%",
            "a\na\nbbb",
        ),
        (
            "gopher_repeated_paragraphs",
            "a\n\na",
            "50.0% of the paragraphs repeat an earlier one, the most is 30%",
            "a\na",
        ),
        (
            "gopher_repeated_paragraph_characters",
            "好\n\n好",
            "50.0% of the characters are in repeated paragraphs, the most is 20%",
            "好\n\n好\n\n很长的一段",
        ),
        (
            "gopher_top_2_gram",
            "buy it, buy it",
            "100.0% of the characters are in the most frequent 2 words in a row, the most is 20%",
            "buy it",
        ),
        (
            "gopher_duplicate_5_gram",
            "a b c d e " * 2,
            "100.0% of the characters are in 5 words in a row that occur more than once, the most is 15%",
            "a b c d e f g h a b c d",
        ),
        (
            "gopher_duplicate_5_gram",
            "我们要坚持实事求是" * 2,
            "100.0% of the characters are in 5 words in a row that occur more than once, the most is 15%",
            "我们要坚持，我们要坚持",
        ),
        ("c4_terminal_punctuation", "a\nb", "none of 2 lines ends in terminal punctuation", "a\n好。"),
        ("c4_line_words", "a b c d", "none of 1 lines has 5 words", "a b c d e"),
        ("c4_line_words", "一二三四五六七八", "none of 1 lines has 5 words", "一二三四五六七八九"),
        ("c4_javascript", "JavaScript is off", "each of 1 lines says JavaScript", "JavaScript\nis off"),
        ("c4_policy", "Our Privacy Policy", "each of 1 lines is about cookies, privacy or terms of use", "Our policy"),
        (
            "c4_sentences",
            "今天天气很好，去公园。好！",
            "2 sentences in the 1 lines that C4 keeps, the least is 3",
            "今天天气很好，去公园。好！去！",
        ),
        ("c4_curly_brace", "a }", "1 curly brackets, the most is 0", "a ]"),
        ("c4_lorem_ipsum", "lorem ipsum", "the text says lorem ipsum", "lorem, ipsum"),
        (
            "fineweb_terminal_lines",
            "a\n" * 22 + "好。\n" * 3,
            "12.0% of the lines end in terminal punctuation, it must be more than 12%",
            "a\n" * 7 + "好。",
        ),
        (
            "fineweb_repeated_line_characters",
            "a\na\n" + "b" * 8,
            "10.0% of the characters are in repeated lines, it must be less than 10%",
            "a\na\n" + "b" * 9,
        ),
        (
            "fineweb_short_lines",
            "a\n" * 67 + ("b" * 30 + "\n") * 33,
            "67.0% of the lines are short, it must be less than 67%",
            "a\n" * 66 + ("b" * 30 + "\n") * 34,
        ),
        (
            "fineweb_short_lines",
            "一二三四五六七八",
            "100.0% of the lines are short, it must be less than 67%",
            "一二三四五六七八九",
        ),
    ],
)
def test_thresholds(rule: str, breaks: str, says: str, holds: str) -> None:
    assert evidence(rule, breaks) == says
    assert evidence(rule, holds) is None


def test_the_published_thresholds_of_repetition() -> None:
    # table A1 of Rae et al. 2021
    table = {"top_2": 20, "top_3": 18, "top_4": 16, "duplicate_5": 15, "duplicate_6": 14, "duplicate_7": 13}
    table |= {"duplicate_8": 12, "duplicate_9": 11, "duplicate_10": 10}
    for name, percent in table.items():
        text = "one two three four five six seven eight nine ten " * 3
        rule = f"gopher_{name}_gram"
        assert (evidence(rule, text) or "").endswith(f"the most is {percent}%")
        assert FILTERS[rule].threshold == f"{percent}% of the characters"


def test_clean_prose_passes_in_both_languages() -> None:
    chinese = "\n".join(
        [
            "清晨，渔船载着一夜的收获回到港口，码头上的妇女开始动手分拣鲜鱼。",
            "没有人睡过觉，大家谈论的是工厂会给什么价钱，还有广播里预报的今晚的风暴。",
            "一个男孩沿着堤坝跑去告诉父亲，岬角上的灯又灭了，战争结束以后年年秋天都是这样。",
            "必须趁天黑之前带着油和火柴爬上去，因为没有那盏灯，船只就找不到航道。",
        ]
    )
    assert found(chinese, VECTORS["clean"]["text"]) == [set(), set()]


def test_every_filter_says_what_it_is() -> None:
    assert len(FILTERS) == 30
    for name, rule in FILTERS.items():
        assert rule.name == name and name.startswith(f"{rule.family}_")
        assert set(rule.features) <= set(FEATURES)
        assert rule.threshold and rule.languages and rule.source[:4] in ("Rae ", "Raff", "Pene")


def test_nothing_named_and_nothing_there() -> None:
    rows = pl.DataFrame({"row": [1], "text": ["x"]})
    assert find_filtered(rows, []).height == 0
    assert find_filtered(rows.clear(), list(FILTERS)).height == 0
    assert found(None) == [{"gopher_word_count", "c4_sentences"}]
    with pytest.raises(KeyError):
        find_filtered(rows, ["gopher_nothing"])
