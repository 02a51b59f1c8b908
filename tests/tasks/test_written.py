"""Figures of written text against rouge-score 0.1.2, sacrebleu 2.6.0 and counts by hand."""

import numpy as np
import pytest

from modelyard.tasks.written import Pair, bleu, judged, rouge, words

# what rouge_score.rouge_scorer.RougeScorer says (F1 of rouge1, rouge2, rougeL, no stemmer)
PAIRS = {
    ("the cat sat on the mat", "the cat is on the mat"): (0.833333, 0.6, 0.833333),
    ("Police killed the gunman.", "police kill the gunman"): (0.75, 0.333333, 0.75),
    ("a b c d e f g", "g f e d c b a"): (1.0, 0.0, 0.142857),
    (
        "It rained, all day long; nobody came out of the house.",
        "All day it rained and nobody left the house (or did they?)",
    ): (0.608696, 0.285714, 0.434783),
    ("", "something"): (0.0, 0.0, 0.0),
    ("same same same", "same"): (0.5, 0.0, 0.5),
}
TOGETHER = 9.878765474230743  # sacrebleu.corpus_bleu of them all
CHINESE = Pair("今天天气很好，我们去公园。", "今天天气真好，我们去公园吧。")


@pytest.mark.parametrize("texts", PAIRS)
def test_rouge_is_that_of_rouge_score(texts: tuple[str, str]) -> None:
    found = rouge(Pair(*texts))
    assert (found["rouge_1"], found["rouge_2"], found["rouge_l"]) == pytest.approx(PAIRS[texts], abs=1e-6)


def test_chinese_is_read_by_the_character() -> None:
    assert words("我们 Python3，走吧！") == ["我", "们", "python3", "走", "吧"]
    found = rouge(CHINESE)
    # 11 characters against 12, 10 in common: 今天天气好我们去公园
    assert found["rouge_1"] == pytest.approx(20 / 23)
    assert found["rouge_l"] == pytest.approx(20 / 23)
    # of 10 pairs of neighbours against 11 all but 气很, 很好 are there
    assert found["rouge_2"] == pytest.approx(16 / 21)


def test_bleu_is_that_of_sacrebleu() -> None:
    found, signature = bleu([Pair(*texts) for texts in PAIRS], seed=0)
    assert found.estimate == pytest.approx(TOGETHER)
    assert found.low < found.estimate < found.high
    assert "tok:13a" in signature
    chinese, signature = bleu([CHINESE], seed=0)
    assert chinese.estimate == pytest.approx(63.436083375358535)  # sacrebleu.corpus_bleu(..., tokenize="zh")
    assert "tok:zh" in signature
    assert chinese.method == "range"  # one row tells nothing of others


def test_the_bootstrap_draws_rows() -> None:
    """Half of the rows right and half empty: BLEU's brevity penalty is exp(1 - 2) of the right half's share, 36.8."""
    pairs = [Pair("one two three four five", "one two three four five"), Pair("", "one two three four five")] * 50
    found, _ = bleu(pairs, seed=3)
    assert found.estimate == pytest.approx(100 * np.exp(-1))
    # of 100 rows 40 to 60 are right in 95% of the draws (binomial), and BLEU is 100 exp(1 - 100 / right)
    assert found.low == pytest.approx(100 * np.exp(1 - 100 / 40), rel=0.1)
    assert found.high == pytest.approx(100 * np.exp(1 - 100 / 60), rel=0.1)


def test_all_figures_of_some_rows() -> None:
    pairs = [Pair(" yes\n", "yes"), Pair("no", "yes"), Pair("yes", "yes"), Pair("Yes", "yes")]
    found = judged(pairs, seed=0).figures
    assert list(found) == ["exact_match", "rouge_1", "rouge_2", "rouge_l", "bleu"]
    assert found["exact_match"].estimate == 0.5  # white space around does not count, capital letters do
    assert found["rouge_1"].estimate == 0.75
    assert (found["rouge_1"].low, found["rouge_1"].high) == pytest.approx((0.0, 1.0))  # 0.75 +- 3.18 * 0.25
    assert found["rouge_2"].method == "range"  # no pair of words anywhere


def test_what_a_tokenizer_writes_otherwise_is_the_same_text() -> None:
    """T5's writes NFKC and one space for a line's end."""
    found = judged([Pair("好,我们走吧(真的!) 再见", "好，我们走吧（真的！）\n再见")] * 2, seed=0).figures
    assert found["exact_match"].estimate == 1.0
    assert found["bleu"].estimate == pytest.approx(100.0)


def test_a_long_text_is_read_in_time() -> None:
    long = " ".join(str(number) for number in range(20_000))
    assert rouge(Pair(long, long))["rouge_l"] == 1.0
