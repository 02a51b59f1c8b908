"""What kind each character of a text is, counted for many texts at once.

Polars' regular expressions count one kind a pass, and a pass over letters does 20 to 30 MB/s because every letter is a
match. Here the texts become code points, one table lookup gives the kind of each, and one `bincount` counts all kinds
of all texts, at about 30 MB/s or more on a busy core whatever number of kinds is asked for (benchmarks/rules_speed.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.data import baseline

SCRIPTS = {
    **baseline.SCRIPTS,
    "kana": r"[\p{Hiragana}\p{Katakana}ーｰ]",  # the sound marks are of no script of their own, and only kana has them
    "greek": r"\p{Greek}",
    "hebrew": r"\p{Hebrew}",
    "thai": r"\p{Thai}",
    "lao": r"\p{Lao}",
    "khmer": r"\p{Khmer}",
    "myanmar": r"\p{Myanmar}",
    "tibetan": r"\p{Tibetan}",
    "bengali": r"\p{Bengali}",
    "gurmukhi": r"\p{Gurmukhi}",
    "gujarati": r"\p{Gujarati}",
    "oriya": r"\p{Oriya}",
    "tamil": r"\p{Tamil}",
    "telugu": r"\p{Telugu}",
    "kannada": r"\p{Kannada}",
    "malayalam": r"\p{Malayalam}",
    "sinhala": r"\p{Sinhala}",
    "georgian": r"\p{Georgian}",
    "armenian": r"\p{Armenian}",
    "ethiopic": r"\p{Ethiopic}",
}
"""Script -> its letters, as a regular expression: what the baseline counts, and the others of the living languages."""
UNSEGMENTED = ("han", "kana", "thai", "lao", "khmer", "myanmar", "tibetan")
"""Scripts that put no space between words."""
MAX_CHARACTERS = 1024**2
"""Characters of a text that are looked at; `text_too_long` finds the texts that have more."""

OTHER, WHITE, CONTROL, MARK, NUMBER, PUNCTUATION, SYMBOL, FIRST_LETTER = range(8)
_NAMES = (*SCRIPTS, "other")
"""A letter's kind is `FIRST_LETTER + 2 * place in _NAMES`, one more where it is upper case."""
_PATTERNS = {
    WHITE: r"\s",
    CONTROL: r"\p{Cc}",
    MARK: r"\p{M}",
    NUMBER: r"\p{N}",
    PUNCTUATION: r"\p{P}",
    SYMBOL: r"\p{S}",
    **{FIRST_LETTER + 2 * place: rf"[{SCRIPTS[name]}&&\p{{L}}]" for place, name in enumerate(_NAMES[:-1])},
    FIRST_LETTER + 2 * (len(_NAMES) - 1): r"\p{L}",
}
"""Kind -> pattern; the first that matches is a character's."""
_KIND_COUNT = FIRST_LETTER + 2 * len(_NAMES)
_UNKNOWN = 255
_CODE_POINTS = 0x110000
_PIECE_BYTES = 256 * 1024
"""Texts looked at together: their arrays stay in a core's cache, which is twice as fast as 10 MB of them."""


@dataclass(frozen=True)
class Piece:
    """Some texts, their characters end to end.

    Attributes:
        kinds: shape (characters,), the kind of each.
        codes: shape (characters,), the code point of each.
        ends: shape (texts + 1,): text i holds the characters from `ends[i]` up to `ends[i + 1]`.
    """

    kinds: NDArray[np.uint8]
    codes: NDArray[np.uint32]
    ends: NDArray[np.int64]

    @property
    def texts(self) -> NDArray[np.int64]:
        """Shape (characters,): the place of the text that each character belongs to."""
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))


def pieces(texts: pl.Series) -> Iterator[Piece]:
    """Texts in pieces of about 256 KiB, in order; a missing text is an empty one, of a long one its beginning is taken.

    Args:
        texts: strings, shape (rows,).
    """
    texts = texts.fill_null("").str.head(MAX_CHARACTERS)
    reached = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.int64) // _PIECE_BYTES
    cuts = np.flatnonzero(np.diff(reached, prepend=-1, append=-1)).tolist()
    for start, end in pairwise(cuts):
        some = texts[start:end]
        codes = np.frombuffer("".join(some.to_list()).encode("utf-32-le"), dtype=np.uint32)
        ends = np.concatenate([[0], np.cumsum(some.str.len_chars().to_numpy(), dtype=np.int64)])
        yield Piece(_kinds(codes), codes, ends)


def count_characters(texts: pl.Series) -> pl.DataFrame:
    """Characters of every kind: a row for every text, a column for every kind, and one for every script's letters.

    Returns:
        `characters`, `letters`, `upper`, `numbers`, `marks`, `punctuation`, `symbols`, `white`, `control` and the names
        of `SCRIPTS`, with `other` for letters of none of them. White space is none of `control`. `script` is the name
        of the one with most letters, null without a letter.
    """
    counted = np.zeros((len(texts), _KIND_COUNT), dtype=np.int64)
    done = 0
    for piece in pieces(texts):
        rows = len(piece.ends) - 1
        places = piece.texts * _KIND_COUNT + piece.kinds
        counted[done : done + rows] = np.bincount(places, minlength=rows * _KIND_COUNT).reshape(rows, _KIND_COUNT)
        done += rows
    letters = counted[:, FIRST_LETTER::2] + counted[:, FIRST_LETTER + 1 :: 2]
    return pl.DataFrame(
        {
            "characters": counted.sum(axis=1),
            "letters": letters.sum(axis=1),
            "upper": counted[:, FIRST_LETTER + 1 :: 2].sum(axis=1),
            "numbers": counted[:, NUMBER],
            "marks": counted[:, MARK],
            "punctuation": counted[:, PUNCTUATION],
            "symbols": counted[:, SYMBOL],
            "white": counted[:, WHITE],
            "control": counted[:, CONTROL],
            **{name: letters[:, place] for place, name in enumerate(_NAMES)},
            "script": np.array(_NAMES)[letters.argmax(axis=1)],
        }
    ).with_columns(pl.when(pl.col("letters") > 0).then("script").alias("script"))


def _kinds(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The kind of each code point: what Polars' regular expressions say of its character, asked once a process."""
    table = _known_kinds()
    kinds = table[codes]
    new = np.unique(codes[kinds == _UNKNOWN])
    if len(new):
        table[new] = _ask(new)
        kinds = table[codes]
    return kinds


@lru_cache(maxsize=1)
def _known_kinds() -> NDArray[np.uint8]:
    """Code point -> kind, shape (1,114,112,), `_UNKNOWN` until it is met: a cache that `_kinds` fills."""
    return np.full(_CODE_POINTS, _UNKNOWN, dtype=np.uint8)


def _ask(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    character = pl.col("character")
    kinds = [
        pl.when(character.str.contains(pattern)).then(pl.lit(kind, pl.UInt8)) for kind, pattern in _PATTERNS.items()
    ]
    upper = character.str.contains(r"\p{Lu}").cast(pl.UInt8)
    frame = pl.DataFrame({"character": list(map(chr, codes.tolist()))})
    return frame.select(pl.coalesce(*kinds, pl.lit(OTHER, pl.UInt8)) + upper).to_series().to_numpy()


def letter_kinds(names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Shape (256,): whether a kind is a letter of one of these scripts."""
    kinds = np.zeros(256, dtype=np.bool_)
    for name in names:
        first = FIRST_LETTER + 2 * _NAMES.index(name)
        kinds[first : first + 2] = True
    return kinds
