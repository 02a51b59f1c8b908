"""Mislabelled rows: planted ones are found in both languages, and whatever cannot be judged is not."""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from modelyard.data.labels import mislabelled
from modelyard.data.labels.mislabelled import Mislabelled, find_mislabelled

WORDS = {
    "en": [
        ["good", "great", "lovely", "fresh", "warm", "quick", "kind"],
        ["bad", "awful", "dirty", "cold", "late", "rude", "slow"],
    ],
    "zh": [list("好棒鲜暖快香净"), list("差烂脏冷慢臭贵")],
}
COMMON = {
    "en": ["the", "food", "was", "and", "of", "in", "this", "place", "we", "had", "our", "with", "day", "night"],
    "zh": list("的了是在这家店我们吃饭和住"),
}
ROWS, RATE = 1_500, 0.06


def corpus(language: str, rows: int = ROWS, seed: int = 0) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """Rows of two labels, and which of them were flipped."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, rows)
    flipped = random.random(rows) < RATE
    joint = " " if language == "en" else ""
    texts = [
        joint.join(random.permutation([*random.choice(WORDS[language][own], 3), *random.choice(COMMON[language], 8)]))
        for own in truth
    ]
    given = np.where(flipped, 1 - truth, truth)
    return pl.DataFrame(
        {"row": np.arange(1, rows + 1), "text": texts, "label": [f"label {own}" for own in given]}
    ), flipped


def find(frame: pl.DataFrame, *, seed: int = 7, size: int = 400) -> Mislabelled:
    def batches() -> Iterator[pl.DataFrame]:
        yield from frame.iter_slices(size)

    labels = frame["label"].drop_nulls().unique().to_list()
    return find_mislabelled(batches, rows=frame.height, labels=labels, seed=seed)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_flips_are_found(language: str) -> None:
    frame, flipped = corpus(language)
    found = find(frame)
    assert found.reason == ""
    assert found.unjudged == ()
    named = flipped[found.rows["row"].to_numpy() - 1]
    assert named.mean() > 0.9
    assert named.sum() > 0.4 * flipped.sum()
    assert (found.rows["given"] != found.rows["suggested"]).all()
    confidence = found.rows["confidence"].to_numpy()
    assert 0 < confidence.min() <= confidence.mean() < named.mean()  # a lower end
    assert found.rows["confidence"].is_sorted(descending=True)
    assert found.noise is not None
    assert found.noise.low < RATE < found.noise.high


def test_the_answer_depends_on_the_seed_and_not_on_the_pieces() -> None:
    frame, _ = corpus("en")
    found = find(frame)
    assert found.rows.equals(find(frame, size=97).rows)
    assert not found.rows.equals(find(frame, seed=8).rows)


def test_a_large_corpus_is_learnt_from_a_sample_and_judged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, flipped = corpus("zh", rows=4_000)
    monkeypatch.setattr(mislabelled, "MAX_SAMPLE_ROWS", 3_000)
    monkeypatch.setattr(mislabelled, "MAX_SAMPLE_NGRAMS", 60_000)
    found = find(frame)
    assert found.accuracy is not None
    assert 500 < found.accuracy.n < 3_000
    named = flipped[found.rows["row"].to_numpy() - 1]
    assert named.mean() > 0.9
    assert named.sum() > 0.5 * flipped.sum()
    assert found.rows["row"].max() > 3_500


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.head(499), "there are 499 labelled rows, and at least 500 are needed"),
        (lambda frame: frame.with_columns(label=pl.lit("one")), "there are 1 labels, and at least 2 are needed"),
        (
            lambda frame: frame.with_columns(label=pl.col("row").cast(pl.String)),
            "there are 1500 labels, and at most 200 are judged",
        ),
        (
            lambda frame: frame.with_columns(text=pl.when(pl.col("row") > 300).then(None).otherwise("text")),
            "there are 300 labelled rows, and at least 500 are needed",
        ),
        (
            lambda frame: frame.with_columns(text=pl.lit(None, pl.String)),
            "there are 0 labels, and at least 2 are needed",
        ),
        (
            lambda frame: frame.with_columns(label=frame["label"].sample(fraction=1, shuffle=True, seed=1)),
            "no better than always saying the commonest one",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(change: Callable[[pl.DataFrame], pl.DataFrame], reason: str) -> None:
    found = find(change(corpus("en")[0]))
    assert reason in found.reason
    assert found.rows.is_empty()
    assert found.rows.columns == ["row", "given", "suggested", "confidence"]


def test_a_label_that_the_model_cannot_know_is_left_alone() -> None:
    frame, _ = corpus("en")
    rare = pl.when(pl.col("row").is_in([3, 500, 900])).then(pl.lit("three rows"))
    random = pl.when(pl.col("row") % 25 == 1).then(pl.lit("any text"))
    frame = frame.with_columns(label=pl.coalesce(rare, random, "label"))
    found = find(frame)
    assert found.reason == ""
    assert found.unjudged == ("any text", "three rows")
    assert found.rows.height > 20
    assert not {"any text", "three rows"} & {*found.rows["given"], *found.rows["suggested"]}


def test_rows_of_one_group_do_not_vouch_for_each_other() -> None:
    # 10 texts in four copies each, all with the wrong label: only a model blind to every copy of a text sees it
    frame, flipped = corpus("en")
    texts = corpus("en", seed=1)[0].filter(pl.col("label") == "label 1")["text"].head(10).to_list()
    copies = pl.DataFrame(
        {
            "row": np.arange(5_001, 5_041),
            "text": [text for text in texts for _ in range(4)],
            "label": ["label 0"] * 40,
            "group": [f"客户 {number}" for number in range(10) for _ in range(4)],
        }
    )
    sound = frame.filter(~flipped).with_columns(group=pl.lit(None, pl.String))
    whole = pl.concat([sound, copies])
    apart = find(whole).rows.filter(pl.col("row") > 5_000).height
    vouched = find(whole.drop("group")).rows.filter(pl.col("row") > 5_000).height
    assert apart >= 20
    assert vouched == 0
