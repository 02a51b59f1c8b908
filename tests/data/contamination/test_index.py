import pickle
import random

import numpy as np
import polars as pl
import pytest

from modelyard.data.contamination import index as contamination_index
from modelyard.data.contamination.index import build_index, find_hits, gram_hashes, slices, tokenise
from modelyard.errors import InputError


def asked(*texts: str | None, answers: list[str | None] | None = None) -> pl.DataFrame:
    numbers = range(1, len(texts) + 1)
    columns = {"question": numbers, "source": [f"mmlu.jsonl:{number}" for number in numbers], "text": list(texts)}
    frame = pl.DataFrame(columns, schema_overrides={"text": pl.String})
    return frame if answers is None else frame.with_columns(answer=pl.Series(answers, dtype=pl.String))


def rows(*texts: str) -> pl.DataFrame:
    numbers = list(range(10, 10 + len(texts)))
    return pl.DataFrame({"row": numbers, "text": list(texts)}, schema={"row": pl.Int64, "text": pl.String})


def words(text: str) -> list[int]:
    return tokenise(pl.Series([text]))[0].tolist()


def test_words_are_tokens_and_so_is_every_character_without_spaces_around_it() -> None:
    texts = pl.Series(["who wrote it?", "谁写了 hamlet", "", None, "ใคร", "don't, x^2"])
    tokens, counts, alone = tokenise(texts)
    # who wrote it | 谁 写 了 hamlet | | | ใ ค ร | dont x 2
    assert counts.tolist() == [3, 4, 0, 0, 3, 3]
    assert alone.tolist() == [False] * 3 + [True] * 3 + [False] + [True] * 3 + [False] * 3
    assert len(set(tokens.tolist())) == 13


def test_a_token_has_one_hash_wherever_it_stands() -> None:
    assert words("red green blue red")[0] == words("red")[0] == words("blue, 红 red.")[2]
    assert words("don't") == words("dont")
    assert words("𠀀")[0] != words("𠀁")[0]  # planes 2 and 3 are Han too
    assert words("") == []
    assert tokenise(pl.Series([], dtype=pl.String))[1].size == 0


def test_runs_of_tokens_are_hashed_in_their_order() -> None:
    tokens = np.array(words("a b a b c"), dtype=np.uint64)
    pairs = gram_hashes(tokens, 2)
    assert pairs[0] == pairs[2]
    assert len(set(pairs.tolist())) == 3  # ab, ba, bc
    assert gram_hashes(tokens, 6).size == 0


def test_slices_lose_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contamination_index, "SLICE_CHARACTERS", 10)
    texts = pl.Series(["four", "five5", "a long one of more than ten", "x", None])
    parts = list(slices(texts))
    assert [len(part) for part in parts] == [1, 1, 1, 2]
    assert pl.concat(parts).to_list() == texts.to_list()


def test_the_size_of_an_n_gram_follows_length_and_script() -> None:
    long_words, long_characters = " ".join("abcdefghijklmnopqrstuvwx"), "的" * 24
    index = build_index(asked("who wrote the play", long_words, "谁写了红楼梦", long_characters, "why so late"))
    assert index.sizes.tolist() == [3, 5, 4, 5, 0]
    assert index.least.tolist() == [4, 4, 5, 5, 4]
    assert index.too_short.to_list() == [5]
    assert index.grams.sizes == (3, 4, 5)
    # 4 - 3 + 1, 24 - 5 + 1, 6 - 4 + 1, and 的的的的的 once
    assert index.grams.hashes.size == 2 + 20 + 3 + 1
    assert (np.diff(index.grams.hashes) > 0).all()


def test_a_question_too_short_by_itself_is_searched_for_with_its_answer() -> None:
    index = build_index(asked("Who wrote Hamlet?", "谁？", "Why?", answers=["William Shakespeare", "曹雪芹先生", None]))
    assert index.searched.to_list() == ["Who wrote Hamlet? William Shakespeare", "谁？ 曹雪芹先生", "Why?"]
    assert index.too_short.to_list() == [3]


def test_hits_say_which_n_gram_stands_where() -> None:
    index = build_index(asked("what is the capital", "首都在哪里呢"))
    hits = find_hits(rows("Say: WHAT is the capital?", "nothing", "中国的首都在哪里呢"), index.grams)
    found = {(row, position): gram for row, gram, position in hits.iter_rows()}
    # Say 0 what 1 is 2 the 3 capital 4; 中 0 国 1 的 2 首 3: 4 - 3 + 1 = 2 and 6 - 4 + 1 = 3 n-grams
    assert sorted(found) == [(10, 1), (10, 2), (12, 3), (12, 4), (12, 5)]
    assert [found[10, 1], found[10, 2]] == index.seeds[index.starts[0] : index.starts[0] + 2].tolist()
    assert [found[12, at] for at in (3, 4, 5)] == index.seeds[index.starts[1] : index.starts[1] + 3].tolist()
    assert hits.schema == {"row": pl.Int64, "gram": pl.UInt32, "position": pl.UInt32}


