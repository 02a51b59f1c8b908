"""Texts as hashes of their tokens, in scripts with and without spaces: what near copies and questions are compared by.

A token is a word (a run of letters, marks and digits), and every character of a script that is written without spaces
is a token of its own: Han, kana, and Thai, Lao, Khmer and Myanmar, where word boundaries would need a dictionary
(Unicode Standard Annex 29, section 4). Everything else separates, but for what a caller lets stand alone as well.

A hash is the same in every process and on every machine: no seed of Python's or Polars' is in it. Which characters are
letters or Han comes from the Unicode tables of the installed Polars, so that hashes are compared within a run and not
kept beyond it.
"""

from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
SEPARATOR, PART_OF_WORD, ON_ITS_OWN = 0, 1, 2
SLICE_CHARACTERS = 2**17
"""Worked on at once, with some 30 to 60 bytes each: smaller slices spend their time on calls, larger ones leave the
cache."""

_WORD = r"[\p{L}\p{M}\p{N}--\x{FE00}-\x{FE0F}]"  # a variation selector only picks a glyph
_IDEOGRAPHIC_PLANES = 0x20000  # planes 2 and 3 hold nothing but Han; beyond lie tags and private use, no tokens
_CHARACTERS = 0x40000
_SURROGATES = range(0xD800, 0xE000)

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

# splitmix64's increment and multipliers: Steele, Lea and Flood (2014), Fast Splittable Pseudorandom Number Generators
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BASE = 0xD6E8FEB86659FD93  # of the polynomial: any odd number with its bits well spread
_BASE_INVERSE = pow(_BASE, -1, 2**64)


def cut(sizes: Counts, most: int) -> Iterator[slice]:
    """Consecutive runs whose sizes add up to `most` at most; one that is larger is a run of its own."""
    ends = np.cumsum(sizes)
    start = 0
    while start < sizes.size:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop


def mix(values: Hashes) -> Hashes:
    """Splitmix64's finaliser, in place: each bit of the input changes about half of the output's."""
    values ^= values >> np.uint64(30)
    values *= _MIX_1
    values ^= values >> np.uint64(27)
    values *= _MIX_2
    values ^= values >> np.uint64(31)
    return values


def token_hashes(
    characters: NDArray[np.uint32], lengths: Counts, also_alone: str = ""
) -> tuple[Hashes, Counts, NDArray[np.bool_]]:
    """A hash for every token.

    The hash is a polynomial in the characters' values modulo 2^64: a difference of two running sums, divided by the
    power that stands at the token's start. Separators have the value 0.

    Args:
        characters: code points of all texts, each with a separator behind it; at least one.
        lengths: characters of each text, with its separator.
        also_alone: what is a token of its own beside the spaceless scripts, as part of a class of a regular expression.

    Returns:
        The hashes; how many tokens each text has; whether each is a character that is a token of its own.
    """
    kinds, values = _character_tables(also_alone)
    codes = characters.astype(np.intp)
    kind = kinds.take(codes, mode="clip")
    begins = np.empty(kind.size, dtype=np.bool_)
    begins[0] = kind[0] != SEPARATOR
    np.greater(kind[1:], kind[:-1] == PART_OF_WORD, out=begins[1:])  # a word goes on where a part of one stands before
    starts = np.flatnonzero(begins)
    counts = np.diff(np.searchsorted(starts, np.cumsum(lengths)), prepend=0)
    alone = kind[starts] == ON_ITS_OWN
    powers, inverses = _powers(max(SLICE_CHARACTERS, codes.size))
    sums = values.take(codes, mode="clip")
    sums *= powers[: sums.size]
    np.cumsum(sums, out=sums)
    del codes, kind, begins
    tokens = np.diff(sums[starts[1:] - 1], prepend=np.uint64(0), append=sums[-1:])[: starts.size]
    tokens *= inverses[starts]
    return mix(tokens), counts, alone


@cache
def _character_tables(also_alone: str) -> tuple[NDArray[np.uint8], Hashes]:
    """Kind and value (0 where it separates) by code point."""
    codes = np.array([code for code in range(_IDEOGRAPHIC_PLANES) if code not in _SURROGATES])
    characters = pl.Series([chr(code) for code in codes])
    kinds = np.zeros(_CHARACTERS, dtype=np.uint8)
    kinds[codes[characters.str.contains(_WORD).to_numpy()]] = PART_OF_WORD
    kinds[codes[characters.str.contains(f"[{SPACELESS}{also_alone}]").to_numpy()]] = ON_ITS_OWN
    kinds[_IDEOGRAPHIC_PLANES:-1] = ON_ITS_OWN  # the last entry is what `take(mode="clip")` gives for all beyond
    values = mix((np.arange(_CHARACTERS, dtype=np.uint64) + np.uint64(1)) * GOLDEN)
    values[kinds == SEPARATOR] = 0
    return kinds, values


@lru_cache(maxsize=2)  # that of every slice, and that of the last long text
def _powers(length: int) -> tuple[Hashes, Hashes]:
    """The powers of the polynomial's base and of its inverse modulo 2^64, both of shape (length,)."""
    bases = np.empty((2, length), dtype=np.uint64)
    bases[0], bases[1], bases[:, 0] = _BASE, _BASE_INVERSE, 1
    np.cumprod(bases, axis=1, out=bases)
    return bases[0], bases[1]
