"""`baseline.json`: what the train rows look like, which drift is later measured against."""

from typing import Literal

import polars as pl
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


def profile(train: pl.DataFrame, slices: list[str]) -> Baseline:
    """Profile a split with the columns `text`, `label` and the slice columns. At least one row."""
    return Baseline(
        rows=train.height,
        labels=shares(train["label"]),
        length_characters=histogram(train["text"].str.len_chars()),
        scripts=script_shares(train["text"]),
        slices={column: shares(train[column]) for column in slices},
        row_scripts=shares(row_scripts(train["text"])),
    )


def shares(values: pl.Series) -> dict[str, float]:
    """Share of each value, in the order of the values."""
    counts = values.value_counts(name="count").sort(values.name)
    return {str(value): count / len(values) for value, count in counts.iter_rows()}


def histogram(lengths: pl.Series) -> Histogram:
    """Histogram with the distinct deciles as edges."""
    ordered = lengths.sort()
    places = [min(len(ordered) - 1, len(ordered) * part // BINS) for part in range(1, BINS)]
    edges = sorted({int(ordered[place]) for place in places})
    ends = [int((ordered <= edge).sum()) for edge in edges]
    counts = [end - before for end, before in zip([*ends, len(ordered)], [0, *ends], strict=True)]
    return Histogram(edges=edges, counts=counts)


def script_shares(texts: pl.Series) -> dict[str, float]:
    """Share of each script among all letters; empty where there are no letters."""
    letters = int(texts.str.count_matches(r"\p{L}").sum())
    if letters == 0:
        return {}
    found = {
        script: int(texts.str.count_matches(rf"[{pattern}&&\p{{L}}]").sum()) for script, pattern in SCRIPTS.items()
    }
    found["other"] = letters - sum(found.values())
    return {script: count / letters for script, count in found.items() if count}


def row_scripts(texts: pl.Series) -> pl.Series:
    """The script of most of each text's letters, the first in the order of `SCRIPTS` among equals.

    `other` for a script that is not in it, `none` without a letter. Rows, unlike letters, can be counted as drawn
    independently: their shares have an interval.
    """
    text = pl.col("text").str
    known = [text.count_matches(rf"[{pattern}&&\p{{L}}]") for pattern in SCRIPTS.values()]
    letters = text.count_matches(r"\p{L}")
    counts = pl.concat_list(*known, letters - pl.sum_horizontal(known))
    names = [*SCRIPTS, "other"]
    named = counts.list.arg_max().replace_strict(list(range(len(names))), names, return_dtype=pl.String)
    return (
        (texts.alias("text").to_frame().select(pl.when(letters > 0).then(named).otherwise(pl.lit(NO_SCRIPT))))
        .to_series()
        .alias("script")
    )
