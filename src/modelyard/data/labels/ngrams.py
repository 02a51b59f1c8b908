"""A text as counts-free hashed n-grams: what a small linear model needs to tell labels apart, in any script.

Which n-grams, by script:

* scripts written with spaces: 4-grams of characters (the length that served best in eight European languages: McNamee
  and Mayfield 2004, Character n-gram tokenization for European language text retrieval, Information Retrieval 7), words
  and pairs of neighbouring words (pairs carry negation: Wang and Manning 2012, Baselines and bigrams, ACL);
* scripts written without (Han, kana, Thai, Lao, Khmer, Burmese): 1 to 3 characters, so that no segmenter is needed.

Everything is NumPy on the code points of many texts at once; no loop runs over characters or rows.
"""

import functools
import unicodedata

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

MAX_CHARACTERS = 2_000
"""What is read of a text: its topic and tone show by then, and a long row costs no more than a page."""
PIECE_CHARACTERS = 1_000_000
"""Code points hashed at once: about 60 MB of arrays."""
SPACED_LENGTH = 4
UNSPACED_LENGTHS = (1, 2, 3)
WORD_LENGTHS = (1, 2)

_OTHER, _LETTER, _UNSPACED = 0, 1, 2
# Unicode blocks of scripts without spaces between words, first and last code point
_UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
)
_SUPPLEMENTARY_HAN = 0x20000
_SPACE = 0x20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth, volume 3, section 6.4
_FINALISER = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


def hashed_ngrams(texts: pl.Series, bits: int) -> sparse.csr_matrix:
    """The n-grams of each text, hashed into `2 ** bits` columns.

    A column is present or absent, whatever its count, and a row has length 1: presence serves short texts better than
    counts (Wang and Manning 2012). One column is present in every row: a model's intercept.

    Args:
        texts: strings; null counts as empty.
        bits: logarithm of the number of columns, at most 24.

    Returns:
        float32, shape (texts, 2 ** bits), columns of a row in order.
    """
    text = texts.fill_null("").str.slice(0, MAX_CHARACTERS).str.normalize("NFKC").str.to_lowercase()
    text = text.str.replace_all(r"\s+", " ").str.strip_chars().str.slice(0, MAX_CHARACTERS)
    lengths = text.str.len_chars().to_numpy().astype(np.int64) + 2
    ends = np.cumsum(lengths)
    pieces, start = [], 0
    while start < len(text):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PIECE_CHARACTERS, side="right")))
        pieces.append(_hash_piece(text[start:stop], lengths[start:stop], bits))
        start = stop
    return sparse.vstack(pieces, format="csr") if pieces else sparse.csr_matrix((0, 1 << bits), dtype=np.float32)


def hash_strings(values: pl.Series, seed: int) -> NDArray[np.uint64]:
    """One number per string, the same on every machine and with every version; null counts as empty."""
    points = _code_points("".join(values.fill_null("").to_list()))
    lengths = values.fill_null("").str.len_chars().to_numpy().astype(np.int64)
    return _salted(_hash_runs(points, np.cumsum(lengths) - lengths, lengths), seed)


