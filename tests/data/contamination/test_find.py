import random
from collections.abc import Sequence

import duckdb
import polars as pl
import pytest

from modelyard.data.contamination import find as contamination
from modelyard.data.contamination.find import contaminated
from modelyard.data.contamination.index import Index, build_index, find_hits

DESERT = "which of these statements is true about photosynthesis in cold desert plants"  # 12 words
INVENTION = "中国古代四大发明中最早传入欧洲的是哪一项"  # 20 characters


def asked(*texts: str, answers: list[str | None] | None = None) -> Index:
    numbers = list(range(1, len(texts) + 1))
    frame = pl.DataFrame({"question": numbers, "source": [f"exam.jsonl:{one}" for one in numbers], "text": texts})
    return build_index(frame if answers is None else frame.with_columns(answer=pl.Series(answers, dtype=pl.String)))


def search(index: Index, texts: Sequence[str], total: int | None = None) -> pl.DataFrame:
    """Map and meeting over rows numbered from 0."""
    rows = pl.DataFrame({"row": list(range(len(texts))), "text": texts}, schema={"row": pl.Int64, "text": pl.String})
    hits = find_hits(rows, index.grams)
    with duckdb.connect() as connection:
        connection.register("hits", {name: hits[name].to_numpy() for name in hits.columns})
        return contaminated(
            connection,
            hits="hits",
            rows_total=total or len(texts),
            index=index,
            read_texts=lambda numbers: rows.filter(pl.col("row").is_in(list(numbers))),
        )


def scores(index: Index, texts: Sequence[str]) -> dict[int, float]:
    return dict(search(index, texts).select("row", "score").iter_rows())


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (DESERT, 1),
        ("so which of these sentences is true about photosynthesis in cold desert plants?", 11 / 12),
        ("so which of these is true about photosynthesis in cold desert plants?", 11 / 12),
        ("Which of these (two) statements is true about photosynthesis in very cold desert plants", 1),
        ("WHICH of these: statements — is true;about\u200b ＰＨＯＴＯＳＹＮＴＨＥＳＩＳ, in 'cold desert' plants", 1),
        ("About photosynthesis in cold desert plants, which of these statements is true", 1),
        (INVENTION, 1),
        ("据说中国古代四大发明里最早传入欧洲的是哪一项？", 19 / 20),
        ("据说中国古代四大发明中最早传欧洲的是哪一项？", 19 / 20),
        ("据说中国的古代四大发明中，最早被传入欧洲的是哪一项？", 1),
        ("最早传入欧洲的是哪一项？（中国古代四大发明中）", 1),
    ],
)
def test_a_copy_with_small_edits_is_found(text: str, share: float) -> None:
    # no n-gram of the question stands in another row, so that all tokens weigh the same
    found = search(asked(DESERT, INVENTION), ["an unrelated row 无关的文字", text])
    assert found["row"].to_list() == [1]
    assert found["question"].to_list() == [2 if "中" in text else 1]
    assert found["score"].item() == pytest.approx(share)


@pytest.mark.parametrize(
    "text",
    [
        "photosynthesis is what cold desert plants do",
        "which of these statements is true about the moon",  # 7 of 12 words
        " of the city ".join(DESERT.split()),  # all of its words, far apart
        "plants desert cold in photosynthesis about true is statements these of which",
        "四大发明传入欧洲的时间不同",
        "古代的发明中最早的是哪一项",  # 2 + 5 + 5 of 20 characters
        "，这座城市的人们，".join(INVENTION),
    ],
)
def test_what_only_resembles_a_question_is_not_found(text: str) -> None:
    assert search(asked(DESERT, INVENTION), [text, "nothing"]).height == 0


def test_the_score_weighs_common_phrases_little() -> None:
    # Nine words, n = 3. `a b c` stands in five other rows, the other six n-grams in none.
    # a, b and c lie under `a b c`: (0 + 5) / (5 + 5) = 1/2 each; d to i weigh 1; all: 7.5. Without i: 6.5 found.
    index = asked("alpha beta gamma delta epsilon zeta eta theta iota")
    copy = "alpha beta gamma delta epsilon zeta eta theta kappa"
    found = scores(index, [copy, *["alpha beta gamma"] * 5])
    assert found == {0: pytest.approx(6.5 / 7.5)}
    # 七 stands for h and i: the common phrase is found, the rest is not, though 7 of 9 words are
    stock = "alpha beta gamma delta epsilon zeta eta 七 七"
    assert scores(index, [stock, *["alpha beta gamma"] * 5]) == {0: pytest.approx(5.5 / 7.5)}
    assert scores(index, [stock, *["alpha beta gamma delta epsilon zeta eta"] * 60]) == {}


