"""How near a written text is to the wanted one: exact match, ROUGE and BLEU, each with its interval over rows."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelyard.evidence.interval import RANGE, Interval
from modelyard.evidence.proportion import wilson
from modelyard.evidence.ratio import ratio_of_sums

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

RESAMPLES = 1_000
"""As many as sacrebleu takes; Koehn (2004), Statistical significance tests for machine translation evaluation."""
MOST_WORDS = 5_000
"""Of a text that ROUGE reads."""
HAN_SHARE = 0.5
_HAN = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+")


class Pair(NamedTuple):
    """What was written and what was wanted."""

    written: str
    wanted: str


class Judged(NamedTuple):
    """The figures of some pairs by name, and how BLEU was counted, as sacrebleu writes it."""

    figures: dict[str, Interval]
    bleu_signature: str


def judged(pairs: Sequence[Pair], *, seed: int) -> Judged:
    """Every figure of some pairs, fractions of 1 but `bleu`, which is 0 to 100.

    Both texts are compared in Unicode's form NFKC with single spaces: many tokenizers, as T5's, write no other, so that
    a model could not write a full-width comma however well it has learned.

    Args:
        pairs: at least one.
        seed: of the resampling for BLEU.
    """
    pairs = [Pair(_plain(pair.written), _plain(pair.wanted)) for pair in pairs]
    exact = sum(pair.written == pair.wanted for pair in pairs)
    found = {"exact_match": wilson(exact, len(pairs))}
    scores = [rouge(pair) for pair in pairs]
    for name in ("rouge_1", "rouge_2", "rouge_l"):
        found[name] = _mean(np.array([row[name] for row in scores]))
    found["bleu"], signature = bleu(pairs, seed=seed)
    return Judged(found, signature)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def words(text: str) -> list[str]:
    """Words in small letters without punctuation; Han characters and kana one by one."""
    return _WORD.findall(text.lower())


def rouge(pair: Pair) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L of one pair, F1 (Lin 2004, ROUGE: a package for automatic evaluation of summaries).

    Of English without a stemmer it is what Google's rouge-score says, which reads no Chinese.
    """
    written, wanted = words(pair.written)[:MOST_WORDS], words(pair.wanted)[:MOST_WORDS]
    found = {"rouge_l": _f1(_common_subsequence(written, wanted), len(written), len(wanted))}
    for size in (1, 2):
        one, other = (
            Counter(zip(*(side[start:] for start in range(size)), strict=False)) for side in (written, wanted)
        )
        found[f"rouge_{size}"] = _f1((one & other).total(), one.total(), other.total())
    return found


def bleu(pairs: Sequence[Pair], *, seed: int) -> tuple[Interval, str]:
    """BLEU of all pairs together as sacrebleu counts it (Post 2018), with the percentile bootstrap over rows.

    Text that is mostly Han is cut by sacrebleu's `zh`, other text by its `13a`.

    Args:
        pairs: at least one.
        seed: of the resampling.

    Returns:
        The interval, 0 to 100, and sacrebleu's signature of how it was counted.
    """
    from sacrebleu.metrics.bleu import BLEU  # only a judgement of written text needs it

    letters = [letter for pair in pairs for letter in pair.wanted if letter.isalpha()]
    han = sum(re.match(f"[{_HAN}]", letter) is not None for letter in letters)
    tokenize = "zh" if letters and han >= HAN_SHARE * len(letters) else "13a"
    metric = BLEU(tokenize=tokenize)
    whole = metric.corpus_score([pair.written for pair in pairs], [[pair.wanted for pair in pairs]])
    estimate = min(max(float(whole.score), 0.0), 100.0)
    counts = np.array(list(_counts(BLEU(tokenize=tokenize, effective_order=True), pairs)))  # else it warns at every row
    resampled = np.random.default_rng(seed).multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), RESAMPLES)
    scores = [_score(metric, row) for row in resampled @ counts]
    low, high = np.quantile(scores, (0.025, 0.975))
    certain = len(set(scores)) == 1
    found = Interval(
        low=min(float(low), estimate),
        estimate=estimate,
        high=max(float(high), estimate),
        n=len(pairs),
        unit="BLEU",
        method=RANGE if certain else "bootstrap-percentile",
    )
    return found, str(metric.get_signature())


def _counts(metric: "BLEU", pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Of each pair its n-grams that match, all its n-grams, and the lengths of both texts."""
    for pair in pairs:
        one = metric.sentence_score(pair.written, [pair.wanted])
        yield [*one.counts, *one.totals, one.sys_len, one.ref_len]


def _score(metric: "BLEU", row: NDArray[np.int64]) -> float:
    order = metric.max_ngram_order
    counts = [int(count) for count in row]
    found = metric.compute_bleu(
        counts[:order], counts[order : 2 * order], counts[-2], counts[-1], smooth_method=metric.smooth_method
    )
    return min(max(float(found.score), 0.0), 100.0)


def _mean(scores: NDArray[np.float64]) -> Interval:
    found = ratio_of_sums(scores, np.ones(len(scores)), unit="fraction")
    ends = {"low": max(0.0, found.low), "high": min(1.0, found.high)}
    return found.model_copy(update=ends)


def _f1(common: int, written: int, wanted: int) -> float:
    return 2 * common / (written + wanted) if written and wanted else 0.0


def _common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, in bits (Hyyrö 2004, Bit-parallel LCS-length computation revisited)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(one)) - 1
    row = everything
    for word in other:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & everything
    return len(one) - row.bit_count()