def hash_numbers(values: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """One number per number, evenly spread: for shuffles and divisions that depend on the seed alone."""
    return _salted(_mix(values.astype(np.uint64)), seed)


def _salted(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    # an array, because NumPy warns when a scalar overflows
    return _mix(hashes + np.full(1, seed, dtype=np.uint64) * _MULTIPLIER)


def _hash_piece(text: pl.Series, lengths: NDArray[np.int64], bits: int) -> sparse.csr_matrix:
    """`lengths`: characters of each text with a space on either side."""
    points = _code_points(" " + "  ".join(text.to_list()) + " ")
    kinds = _kinds()[np.minimum(points, 0xFFFF)]
    kinds[points >= _SUPPLEMENTARY_HAN] = _UNSPACED
    row = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    found = [(np.arange(len(lengths), dtype=np.uint64), np.zeros(len(lengths), dtype=np.uint64))]
    found += _character_ngrams(points, kinds, row)
    found += _word_ngrams(points, kinds, row)
    shift, rest = np.uint64(bits), np.uint64(64 - bits)
    keys = np.sort(np.concatenate([(rows << shift) | (hashes >> rest) for rows, hashes in found]))
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
    counts = np.bincount((keys >> shift).astype(np.int64), minlength=len(lengths))
    columns = (keys & np.uint64((1 << bits) - 1)).astype(np.int32)
    values = np.repeat((1 / np.sqrt(counts)).astype(np.float32), counts)
    starts = np.concatenate(([0], np.cumsum(counts)))
    return sparse.csr_matrix((values, columns, starts), shape=(len(lengths), 1 << bits))


Found = tuple[NDArray[np.uint64], NDArray[np.uint64]]
"""Row of each n-gram, hash of each n-gram."""


def _character_ngrams(points: NDArray[np.uint32], kinds: NDArray[np.uint8], row: NDArray[np.uint64]) -> list[Found]:
    """An n-gram with an unspaced character in it counts at 1 to 3 characters, any other at 4."""
    unspaced = np.concatenate(([0], np.cumsum(kinds == _UNSPACED)))
    hashes = np.zeros(len(points), dtype=np.uint64)
    found = []
    for length in range(1, max(SPACED_LENGTH, *UNSPACED_LENGTHS) + 1):
        windows = len(points) - length + 1
        if windows < 1:
            break
        hashes = hashes[:windows] * _MULTIPLIER + (points[length - 1 :] + np.uint64(1))
        has_unspaced = unspaced[length:] > unspaced[:-length]
        wanted = np.where(has_unspaced, length in UNSPACED_LENGTHS, length == SPACED_LENGTH)
        wanted &= row[:windows] == row[length - 1 :]
        found.append((row[:windows][wanted], _mix(hashes[wanted] + np.uint64(length))))
    return found


def _word_ngrams(points: NDArray[np.uint32], kinds: NDArray[np.uint8], row: NDArray[np.uint64]) -> list[Found]:
    """Words of spaced scripts, every other visible character a word of its own, and pairs of neighbours."""
    inside = kinds == _LETTER
    alone = (kinds == _OTHER) & (points != _SPACE)
    starts = np.flatnonzero(alone | (inside & ~np.concatenate(([False], inside[:-1]))))
    stops = np.flatnonzero(alone | (inside & ~np.concatenate((inside[1:], [False])))) + 1
    words = _hash_runs(points, starts, stops - starts)
    rows, hashes = row[starts], np.zeros(len(words), dtype=np.uint64)
    found = []
    for length in range(1, max(WORD_LENGTHS) + 1):
        windows = len(words) - length + 1
        if windows < 1:
            break
        hashes = hashes[:windows] * _MULTIPLIER + words[length - 1 :]
        wanted = rows[:windows] == rows[length - 1 :]
        # 100: apart from the lengths of character n-grams
        found.append((rows[:windows][wanted], _mix(hashes[wanted] + np.uint64(100 + length))))
    return found


def _hash_runs(points: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One hash per run of code points, its place within the run counting."""
    first = np.cumsum(lengths) - lengths
    place = np.arange(int(lengths.sum())) - np.repeat(first, lengths)
    hashes = _mix(
        (points[np.repeat(starts, lengths) + place] + np.uint64(1)) * _MULTIPLIER + _mix(place.astype(np.uint64))
    )
    sums = np.concatenate(([np.uint64(0)], np.cumsum(hashes, dtype=np.uint64)))
    return _mix(sums[first + lengths] - sums[first] + lengths.astype(np.uint64))


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits of each number over all 64: multiply by an odd constant, fold the high half in, twice."""
    values = (values ^ (values >> _HALF)) * _FINALISER
    values = (values ^ (values >> _HALF)) * _FINALISER
    return values ^ (values >> _HALF)


@functools.cache
def _kinds() -> NDArray[np.uint8]:
    """Kind of each code point below 65,536: letter, mark or digit; unspaced script; anything else."""
    kinds = np.array([unicodedata.category(chr(point))[0] in "LMN" for point in range(0x10000)], dtype=np.uint8)
    for first, last in _UNSPACED_BLOCKS:
        kinds[first : last + 1] = _UNSPACED
    return kinds
