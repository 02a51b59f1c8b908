"""`baseline.json`: what the train rows look like, which drift is later measured against."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

SCRIPTS = {
    "latin": r"\p{Latin}",
    "han": r"\p{Han}",
    "kana": r"[\p{Hiragana}\p{Katakana}]",
    "hangul": r"\p{Hangul}",
    "cyrillic": r"\p{Cyrillic}",
    "arabic": r"\p{Arabic}",
    "devanagari": r"\p{Devanagari}",
}
NO_SCRIPT = "none"
"""Of a text without a letter."""
BINS = 10


class Histogram(BaseModel):
    """Counts between edges: bin i holds `edges[i - 1] < x <= edges[i]`; the first and the last bin are open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edges: list[int]
    counts: list[int]


class Baseline(BaseModel):
    """`baseline.json`.

    Attributes:
        schema_version: `schema` in JSON.
        rows: rows in train.
        labels: share of each label.
        length_characters: lengths of the texts. The edges are deciles, so that bins hold about equally many rows, as
            the population stability index wants them.
        scripts: share of each script among the letters of all texts; `other` for the rest.
        slices: slice column -> share of each value.
        row_scripts: share of the rows by the script of most of their letters; None in files of before 2026-12.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    rows: int
    labels: dict[str, float]
    length_characters: Histogram
    scripts: dict[str, float]
    slices: dict[str, dict[str, float]]
    row_scripts: dict[str, float] | None = None


def histogram(lengths: Mapping[int, int]) -> Histogram:
    """Histogram with the distinct deciles as edges.

    Args:
        lengths: length -> rows of that length; at least one row.
    """
    values = np.array(sorted(lengths))
    upto = np.cumsum([lengths[value] for value in values.tolist()])
    total = int(upto[-1])
    places = [min(total - 1, total * part // BINS) for part in range(1, BINS)]
    edges = sorted({int(values[np.searchsorted(upto, place, side="right")]) for place in places})
    ends = [int(upto[np.searchsorted(values, edge, side="right") - 1]) for edge in edges]
    counts = [end - before for end, before in zip([*ends, total], [0, *ends], strict=True)]
    return Histogram(edges=edges, counts=counts)


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Share of each value, in the order of the values."""
    total = sum(counts.values())
    return {value: count / total for value, count in sorted(counts.items())}


def script_shares(letters: int, by_script: Mapping[str, int]) -> dict[str, float]:
    """Share of each script among all letters; empty where there are no letters."""
    if letters == 0:
        return {}
    found = {**by_script, "other": letters - sum(by_script.values())}
    return {script: count / letters for script, count in found.items() if count}
