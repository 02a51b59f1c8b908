"""What near duplicates are compared by: the shingles of a text, in scripts with and without spaces.

Tokens are those of `tokenising.py`, and each symbol is one: an emoji may be all that tells two reviews apart. A shingle
is five consecutive tokens (`SHINGLE_TOKENS`); a text of one to four tokens has one shingle, all of them, so that the
shortest Chinese reviews are compared too; a text without a token has none and is like no other. It is held as a 64-bit
hash of its characters.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelyard.data.tokenising import GOLDEN, SLICE_CHARACTERS, Counts, Hashes, cut, mix, token_hashes

# Lee et al. (2022), Deduplicating Training Data Makes Language Models Better, appendix A, and Penedo et al. (2024), The
# FineWeb Datasets, section 3.4, whose tool datatrove has it as its default
SHINGLE_TOKENS = 5
# a block is decoded at once; a slice of it is worked on at once, with at most some 60 bytes for a character: a text of
# 1 MiB (`MAX_TEXT_BYTES`) stays under 64 MiB
BLOCK_CHARACTERS = 2**20
SYMBOLS = r"\p{S}"


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
            tokens, counts, _ = token_hashes(characters[first : ends[part.stop - 1]], lengths[block][part], SYMBOLS)
            yield _consecutive(tokens, counts)


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
        hashes *= GOLDEN
        hashes += tokens[place : place + runs]
    inside = np.ones(tokens.size, dtype=np.bool_)
    inside[(ends[lengths > 0, np.newaxis] - np.arange(1, SHINGLE_TOKENS)).ravel()] = False
    return Shingles(mix(hashes[inside[:runs]]), np.where(lengths > 0, lengths - SHINGLE_TOKENS + 1, 0))
