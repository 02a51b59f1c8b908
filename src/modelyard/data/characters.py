"""What the characters of many texts are, seen at once: letters by script, white space, and the text as copies compare.

Regular expressions that match one character at a time count 10 MB/s, and so does `unicodedata` text by text; a table
look-up over the code points of many texts does both several times as fast.
"""

import functools
import itertools
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.data.baseline import NO_SCRIPT, SCRIPTS

CJK = ("han", "kana", "hangul")
_CODE_POINTS = 0x110000
_SLICE_CHARACTERS = 1_000_000
"""Looked up at once: the arrays of one slice take a few dozen MB."""
_CLASSES = ("rest", *SCRIPTS, "other", "space", "invisible")
_SPACE = _CLASSES.index("space")
_BY_ITSELF = 0
"""No code point stands for this one alone: its text is normalised by itself."""

# full-width forms are NFKC's work; these have no compatibility mapping
_PUNCTUATION = {"。": ".", "、": ",", "“": '"', "”": '"', "‘": "'", "’": "'"}  # noqa: RUF001  (the keys are the point)


def read_characters(texts: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """Counts for each text, and each text normalised.

    Args:
        texts: strings, no null.

    Returns:
        `characters`, `letters` (general category L), `script_NAME` for each of `SCRIPTS` (letters of that script),
        `cjk` (Han, kana and Hangul letters), `visible` (neither white space nor of category Cf): Int64, a row a text.
        The texts as `normalise` gives them.
    """
    values = texts.to_list()
    ascii_only = np.fromiter(map(str.isascii, values), bool, len(values))
    if ascii_only.all():
        return _columns(*_read_ascii(values), texts.name)
    if not ascii_only.any():
        return _columns(*_read_any(values), texts.name)
    counts = np.zeros((len(values), len(_CLASSES)), np.int64)
    normal = np.empty(len(values), object)
    for read, own in ((_read_ascii, ascii_only), (_read_any, ~ascii_only)):
        counts[own], normal[own] = read(list(itertools.compress(values, own.tolist())))
    return _columns(counts, normal.tolist(), texts.name)


def _columns(counts: NDArray[np.int64], normal: list[str], name: str) -> tuple[pl.DataFrame, pl.Series]:
    by_class = dict(zip(_CLASSES, counts.T, strict=True))
    characters = counts.sum(axis=1)
    columns = {
        "characters": characters,
        "letters": characters - by_class["rest"] - by_class["space"] - by_class["invisible"],
        **{f"script_{script}": by_class[script] for script in SCRIPTS},
        "cjk": np.sum([by_class[script] for script in CJK], axis=0),
        "visible": characters - by_class["space"] - by_class["invisible"],
    }
    frame = pl.DataFrame({column: pl.Series(column, values, pl.Int64) for column, values in columns.items()})
    return frame, pl.Series(name, normal, pl.String)


def _read_ascii(values: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Class counts, shape (texts, classes), and normal forms of texts of ASCII alone, by comparisons of bytes."""
    counts = np.zeros((len(values), len(_CLASSES)), np.int64)
    normal: list[str] = []
    done = 0
    for part in _slices(values):
        data = np.frombuffer("".join(part).encode("ascii"), np.uint8)
        lengths = np.fromiter(map(len, part), np.int64, len(part))
        own = counts[done : done + len(part)]
        own[:, _CLASSES.index("latin")] = letters = _sums(_within(data | np.uint8(0x20), "a", "z"), lengths)
        own[:, _SPACE] = spaces = _sums((data == ord(" ")) | _within(data, "\t", "\r"), lengths)
        own[:, _CLASSES.index("rest")] = lengths - letters - spaces
        normal += _normalised_ascii(data, lengths)
        done += len(part)
    return counts, normal


def _within(data: NDArray[np.uint8], first: str, last: str) -> NDArray[np.bool_]:
    """Which bytes lie between two characters, both included; what is below the first wraps round to large numbers."""
    return (data - np.uint8(ord(first))) <= ord(last) - ord(first)


def _sums(flags: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of each text's flags are set."""
    sums = np.zeros(len(lengths), np.int64)
    full = np.flatnonzero(lengths)
    if full.size:
        starts = (np.cumsum(lengths) - lengths)[full]
        sums[full] = np.add.reduceat(flags.view(np.uint8), starts, dtype=np.uint32)
    return sums


def _normalised_ascii(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> list[str]:
    """Each text in lower case; only where white space is more than single spaces inside is it parted and joined."""
    ends = np.cumsum(lengths)
    space = data == ord(" ")
    odd = np.flatnonzero(_within(data, "\t", "\r") | _within(data, "\x1c", "\x1f"))  # where `str.split` parts as well
    double = np.flatnonzero(space[1:] & space[:-1])  # across two texts too, which does no harm
    uneven = np.zeros(len(lengths), bool)
    uneven[np.searchsorted(ends, np.concatenate([odd, double]), side="right")] = True
    full = np.flatnonzero(lengths)
    uneven[full] |= space[ends[full] - 1] | space[ends[full] - lengths[full]]
    lower = (data | (_within(data, "A", "Z").view(np.uint8) << 5)).tobytes().decode("ascii")
    bounds = zip((ends - lengths).tolist(), ends.tolist(), uneven.tolist(), strict=True)
    return [" ".join(lower[start:end].split()) if spaced else lower[start:end] for start, end, spaced in bounds]


def _read_any(values: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Class counts, shape (texts, classes), and normal forms of any texts."""
    slices = [(part, _points(part)) for part in _slices(values)]
    tables = _tables([points for _, points in slices])
    counts = [np.zeros((0, len(_CLASSES)), np.int64)]
    normal: list[str] = []
    for part, points in slices:
        lengths = np.fromiter(map(len, part), np.int64, len(part))
        row = np.repeat(np.arange(len(part)), lengths)
        counts.append(_count(row, tables.classes[points], len(part)))
        normal += _normalised(part, points, lengths, row, tables)
    return np.concatenate(counts), normal


def row_scripts(texts: pl.Series) -> pl.Series:
    """The script of most of each text's letters (`dominant_script`); no null."""
    counts, _ = read_characters(texts)
    return counts.select(dominant_script()).to_series()


def dominant_script() -> pl.Expr:
    """Over what `read_characters` counts: the script of most letters, the first in the order of `SCRIPTS` among equals.

    `other` for a script that is not in it, `none` without a letter. Rows, unlike letters, can be counted as drawn
    independently: their shares have an interval.
    """
    known = [pl.col(f"script_{name}") for name in SCRIPTS]
    names = [*SCRIPTS, "other"]
    most = pl.concat_list(*known, pl.col("letters") - pl.sum_horizontal(known)).list.arg_max()
    named = most.replace_strict(list(range(len(names))), names, return_dtype=pl.String)
    return pl.when(pl.col("letters") > 0).then(named).otherwise(pl.lit(NO_SCRIPT)).alias("script")


def normalise(texts: pl.Series) -> pl.Series:
    """Texts as copies compare: NFKC, case folded, punctuation to ASCII width, invisible characters gone; nulls stay.

    White space is collapsed. Unicode Standard Annex 15 for NFKC, which also narrows full-width letters and punctuation;
    case folding by the Unicode Standard, section 3.13; invisible is category Cf.
    """
    _, normal = read_characters(texts.fill_null(""))
    return pl.select(pl.when(texts.is_not_null()).then(normal)).to_series().alias(texts.name)


class _Tables(NamedTuple):
    """By code point: its class, and the one code point it is normalised to or `_BY_ITSELF`."""

    classes: NDArray[np.uint8]
    plain: NDArray[np.uint32]


def _slices(values: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for value in values:
        part.append(value)
        size += len(value)
        if size >= _SLICE_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _points(values: list[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(values).encode("utf-32-le"), "<u4")


def _tables(every: list[NDArray[np.uint32]]) -> _Tables:
    seen = np.zeros(_CODE_POINTS, bool)
    for points in every:
        seen[points] = True
    distinct = np.flatnonzero(seen)
    classes, plain = np.zeros(_CODE_POINTS, np.uint8), np.zeros(_CODE_POINTS, np.uint32)
    classes[distinct] = _classify(distinct)
    plain[distinct] = [_plain(point) for point in distinct.tolist()]
    return _Tables(classes, plain)


def _classify(points: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The class of each code point as its place in `_CLASSES`."""
    sign = pl.Series("sign", [chr(point) for point in points.tolist()], pl.String)
    patterns = {
        "space": r"\s",
        "invisible": r"\p{Cf}",
        **{name: rf"[{pattern}&&\p{{L}}]" for name, pattern in SCRIPTS.items()},
        "other": r"\p{L}",
    }
    own = [
        pl.when(pl.col("sign").str.contains(pattern)).then(pl.lit(_CLASSES.index(name), pl.UInt8))
        for name, pattern in patterns.items()
    ]
    return pl.DataFrame([sign]).select(pl.coalesce(*own, pl.lit(0, pl.UInt8))).to_series().to_numpy()


@functools.cache
def _plain(point: int) -> int:
    """The one code point that this one is normalised to whatever stands beside it, else `_BY_ITSELF`."""
    sign = chr(point)
    if unicodedata.category(sign) in ("Mn", "Mc", "Me", "Cf") or 0x1100 <= point <= 0x11FF:  # joins what is before it
        return _BY_ITSELF
    if sign.isspace():
        return ord(" ")
    normal = _folded(sign)
    return ord(normal) if len(normal) == 1 else _BY_ITSELF


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    for sign, plain in _PUNCTUATION.items():
        text = text.replace(sign, plain)
    return text


def _count(row: NDArray[np.int64], classes: NDArray[np.uint8], texts: int) -> NDArray[np.int64]:
    """Characters of each class in each text; shape (texts, classes)."""
    counts = np.bincount(row * len(_CLASSES) + classes, minlength=texts * len(_CLASSES))
    return counts.reshape(texts, len(_CLASSES)).astype(np.int64)


def _normalised(
    values: list[str], points: NDArray[np.uint32], lengths: NDArray[np.int64], row: NDArray[np.int64], tables: _Tables
) -> list[str]:
    """Each text normalised: by the table where every code point of it stands for itself, else by itself."""
    plain = tables.plain[points]
    by_itself = np.zeros(len(values), bool)
    by_itself[row[plain == _BY_ITSELF]] = True
    space = plain == ord(" ")
    uneven = np.zeros(len(values), bool)
    double = np.flatnonzero(space[1:] & space[:-1])
    uneven[row[double]] = True
    ends = np.cumsum(lengths)
    full = np.flatnonzero(lengths)
    uneven[full] |= space[ends[full] - 1] | space[ends[full] - lengths[full]]
    joined = np.where(plain == _BY_ITSELF, ord("?"), plain).astype("<u4").tobytes().decode("utf-32-le")
    bounds = zip(values, (ends - lengths).tolist(), ends.tolist(), by_itself.tolist(), uneven.tolist(), strict=True)
    return [
        _one(value) if alone else " ".join(joined[start:end].split()) if spaced else joined[start:end]
        for value, start, end, alone, spaced in bounds
    ]


def _one(text: str) -> str:
    text = _folded(text)
    return " ".join("".join(sign for sign in text if unicodedata.category(sign) != "Cf").split())
