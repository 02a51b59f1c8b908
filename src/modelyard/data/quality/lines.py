"""What a text is like line by line and paragraph by paragraph."""

import polars as pl

from modelyard.data.quality.scripts import MAX_CHARACTERS, SCRIPTS, UNSEGMENTED
from modelyard.data.quality.words import unsegmented_letters

SHORT_LINE_CHARACTERS = 30
LINE_WORDS = 5
LINE_LETTERS = unsegmented_letters(LINE_WORDS)
"""Of a script without spaces, for 5 words and for 30 characters: those are 5.2 English words of 4.8 letters and a space
(Norvig 2012, English Letter Frequency Counts, mean word length)."""
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

_ALONE = "[" + "".join(SCRIPTS[name].strip("[]") for name in UNSEGMENTED) + r"&&\p{L}]"
_BULLETS = r"^[•‣▶◀◦■□▪▫●○◆◇★☆·*–-]"
_ELLIPSIS = r"(?:\.\.\.|…|。。。)$"
_TERMINAL = r"""[\p{Sentence_Terminal}…"'”’」』][)\]）】]?$"""
_SENTENCE_END = r"""[.!?]+["'”’)\]]*(?:\s|$)|[\p{Sentence_Terminal}--[.!?]]+[”’」』）】]*"""
_CITATION = r"\[(?:\d*|edit|citation needed)\]"
_TAIL = 4
"""Last characters of a line that the patterns for its end look at."""


def measure_lines(texts: pl.Series) -> pl.DataFrame:
    """Lines of every text that are not blank, white space around them gone, and how many are of which sort.

    A line is short below 30 characters (Penedo et al. 2024, section 3.6), unless it holds 9 letters of a script without
    spaces. It repeats where an earlier line of its text is the same. Terminal punctuation is what Unicode calls so (the
    property Sentence_Terminal), an ellipsis, or a closing quotation mark.

    Returns:
        `lines`, `line_characters`, `bullet_lines`, `ellipsis_lines`, `terminal_lines`, `short_lines`, `repeated_lines`,
        `repeated_characters`, `javascript_lines`, `policy_lines`, `long_lines` (of 5 words, or 9 such letters, or
        more).
    """
    line, end = pl.col("part"), pl.col("part").str.tail(_TAIL)
    characters = line.str.len_chars().cast(pl.Int64)
    long = (characters >= SHORT_LINE_CHARACTERS) | line.str.contains(_at_least(LINE_LETTERS))
    return _sums(
        _parts(texts, "\n").with_columns(_repeats()),
        {
            "lines": pl.lit(1),
            "line_characters": characters,
            "bullet_lines": line.str.contains(_BULLETS),
            "ellipsis_lines": end.str.contains(_ELLIPSIS),
            "terminal_lines": end.str.contains(_TERMINAL),
            "short_lines": ~long,
            "repeated_lines": pl.col("repeats"),
            "repeated_characters": pl.when("repeats").then(characters).otherwise(0),
            "javascript_lines": _says("javascript"),
            "policy_lines": _says("|".join(POLICY)),
            "long_lines": _has_words(),
        },
        len(texts),
    )


def measure_paragraphs(texts: pl.Series) -> pl.DataFrame:
    """Paragraphs, what stands between blank lines, and those that repeat an earlier one.

    Returns:
        `paragraphs`, `paragraph_characters`, `repeated_paragraphs`, `repeated_characters`.
    """
    characters = pl.col("part").str.len_chars().cast(pl.Int64)
    return _sums(
        _parts(texts, r"\n\s*\n").with_columns(_repeats()),
        {
            "paragraphs": pl.lit(1),
            "paragraph_characters": characters,
            "repeated_paragraphs": pl.col("repeats"),
            "repeated_characters": pl.when("repeats").then(characters).otherwise(0),
        },
        len(texts),
    )


def measure_c4(texts: pl.Series) -> pl.DataFrame:
    """What the line filters of C4 would leave of every text.

    Raffel et al. (2020), Exploring the Limits of Transfer Learning, JMLR 21(140), section 2.2: a line stays that ends
    in terminal punctuation, has 5 words or more, and names neither JavaScript nor a cookie or privacy policy; markers
    of citations are taken out first. That an end in three full stops is none is in their code (tensorflow_datasets,
    c4_utils), not in the paper. Sentences are counted by their punctuation.

    Returns:
        `c4_lines`, `c4_sentences`.
    """
    lines = _parts(texts, "\n").with_columns(pl.col("part").str.replace_all(_CITATION, "").str.strip_chars_end())
    end = pl.col("part").str.tail(_TAIL)
    kept = (
        end.str.contains(_TERMINAL)
        & ~end.str.ends_with("...")
        & _has_words()
        & ~_says("|".join(("javascript", *POLICY)))
    )
    return _sums(
        lines.filter(kept),
        {"c4_lines": pl.lit(1), "c4_sentences": pl.col("part").str.count_matches(_SENTENCE_END).clip(lower_bound=1)},
        len(texts),
    )


def _parts(texts: pl.Series, separator: str) -> pl.DataFrame:
    """`text` (place), `part`: what stands between the separators and is not blank."""
    return (
        pl.DataFrame({"part": texts.fill_null("").str.head(MAX_CHARACTERS)})
        .with_row_index("text")
        .with_columns(pl.col("part").str.split(separator, literal=separator == "\n"))
        .explode("part")
        .with_columns(pl.col("part").str.strip_chars())
        .filter(pl.col("part") != "")
    )


def _repeats() -> pl.Expr:
    """Whether an earlier part of the same text is the same; by a digest of 64 bits."""
    return (~pl.struct("text", pl.col("part").hash()).is_first_distinct()).alias("repeats")


def _sums(parts: pl.DataFrame, columns: dict[str, pl.Expr], count: int) -> pl.DataFrame:
    """The sum of each expression over the parts of each of `count` texts; 0 for one without parts."""
    added = parts.lazy().select("text", **columns).group_by("text").agg(pl.all().cast(pl.Int64).sum())
    places = pl.LazyFrame({"text": pl.int_range(count, dtype=pl.UInt32, eager=True)})
    return places.join(added, on="text", how="left", maintain_order="left").drop("text").fill_null(0).collect()


def _says(words: str) -> pl.Expr:
    return pl.col("part").str.contains(rf"(?i){words}")


def _has_words() -> pl.Expr:
    """Whether a line has 5 words, or 9 letters of a script without spaces."""
    return pl.col("part").str.contains(rf"^\S+(?:\s+\S+){{{LINE_WORDS - 1}}}|" + _at_least(LINE_LETTERS))


def _at_least(letters: int) -> str:
    return rf"^(?:.*?{_ALONE}){{{letters}}}"
