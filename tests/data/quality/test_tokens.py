"""Tokens by hand, and intervals of samples against tables and by simulation."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from modelyard.data.quality import tokens
from modelyard.data.quality.tokens import count_tokens, mean_interval, quantile_interval, share_interval
from modelyard.errors import InputError


@pytest.fixture
def word_tokenizer(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel({"the": 0, "film": 1, "好": 2, "看": 3, "<unk>": 4}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Split(pattern="好", behavior="isolated")]
    )
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=10)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_tokens_by_hand(word_tokenizer: Path) -> None:
    texts = pl.Series(["the film the film", "好看 film bad", "", None, "x y z"])
    found = count_tokens(texts, word_tokenizer)
    # neither cut to two nor padded to ten
    assert found["tokens"].to_list() == [4, 4, 0, 0, 3]
    assert found["unknown"].to_list() == [0, 1, 0, 0, 3]
    assert count_tokens(pl.Series([], dtype=pl.String), word_tokenizer).height == 0


def test_batches_do_not_show(word_tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(["the film", "bad", "好看好"] * 5)
    whole = count_tokens(texts, word_tokenizer)
    monkeypatch.setattr(tokens, "_BATCH_CHARACTERS", 7)
    assert count_tokens(texts, word_tokenizer).equals(whole)


def test_unknown_tokens_of_other_models(tmp_path: Path) -> None:
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("好", -1.0), ("看", -1.0)], unk_id=0))
    unigram.save(str(tmp_path / "unigram.json"))
    assert count_tokens(pl.Series(["好看坏"]), tmp_path / "unigram.json").row(0) == (3, 1)
    bytes_only = Tokenizer(models.BPE({"Ġ": 0, "a": 1}, []))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.save(str(tmp_path / "bytes.json"))
    assert count_tokens(pl.Series(["a a"]), tmp_path / "bytes.json").row(0) == (3, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("{", "no tokenizer"),
        ("[]", "no tokenizer"),
        ('{"model": {"type": "Nothing"}}', "no tokenizer"),
        ("x" * 2000, "2000 bytes, a tokenizer has at most 1000"),
    ],
)
def test_no_tokenizer(tmp_path: Path, content: str | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(tokens, "MAX_TOKENIZER_BYTES", 1000)
    with pytest.raises(InputError, match=words) as caught:
        count_tokens(pl.Series(["x"]), path)
    assert caught.value.problems[0].where == str(path)
    assert "tokenizer.json" in caught.value.problems[0].next_step


def test_mean_by_hand() -> None:
    # variance 2.5, t(0.975, 4) = 2.776; sqrt(2.5 / 5 * (1 - 5/20)) = 0.612
    found = mean_interval(np.array([1.0, 2, 3, 4, 5]), population=20, unit="tokens")
    assert (found.low, found.estimate, found.high) == pytest.approx((3 - 1.7, 3, 3 + 1.7), abs=5e-4)
    assert (found.n, found.unit, found.method) == (5, "tokens", "student-t")
    whole = mean_interval(np.array([1.0, 2]), population=2, unit="tokens")
    assert (whole.low, whole.high, whole.method) == (1.5, 1.5, "count")


def test_mean_covers_95_percent_of_skewed_lengths() -> None:
    rng = np.random.default_rng(7)
    lengths = rng.lognormal(4.0, 0.9, 20_000).round()
    truth = lengths.mean()
    held = 0
    for _ in range(1000):
        found = mean_interval(rng.choice(lengths, 1000, replace=False), population=20_000, unit="tokens")
        held += found.low <= truth <= found.high
    assert 935 <= held <= 965  # 95% of 1,000, two standard deviations either way


def test_share_by_hand() -> None:
    # share 3/12; residuals -0.5, 1, -0.5 (sum of squares 1.5, variance 0.75); t(0.975, 2) = 4.303
    found = share_interval(np.array([0.0, 2, 1]), np.array([2.0, 4, 6]), population=300)
    reach = 4.303 * np.sqrt(0.75 / 3 * 0.99) / 4
    assert (found.estimate, found.high) == pytest.approx((0.25, 0.25 + reach), abs=1e-3)
    assert found.low == 0.0
    assert share_interval(np.array([1.0, 1]), np.array([2.0, 2]), population=2).method == "count"
    none = share_interval(np.zeros(100), np.ones(100), population=1000)
    assert (none.low, none.estimate, none.high) == pytest.approx((0, 0, 0.037), abs=1e-3)  # Wilson, 0 of 100


def test_share_covers_95_percent() -> None:
    rng = np.random.default_rng(3)
    whole = rng.lognormal(4.0, 0.9, 20_000).round() + 1
    part = rng.binomial(whole.astype(int), rng.beta(1, 30, 20_000)).astype(float)
    truth = part.sum() / whole.sum()
    held = 0
    for _ in range(1000):
        drawn = rng.choice(20_000, 1000, replace=False)
        found = share_interval(part[drawn], whole[drawn], population=20_000)
        held += found.low <= truth <= found.high
    assert 930 <= held <= 965


def test_quantile() -> None:
    values = np.arange(1.0, 101.0)
    found = quantile_interval(values, 50.0, population=1000, unit="tokens")
    # ranks of Binomial(100, 0.5): 40 and 61
    assert (found.low, found.estimate, found.high, found.unit) == (40, 50.5, 61, "tokens")
    assert quantile_interval(values, 50.0, population=100, unit="tokens").method == "count"


@pytest.mark.parametrize(("values", "population"), [([1.0], 2), ([], 0), ([1.0, 2.0], 1)])
def test_no_sample(values: list[float], population: int) -> None:
    with pytest.raises(ValueError, match="no sample"):
        mean_interval(np.array(values), population=population, unit="tokens")


def test_a_share_of_nothing() -> None:
    with pytest.raises(ValueError, match="whole above zero"):
        share_interval(np.zeros(2), np.zeros(2), population=9)
    with pytest.raises(ValueError, match="one shape"):
        share_interval(np.zeros(2), np.ones(3), population=9)