def test_the_smaller_of_the_two_shares_is_the_score() -> None:
    # 6 of 10 words found and all of the rare ones: nine tenths of the weight, six tenths of the question
    question = "one two three four five six seven eight nine ten"
    rows = ["five six seven eight nine ten", *["one two three four"] * 80]
    assert scores(asked(question), rows) == {}


@pytest.mark.parametrize(
    ("stock", "things", "copy"),
    [
        (
            "which of the following statements is true of",
            [f"topic{one} word{one}" for one in range(40)],
            "topic7 word7",
        ),
        ("以下哪一项最能说明", [f"{chr(0x4E00 + one)}{chr(0x5000 + one)}的性质" for one in range(40)], "丙倇的性质"),
    ],
)
def test_a_shared_stock_phrase_raises_no_alarm(stock: str, things: list[str], copy: str) -> None:
    sep = " " if " " in stock else ""
    index = asked(*(stock + sep + thing for thing in things))
    texts = [f"{stock}{sep}{other}" for other in ("the moon", "月亮", "a stone", "石头")]
    question = next(one for one in index.questions["text"] if things[7] in one)
    found = search(index, [*texts, question], total=1000)
    assert found.select("row", "question").rows() == [(4, 8)]
    assert found["score"].item() == pytest.approx(1)


def test_a_question_that_is_a_common_phrase_itself_is_not_found() -> None:
    # 7 words in 29 other rows of 60: 7 log(62 / 30) / log(62) = 1.2 rare tokens, 4 are needed
    phrase = "which of the following statements is true"
    assert search(asked(phrase), [*[f"{phrase} {one}" for one in range(30)], *["x"] * 30]).height == 0
    # in one other of 60 rows 7 log(62 / 2) / log(62) = 5.8
    assert search(asked(phrase), [*[f"{phrase} {one}" for one in range(2)], *["x"] * 58]).height == 2


def test_a_question_that_leaked_into_many_rows_is_found_in_all_of_them() -> None:
    # 12 words in 11 other rows of 60: 12 log(62 / 12) / log(62) = 4.8 rare tokens; all weigh the same
    texts = [f"copy {one}: {DESERT}" for one in range(12)] + ["x"] * 48
    assert scores(asked(DESERT), texts) == {row: pytest.approx(1) for row in range(12)}


def test_a_name_shared_with_a_question_is_not_enough() -> None:
    # the rows hold "let slip the dogs of war", 6 of the question's 10 words
    index = asked("in which of his plays did somebody let slip the dogs of war")
    assert search(index, ["the poster read: let slip the dogs of war", "x"]).height == 0


def test_whether_the_answer_stands_near_is_said() -> None:
    long_answer = "they open their pores at night and close them by day"
    index = asked(DESERT, INVENTION, "is the moon larger than the earth", answers=[long_answer, "造纸术", None])
    found = search(
        index,
        [
            f"{DESERT}? They open their pores at night and shut them by day.",
            f"{DESERT}? They do not.",
            f"造纸术\n\n{INVENTION}",
            f"{INVENTION}？指南针",
            f"{INVENTION}？" + "远" * 250 + "造纸术",
            "Is the moon larger than the earth?",
        ],
    )
    assert found["answer"].to_list() == [True, False, True, False, False, None]


def test_an_answer_that_the_question_names_must_stand_there_once_more() -> None:
    index = asked("does the sun or the moon make the larger tides", answers=["the moon"])
    question = "does the sun or the moon make the larger tides?"
    assert search(index, [question, f"{question} The Moon!"])["answer"].to_list() == [False, True]


def test_a_short_question_is_found_with_its_answer() -> None:
    index = asked("Who wrote Hamlet?", "谁写了它", answers=["William Shakespeare", "曹雪芹"])
    texts = ['Q: Who wrote "Hamlet"? A: William Shakespeare', "谁写了它？曹雪芹。", "who wrote hamlet"]
    found = search(index, texts, total=100)
    assert found.select("row", "question", "answer").rows() == [(0, 1, True), (1, 2, True)]
    assert found["question_span"].to_list() == ["Who wrote Hamlet? William Shakespeare", "谁写了它 曹雪芹"]


