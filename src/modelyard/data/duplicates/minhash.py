"""MinHash signatures and the band keys by which near duplicates meet.

Broder (1997), On the resemblance and containment of documents: in a random order of all shingles, two sets have the
same first shingle with the probability of their Jaccard similarity. A signature is `bands * rows` such firsts; two
texts are candidates where all `rows` of a band agree, which for a similarity s happens in at least one band with
probability 1 - (1 - s^rows)^bands (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.2).

The orders are those of Dahlgaard, Knudsen and Thorup (2017), Fast Similarity Sketching: each shingle falls into one of
the signature's places, and only in a place that no shingle of a text falls into are all its shingles ordered anew. A
long text is signed in one pass whatever the length of the signature, and a short one has few shingles to order.
"""

import math
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.data.duplicates.shingles import Shingles, shingles
from modelyard.data.rules import MAX_TEXT_BYTES
from modelyard.data.tokenising import Hashes, mix

THRESHOLD = 0.8  # Rae et al. (2021), Scaling Language Models: Gopher, appendix A.1, "Document Deduplication"
CANDIDATE_PROBABILITY = 0.98
MAX_PLACES = 80  # of a signature: short texts take time in proportion, and every band is a key to keep and group

Signatures = NDArray[np.uint32]

_EMPTY = np.uint32(2**32 - 1)
_SECOND = np.uint32(2**31)  # set in what comes from the second order, so that it never equals the first's


def band_shape(threshold: float = THRESHOLD) -> tuple[int, int]:
    """Bands and rows of a signature: the longest bands that find a pair at the threshold with 98%.

    Of all shapes with that probability and at most `MAX_PLACES` places the one with the most rows is the steepest:
    it makes the fewest candidates of pairs below the threshold. At 0.8 these are 13 bands of 6 rows:

        Jaccard similarity   0.1     0.3     0.5     0.6     0.7     0.8     0.85    0.9
        candidate            0.0000  0.0094  0.1851  0.4627  0.8035  0.9808  0.9979  0.9999

    Args:
        threshold: Jaccard similarity, from 0.05 to below 1.

    Raises:
        ValueError: the threshold is another: below 0.05 no shape of so few places is enough.
    """
    if not 0.05 <= threshold < 1.0:
        raise ValueError(f"a threshold of {threshold:g} is not from 0.05 to below 1")
    shapes = []
    for rows in range(1, 17):
        bands = math.ceil(math.log(1 - CANDIDATE_PROBABILITY) / math.log1p(-(threshold**rows)))
        if bands * rows <= MAX_PLACES:
            shapes.append((bands, rows))
    return shapes[-1]


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """The S-curve: how likely a pair of this Jaccard similarity agrees in at least one band."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def band_keys(texts: pl.Series, *, threshold: float = THRESHOLD) -> pl.Series:
    """The band keys of texts: two texts that share a key are candidates for near duplicates.

    Equal in every process and on every machine with the same Polars (`shingles.py`). What it needs beside
    its answer stays under some 64 MiB whatever the number of texts.

    Args:
        texts: shape (texts,), String, normalised (`modelyard.data.rules.normalised`).
        threshold: Jaccard similarity from which a pair is to be found, from 0.05 to below 1.

    Returns:
        shape (texts,), Array(UInt64, bands); null where a text has no shingle, or more than 1 MiB, which is a whole
        file in one cell and falls to the rule `text_too_long`.
    """
    bands, rows = band_shape(threshold)
    texts = pl.select(pl.when(texts.str.len_bytes() <= MAX_TEXT_BYTES).then(texts)).to_series()
    keys = np.zeros((len(texts), bands), dtype=np.uint64)
    found = np.zeros(len(texts), dtype=np.bool_)
    stop = 0
    for part in shingles(texts):
        start, stop = stop, stop + part.counts.size
        found[start:stop] = part.counts > 0
        keys[start:stop][found[start:stop]] = _keys(signatures(part, bands * rows), bands)
    answer = pl.Series("bands", keys, dtype=pl.Array(pl.UInt64, bands))
    return pl.select(pl.when(pl.Series(found)).then(answer).alias("bands")).to_series()


def signatures(part: Shingles, places: int) -> Signatures:
    """MinHash signatures, shape (texts that have a shingle, places): the share of equal places estimates Jaccard."""
    counts = part.counts[part.counts > 0]
    place = part.hashes & np.uint64(2**32 - 1)
    place *= np.uint64(places)
    place >>= np.uint64(32)
    place += np.repeat(np.arange(counts.size, dtype=np.uint64) * np.uint64(places), counts)
    order = (part.hashes >> np.uint64(33)).astype(np.uint32)
    signed = np.full((counts.size, places), _EMPTY, dtype=np.uint32)
    np.minimum.at(signed.reshape(-1), place.view(np.int64), order)
    short = (signed == _EMPTY).any(axis=1)
    if short.any():
        again = _ordered_anew(part.hashes[np.repeat(short, counts)], counts[short], places)
        signed[short] = np.where(signed[short] == _EMPTY, again, signed[short])
    return signed


def _ordered_anew(hashes: Hashes, counts: NDArray[np.int64], places: int) -> Signatures:
    """The first shingle of each text in `places` orders, each a multiplication modulo 2^32 by an odd number."""
    values = (hashes >> np.uint64(32)).astype(np.uint32)
    starts = np.cumsum(counts) - counts
    firsts = np.empty((places, counts.size), dtype=np.uint32)
    ordered = np.empty_like(values)
    for place, multiplier in enumerate(_multipliers(places)):
        np.multiply(values, multiplier, out=ordered)
        np.minimum.reduceat(ordered, starts, out=firsts[place])
    return np.ascontiguousarray(firsts.T) >> np.uint32(1) | _SECOND


def _keys(signed: Signatures, bands: int) -> Hashes:
    """One key for each band of a signature, the band's number mixed in, shape (texts, bands)."""
    parts = signed.reshape(len(signed), bands, signed.shape[1] // bands).astype(np.uint64)
    keys = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), parts.shape[:2]).copy()
    for row in range(parts.shape[2]):
        keys ^= parts[:, :, row]
        mix(keys)
    return keys


@cache
def _multipliers(places: int) -> NDArray[np.uint32]:
    drawn = mix(np.arange(1, places + 1, dtype=np.uint64))
    return (drawn >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