def test_no_n_gram_lies_across_two_rows() -> None:
    index = build_index(asked("what is the capital"))
    assert find_hits(rows("what is", "the capital"), index.grams).height == 0
    assert find_hits(rows(), index.grams).height == 0


def test_width_case_and_invisible_characters_do_not_count() -> None:
    index = build_index(asked("What is the capital of ＡＢＣ?", "谁写了红楼梦"))
    hits = find_hits(rows("what is THE capital\u200b of abc", "谁，写了「红楼梦」"), index.grams)
    assert hits.group_by("row").len().sort("row")["len"].to_list() == [4, 3]
    key = pl.DataFrame({"row": [10], "key": ["what is the capital of abc"]})
    assert find_hits(key, index.grams).equals(hits.filter(pl.col("row") == 10))


def test_hits_are_the_ones_a_plain_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contamination_index, "SLICE_CHARACTERS", 50)
    chance = random.Random(3)
    texts = [" ".join(chance.choices("abcdef", k=chance.randrange(40))) for _ in range(60)]
    questions = [" ".join(chance.choices("abcdef", k=6)) for _ in range(10)]
    wanted = {tuple(question.split()[at : at + 3]) for question in questions for at in range(4)}
    expected = {
        (10 + row, at)
        for row, text in enumerate(texts)
        for at in range(len(text.split()) - 2)
        if tuple(text.split()[at : at + 3]) in wanted
    }
    hits = find_hits(rows(*texts), build_index(asked(*questions)).grams)
    assert set(hits.select("row", "position").iter_rows()) == expected
    assert len(expected) > 100


def test_a_row_that_repeats_itself_gives_16_places() -> None:
    index = build_index(asked("ha ha ha ha"))
    hits = find_hits(rows("ha " * 5000, "ha ha ha"), index.grams)
    assert hits.filter(pl.col("row") == 10)["position"].to_list() == list(range(16))
    assert hits.filter(pl.col("row") == 11).height == 1


def test_an_n_gram_that_many_questions_share_is_one_hit() -> None:
    index = build_index(asked(*(f"which of the following {number}" for number in range(50))))
    assert find_hits(rows("which of the"), index.grams).height == 1


def test_the_grams_can_be_sent_to_another_process_and_are_small() -> None:
    chance = random.Random(5)
    index = build_index(asked(*(" ".join(str(chance.randrange(9999)) for _ in range(30)) for _ in range(300))))
    sent = pickle.dumps(index.grams)
    batch = rows(index.searched[7], "and nothing else")
    assert find_hits(batch, pickle.loads(sent)).equals(find_hits(batch, index.grams))
    tokens = 300 * 30
    assert len(sent) < 13 * tokens  # 8 bytes a hash, 2 to 4 in bits


def test_all_that_is_wrong_with_the_questions_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contamination_index, "MAX_QUESTION_CHARACTERS", 40)
    questions = asked("", None, "x" * 41, "what is it", "what is the capital", answers=[None] * 3 + ["y" * 42, "Rome"])
    questions = questions.with_columns(question=pl.Series([1, 1, 2, 3, 4]))
    with pytest.raises(InputError) as caught:
        build_index(questions)
    said = [str(problem) for problem in caught.value.problems]
    assert said[0].startswith("two questions have one number")
    assert said[1].startswith("mmlu.jsonl:1: a question is empty")
    assert said[2].startswith("mmlu.jsonl:2: a question is empty")
    assert said[3].startswith("mmlu.jsonl:3: a question or its answer has 41 characters, the most is 40")
    assert said[4].startswith("mmlu.jsonl:4: a question or its answer has 42 characters, the most is 40")
    assert len(said) == 5


def test_too_many_or_too_much_or_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no question"):
        build_index(asked())
    with pytest.raises(InputError, match="no column source, text"):
        build_index(pl.DataFrame({"question": [1]}))
    monkeypatch.setattr(contamination_index, "MAX_QUESTIONS", 1)
    monkeypatch.setattr(contamination_index, "MAX_BYTES", 10)
    with pytest.raises(InputError) as caught:
        build_index(asked("what is the capital", "红楼梦"))
    assert "2 questions are more than 1" in str(caught.value)
    assert "28 bytes, the most is 10" in str(caught.value)
