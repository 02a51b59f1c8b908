"""The columns of two data sets: which are numbers, which kinds, what is measured of a text, and how each is drawn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from modelyard.artifacts.prepared import NO_VALUE
from modelyard.data.change.measures import (
    Cells,
    Measures,
    category_verdicts,
    cells_of,
    missing_verdict,
    number_verdicts,
)
from modelyard.data.characters import row_scripts
from modelyard.evidence.distance import Counts, Numbers, gap_at, on_shared_values
from modelyard.evidence.judge import Verdict

FEW_VALUES = 5
"""A column of numbers with no more distinct values is one of kinds: Evidently's `n_unique <= 5`."""
FEW_LABELS = 100
"""The same for labels, which are mostly classes with numbers for names."""
READABLE = 0.99
"""Share of the cells that must be numbers; as for `fields_present`, an export spoils a few."""
COVERED = 0.5
"""Share of the rows whose kind is common enough to be compared; below, the values hardly repeat."""
BINS = 32
TAIL = 0.005
"""Share of the rows left to the first and the last bin of a drawing, so that one outlier does not flatten it."""
SHOWN_KINDS = 24
SHOWN_CHARACTERS = 80

SHARES = {
    "text.digits": r"\p{N}",
    "text.punctuation": r"[\p{P}\p{S}]",
    "text.spaces": r"\s",
}
"""Shares of a text's characters: they mean the same in every language."""

Kind = Literal["number", "category"]


@dataclass(frozen=True)
class Compared:
    """One column: its verdicts, and its distributions as `parameters.distributions` holds them."""

    verdicts: list[Verdict]
    drawing: dict[str, Any]


def text_features(texts: pl.Series) -> dict[str, pl.Series]:
    """What is measured of each text: `text.characters`, the shares of `SHARES`, `text.script`.

    Args:
        texts: without nulls.
    """
    frame = texts.alias("text").to_frame()
    length = pl.col("text").str.len_chars()
    shares = {
        # a thousandth is fine enough, and keeps the distinct values few
        name: (pl.col("text").str.count_matches(pattern) / pl.max_horizontal(length, 1)).round(3)
        for name, pattern in SHARES.items()
    }
    found = frame.select(length.cast(pl.Float64).alias("text.characters"), **shares)
    return {**{name: found[name] for name in found.columns}, "text.script": row_scripts(texts)}


def kind_of(old: pl.Series, new: pl.Series, *, few: int = FEW_VALUES) -> tuple[Kind | None, str]:
    """What a column of strings holds; None and the reason where it is not compared.

    Args:
        old: values of OLD, strings, null where there is none.
        new: values of NEW.
        few: most distinct numbers that are kinds.
    """
    both = [old.drop_nulls(), new.drop_nulls()]
    if not all(len(side) for side in both):
        return None, "it has no value on one side"
    distinct = [side.n_unique() for side in both]
    numbers = [as_numbers(side) for side in both]
    readable = all(side.count() >= READABLE * len(side) for side in numbers)
    if readable and pl.concat(both).n_unique() > few:
        whole = all((side.drop_nulls() % 1 == 0).all() for side in numbers)
        if whole and all(count == len(side) for count, side in zip(distinct, both, strict=True)):
            return None, "each row has a number of its own"
        return "number", ""
    cells = cells_of(counts_of(old), counts_of(new))
    covered = min(1.0 - _share_of_other(cells, side) for side in (cells.old, cells.new))
    if max(distinct) > few and (covered < COVERED or len(cells.names) > min(map(len, both)) / 2):
        return None, "its values hardly repeat"
    return "category", ""


def _share_of_other(cells: Cells, side: Counts) -> float:
    return float(side[-1] / side.sum()) if cells.names[-1] == "(other)" else 0.0


def as_numbers(values: pl.Series) -> pl.Series:
    """Strings as numbers; null where one is none, or is infinite."""
    numbers = values.str.strip_chars().cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(value=True), None)


