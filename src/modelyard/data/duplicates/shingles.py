"""What near duplicates are compared by: the shingles of a text, in scripts with and without spaces.

A token is a word (a run of letters, marks and digits), and every character of a script that is written without spaces
is a token of its own: Han, kana, and Thai, Lao, Khmer and Myanmar, where word boundaries would need a dictionary
(Unicode Standard Annex 29, section 4). So is every symbol: an emoji may be all that tells two reviews apart.
Punctuation and white space only separate. A shingle is five consecutive tokens (`SHINGLE_TOKENS`); a text of one to
four tokens has one shingle, all of them, so that the shortest Chinese reviews are compared too; a text without a token
has none and is like no other.

A shingle is held as a 64-bit hash of its characters, the same in every process and on every machine: no seed of
Python's or Polars' is in it. Which characters are letters, symbols or Han comes from the Unicode tables of the
installed Polars, so that hashes are compared within a run and not kept beyond it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

# Lee et al. (2022), Deduplicating Training Data Makes Language Models Better, appendix A, and Penedo et al. (2024), The
# FineWeb Datasets, section 3.4, whose tool datatrove has it as its default
SHINGLE_TOKENS = 5
# a block is decoded at once; a slice is worked on at once, with at most some 60 bytes for a character: a text of 1 MiB
# (`MAX_TEXT_BYTES`) stays under 64 MiB. Smaller slices spend their time on calls, larger ones leave the cache
BLOCK_CHARACTERS, SLICE_CHARACTERS = 2**20, 2**17

_ALONE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{S}]"
_WORD = r"[\p{L}\p{M}\p{N}--\x{FE00}-\x{FE0F}]"  # a variation selector only picks a glyph
_IDEOGRAPHIC_PLANES = 0x20000  # planes 2 and 3 hold nothing but Han; beyond lie tags and private use, no tokens
_CHARACTERS = 0x40000
_SURROGATES = range(0xD800, 0xE000)
_SEPARATOR, _PART_OF_WORD, _ON_ITS_OWN = 0, 1, 2

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

# splitmix64's increment and multipliers: Steele, Lea and Flood (2014), Fast Splittable Pseudorandom Number Generators
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BASE = 0xD6E8FEB86659FD93  # of the polynomial: any odd number with its bits well spread
_BASE_INVERSE = pow(_BASE, -1, 2**64)


@dataclass(frozen=True)
class Shingles:
    """The shingles of some texts, end to end.

    Attributes:
        hashes: shape (shingles,), a text's in their order, repeats included.
        counts: shape (texts,), how many each has.
    """

    hashes: Hashes
    counts: Counts


def shingles(texts: pl.Series) -> Iterator[Shingles]:
    """The shingles of texts, a slice of them at a time: the slices follow each other and leave no text out.

    Args:
        texts: shape (texts,), String, normalised (`modelyard.data.rules.normalised`); a null has no shingle.
    """
    texts = texts.fill_null("")
    lengths = texts.str.len_chars().to_numpy().astype(np.int64) + 1  # with the separator behind each
    for block in cut(lengths, BLOCK_CHARACTERS):
        joined = texts[block].str.join("\n").item() + "\n"
        characters = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
        ends = np.cumsum(lengths[block])
        for part in cut(lengths[block], SLICE_CHARACTERS):
            first = ends[part.start] - lengths[block][part.start]
            yield _consecutive(*_tokens(characters[first : ends[part.stop - 1]], lengths[block][part]))


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


def _tokens(characters: NDArray[np.uint32], lengths: Counts) -> tuple[Hashes, Counts]:
    """A hash for every token, and the number of tokens of each text, `lengths` characters long.

    The hash is a polynomial in the characters' values modulo 2^64: a difference of two running sums, divided by the
    power that stands at the token's start. Separators have the value 0.
    """
    kinds, values = _character_tables()
    codes = characters.astype(np.intp)
    kind = kinds.take(codes, mode="clip")
    begins = np.empty(kind.size, dtype=np.bool_)
    begins[0] = kind[0] != _SEPARATOR
    np.greater(kind[1:], kind[:-1] == _PART_OF_WORD, out=begins[1:])  # a word goes on where a part of one stands before
    starts = np.flatnonzero(begins)
    counts = np.diff(np.searchsorted(starts, np.cumsum(lengths)), prepend=0)
    powers, inverses = _powers(max(SLICE_CHARACTERS, codes.size))
    sums = values.take(codes, mode="clip")
    sums *= powers[: sums.size]
    np.cumsum(sums, out=sums)
    del codes, kind, begins
    tokens = np.diff(sums[starts[1:] - 1], prepend=np.uint64(0), append=sums[-1:])[: starts.size]
    tokens *= inverses[starts]
    return mix(tokens), counts


def _consecutive(tokens: Hashes, counts: Counts) -> Shingles:
    """Every run of `SHINGLE_TOKENS` tokens within a text; a shorter text is filled up with zeros to one run."""
    lengths = np.where(counts > 0, np.maximum(counts, SHINGLE_TOKENS), 0)
    ends = np.cumsum(lengths)
    if tokens.size == 0:
        return Shingles(tokens, counts)
    if tokens.size < ends[-1]:
        moved = np.repeat(ends - lengths - np.cumsum(counts) + counts, counts)
        moved += np.arange(tokens.size)
        filled = np.zeros(ends[-1], dtype=np.uint64)
        filled[moved] = tokens
        tokens = filled
    runs = tokens.size - SHINGLE_TOKENS + 1
    hashes = tokens[:runs].copy()
    for place in range(1, SHINGLE_TOKENS):
        hashes *= _GOLDEN
        hashes += tokens[place : place + runs]
    inside = np.ones(tokens.size, dtype=np.bool_)
    inside[(ends[lengths > 0, np.newaxis] - np.arange(1, SHINGLE_TOKENS)).ravel()] = False
    return Shingles(mix(hashes[inside[:runs]]), np.where(lengths > 0, lengths - SHINGLE_TOKENS + 1, 0))


@cache
def _character_tables() -> tuple[NDArray[np.uint8], Hashes]:
    """Kind and value (0 where it separates) by code point."""
    codes = np.array([code for code in range(_IDEOGRAPHIC_PLANES) if code not in _SURROGATES])
    characters = pl.Series([chr(code) for code in codes])
    kinds = np.zeros(_CHARACTERS, dtype=np.uint8)
    kinds[codes[characters.str.contains(_WORD).to_numpy()]] = _PART_OF_WORD
    kinds[codes[characters.str.contains(_ALONE).to_numpy()]] = _ON_ITS_OWN
    kinds[_IDEOGRAPHIC_PLANES:-1] = _ON_ITS_OWN  # the last entry is what `take(mode="clip")` gives for all beyond
    values = mix((np.arange(_CHARACTERS, dtype=np.uint64) + np.uint64(1)) * _GOLDEN)
    values[kinds == _SEPARATOR] = 0
    return kinds, values


@lru_cache(maxsize=2)  # that of every slice, and that of the last long text
def _powers(length: int) -> tuple[Hashes, Hashes]:
    """The powers of the polynomial's base and of its inverse modulo 2^64, both of shape (length,)."""
    bases = np.empty((2, length), dtype=np.uint64)
    bases[0], bases[1], bases[:, 0] = _BASE, _BASE_INVERSE, 1
    np.cumprod(bases, axis=1, out=bases)
    return bases[0], bases[1]