def test_the_passage_is_shown_as_it_is_written() -> None:
    index = asked(DESERT, INVENTION)
    english = "Which of these\nSTATEMENTS is true about photosynthesis in “cold” desert plants?"
    chinese = "中国古代四大发明中，最早传入ＥＵＲＯＰＥ欧洲的是哪一项？"
    around = "x" * 20 + " "
    found = search(index, [around * 9 + english + " " + around * 9, "前" * 90 + chinese + "後" * 90])
    english_span, chinese_span = found["span"].to_list()
    assert english_span.startswith("…")
    assert english_span.endswith("…")
    assert english.replace("\n", " ") in english_span
    assert len(english_span) == 1 + 40 + len(english) + 40 + 1
    assert chinese_span == "…" + "前" * 40 + chinese.removesuffix("？") + "？" + "後" * 39 + "…"
    assert found["question_span"].to_list() == [DESERT, INVENTION]


def test_a_long_passage_is_cut() -> None:
    words = random.Random(1).sample(range(1000, 9999), 200)
    question = " ".join(map(str, words))
    found = search(asked(question), ["before " * 30 + question, "x"])
    assert [len(span) for span in (found["span"].item(), found["question_span"].item())] == [302, 301]
    assert found["question_span"].item() == question[:300] + "…"
    assert "1" not in found["span"].item()[1:40]


@pytest.mark.parametrize(
    "before", ["ｶﾞｷﾞ", "か\u3099き\u3099", "𠀀\U000e0100", "e\u0301te\u0301", "½ ﷺ", "a\u200bb\u00adc", "ที่นี่"]
)
def test_what_changes_length_when_normalised_moves_the_passage_little(before: str) -> None:
    text = f"{before * 60}。{INVENTION}。{'后' * 60}"
    span = search(asked(INVENTION), [text, "x"])["span"].item()
    assert INVENTION in span
    assert span.endswith("后" * 39 + "…")


def test_one_row_may_hold_several_questions_the_best_first() -> None:
    other = DESERT.replace("cold", "hot")
    found = search(asked(DESERT, other, INVENTION), [f"{INVENTION} {other}", "x"])
    assert found["question"].to_list() == [2, 3, 1]
    assert found["score"].to_list() == sorted(found["score"].to_list(), reverse=True)


def test_many_rows_are_read_a_few_at_a_time_and_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(2)
    questions = [" ".join(str(chance.randrange(1000)) for _ in range(10)) for _ in range(600)]
    index = asked(*questions)
    asked_for = []
    rows = pl.DataFrame({"row": list(range(600)), "text": questions})

    def read(numbers: Sequence[int]) -> pl.DataFrame:
        asked_for.append(len(numbers))
        return rows.filter(pl.col("row").is_in(list(numbers))).reverse()

    hits = find_hits(rows, index.grams)
    with duckdb.connect() as connection:
        connection.register("hits", {name: hits[name].to_numpy() for name in hits.columns})
        once = contaminated(connection, hits="hits", rows_total=600, index=index, read_texts=read)
        monkeypatch.setattr(contamination, "_TOKENS_AT_ONCE", 2000)
        again = contaminated(connection, hits="hits", rows_total=600, index=index, read_texts=read)
    assert asked_for == [256, 256, 88] * 2
    assert once.equals(again)
    assert once.filter(pl.col("row") + 1 == pl.col("question")).height == 600


def test_nothing_found_has_the_columns_too() -> None:
    for index, texts in ((asked(DESERT), []), (asked("why"), ["why", "who"]), (asked(INVENTION), ["x"])):
        found = search(index, texts, total=3)
        assert found.height == 0
        assert found.columns == ["row", "question", "score", "span", "question_span", "answer"]


def test_a_reader_of_other_rows_is_refused() -> None:
    index = asked(DESERT)
    hits = find_hits(pl.DataFrame({"row": [5], "text": [DESERT]}), index.grams)
    with duckdb.connect() as connection:
        connection.register("hits", {name: hits[name].to_numpy() for name in hits.columns})
        nothing = pl.DataFrame(schema={"row": pl.Int64, "text": pl.String})
        with pytest.raises(ValueError, match="gave 0 rows where 1 were asked for"):
            contaminated(connection, hits="hits", rows_total=9, index=index, read_texts=lambda _: nothing)