def counts_of(values: pl.Series) -> dict[str, int]:
    """Kind -> rows; a missing value is `(none)`."""
    counted = values.cast(pl.String).fill_null(NO_VALUE).rename("value").value_counts(name="rows").sort("value")
    return dict(counted.iter_rows())


def compare_column(name: str, kind: Kind, old: pl.Series, new: pl.Series, measures: Measures) -> Compared:
    """Verdicts and drawing of one column.

    Args:
        name: of the column.
        kind: as `kind_of` found it.
        old: values of OLD: strings, or numbers where they are features of a text.
        new: values of NEW.
        measures: as chosen.
    """
    if kind == "category":
        return compare_kinds(name, counts_of(old), counts_of(new), measures)
    numbers = [side if side.dtype.is_float() else as_numbers(side) for side in (old, new)]
    values, in_old, in_new = on_shared_values(*(side.drop_nulls().to_numpy() for side in numbers))
    verdicts = number_verdicts(name, values, in_old, in_new, measures)
    if any(side.null_count() for side in numbers):
        missing = [(side.null_count(), len(side)) for side in numbers]
        verdicts.append(missing_verdict(name, *missing[0], *missing[1], measures))
    return Compared(verdicts, number_drawing(name, values, in_old, in_new))


def compare_kinds(name: str, old: Mapping[str, int], new: Mapping[str, int], measures: Measures) -> Compared:
    """Verdicts and drawing of a column of kinds, of which the counts are known."""
    cells = cells_of(old, new)
    return Compared(category_verdicts(name, cells, measures), category_drawing(name, cells))


def number_drawing(name: str, values: Numbers, old: Counts, new: Counts) -> dict[str, Any]:
    """Both distributions in the same bins: `edges` of shape (bins + 1,), `old` and `new` the shares of the rows.

    The first and the last bin also hold what lies beyond them. `gap` is where the shares up to a value differ most.
    """
    place = gap_at(old, new)
    edges = _edges(values, old + new)
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, edges.size - 2)
    sides = {
        side: (np.bincount(bins, weights=counts, minlength=edges.size - 1) / counts.sum()).round(6).tolist()
        for side, counts in (("old", old), ("new", new))
    }
    gap = [float(values[place]), *(round(float(side[: place + 1].sum() / side.sum()), 6) for side in (old, new))]
    return {"column": name, "kind": "number", "edges": [float(edge) for edge in edges.round(6)], **sides, "gap": gap}


def _edges(values: Numbers, pooled: Counts) -> Numbers:
    """Equal steps between the tails; whole numbers get a bin each where they are few, else bins of whole width."""
    up_to = pooled.cumsum() / pooled.sum()
    low, high = (float(values[np.searchsorted(up_to, share)]) for share in (TAIL, 1.0 - TAIL))
    if (values % 1 == 0).all():
        width = max(1.0, np.ceil((high - low + 1.0) / BINS))
        return np.arange(low - 0.5, high + width, width)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def category_drawing(name: str, cells: Cells) -> dict[str, Any]:
    """Shares of the kinds on both sides, the most frequent first, numbers in their order; `hidden` are left out."""
    places = list(range(min(SHOWN_KINDS, len(cells.names))))
    if len(places) == len(cells.names) and all(_is_number(kind) for kind in cells.names):
        places.sort(key=lambda place: float(cells.names[place]))
    return {
        "column": name,
        "kind": "category",
        "names": [cells.names[place][:SHOWN_CHARACTERS] for place in places],
        "old": (cells.old / cells.old.sum())[places].round(6).tolist(),
        "new": (cells.new / cells.new.sum())[places].round(6).tolist(),
        "hidden": max(0, len(cells.names) - SHOWN_KINDS),
    }


def _is_number(kind: str) -> bool:
    try:
        return math.isfinite(float(kind))
    except ValueError:
        return False
