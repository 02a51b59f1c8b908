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
    found = script_counts(texts).sum().row(0, named=True)
    letters = sum(found.values())
    return {script: count / letters for script, count in found.items() if count}


def row_scripts(texts: pl.Series) -> pl.Series:
    """The script of most of each text's letters, the first in the order of `SCRIPTS` among equals.

    `other` for a script that is not in it, `none` without a letter. Rows, unlike letters, can be counted as drawn
    independently: their shares have an interval.
    """
    counts = script_counts(texts)
    most = pl.concat_list(counts.columns).list.arg_max()
    named = most.replace_strict(list(range(counts.width)), counts.columns, return_dtype=pl.String)
    chosen = pl.when(pl.sum_horizontal(counts.columns) > 0).then(named).otherwise(pl.lit(NO_SCRIPT))
    return counts.select(script=chosen)["script"]


def script_counts(texts: pl.Series) -> pl.DataFrame:
    """Letters of each script in each text, `other` for the rest; shape (texts, scripts + 1).

    Letters that are ASCII are counted and taken out first: little is left of an English text to look at again.
    """
    frame = texts.alias("text").to_frame()
    frame = frame.select(
        ascii=pl.col("text").str.count_matches("[A-Za-z]").cast(pl.Int64),
        # two steps: a class of bytes is found many times faster than one of Unicode
        rest=pl.col("text").str.replace_all(r"[\x00-\x7F]+", "").str.replace_all(r"[^\p{L}]+", ""),
    )
    counts = frame.select(
        "ascii",
        pl.col("rest").str.len_chars().cast(pl.Int64),
        **{script: pl.col("rest").str.count_matches(pattern).cast(pl.Int64) for script, pattern in SCRIPTS.items()},
    )
    return counts.select(
        *(pl.col(script) + pl.col("ascii") if script == "latin" else pl.col(script) for script in SCRIPTS),
        other=pl.col("rest") - pl.sum_horizontal(list(SCRIPTS)),
    )
