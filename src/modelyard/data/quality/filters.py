"""The published filters of Gopher, C4 and FineWeb, each as a named rule over the features of `quality`.

* gopher: Rae et al. (2021), Scaling Language Models: Methods, Analysis & Insights from Training Gopher,
  arXiv:2112.11446, appendix A.1.1 (quality) and table A1 (repetition).
* c4: Raffel et al. (2020), Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer,
  JMLR 21(140), section 2.2.
* fineweb: Penedo et al. (2024), The FineWeb Datasets, arXiv:2406.17557, section 3.6.

The thresholds are the papers'. datatrove, which most people run when they name these filters, differs in places:
`differs` says where (release 0.10.1). What was set for English words is measured in a text that is mostly of a script
without spaces by letters, 1.72 for a word (`words.LETTERS_PER_WORD`); what has no meaning there is not asked.

C4 works on lines; a row is found where nothing, or too little, of it would be left. Not here: C4's list of bad words,
its removal of repeated spans of three sentences (duplicates have rules of their own), its English only (`language`).
They were made for web pages: most are no rule for short texts, such as reviews.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from modelyard.data.quality.features import STOP_WORDS, features
from modelyard.data.quality.words import DUPLICATE_SIZES, TOP_SIZES, unsegmented_letters

_TOP = {2: 0.20, 3: 0.18, 4: 0.16}
_DUPLICATE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
_QUALITY = "Rae et al. 2021, appendix A.1.1"
_REPETITION = "Rae et al. 2021, table A1"
_C4 = "Raffel et al. 2020, section 2.2"
_FINEWEB = "Penedo et al. 2024, section 3.6"

_ALL = "all"
_BY_LETTERS = "all; in a text mostly of a script without spaces between words 1.72 letters stand for a word"
_SPACED = "scripts with spaces between words; a text mostly of Han, kana, Thai, Lao, Khmer, Burmese or Tibetan passes"
_ENGLISH = "English; a text mostly of another script than Latin passes"
_TERMINAL = "all; whatever Unicode calls the end of a sentence is one: 。！？ too"


@dataclass(frozen=True)
class Filter:
    """A rule that finds rows by their text.

    Attributes:
        name: `FAMILY_WHAT`.
        features: what it looks at, names of `quality.FEATURES`.
        reason: a string where a row breaks it, with the value and the threshold, null elsewhere.
        threshold: as published, for people.
        source: where it was published.
        languages: which texts it is for, and how others are measured.
        differs: how datatrove 0.10.1 differs; empty where it does not.
    """

    name: str
    features: tuple[str, ...]
    reason: pl.Expr
    threshold: str
    source: str
    languages: str
    differs: str = ""

    @property
    def family(self) -> Literal["gopher", "c4", "fineweb"]:
        """The paper it comes from."""
        found: Literal["gopher", "c4", "fineweb"] = self.name.partition("_")[0]  # type: ignore[assignment]
        return found


def find_filtered(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The rows that the named filters find.

    Args:
        rows: with `row` and `text`.
        names: of `FILTERS`.

    Returns:
        `row`, `rule`, `evidence`: a row for every filter that finds it, filters in the order of `names`.

    Raises:
        KeyError: a name that is not in `FILTERS`.
    """
    chosen = [FILTERS[name] for name in names]
    measured = features(rows, sorted({name for rule in chosen for name in rule.features}))
    empty = pl.DataFrame(schema={"row": rows.schema["row"], "rule": pl.String, "evidence": pl.String})
    found = [
        measured.select("row", rule=pl.lit(rule.name), evidence=rule.reason).filter(pl.col("evidence").is_not_null())
        for rule in chosen
    ]
    return pl.concat([empty, *found])


def _percent(share: pl.Expr | float) -> pl.Expr:
    """As a reader sees it: 12.3, and 30 for a threshold."""
    return (share * 100).round(1) if isinstance(share, pl.Expr) else pl.lit(f"{100 * share:g}")


def _more_than(feature: str, most: float, what: str) -> pl.Expr:
    said = pl.format(f"{{}}% of {what}, the most is {{}}%", _percent(pl.col(feature)), _percent(most))
    return pl.when(pl.col(feature) > most).then(said)


def _not_under(feature: str, limit: float, what: str) -> pl.Expr:
    said = pl.format(f"{{}}% of {what}, it must be less than {{}}%", _percent(pl.col(feature)), _percent(limit))
    return pl.when(pl.col(feature) >= limit).then(said)


def _outside(value: pl.Expr, least: float, most: float, what: str, note: str = "") -> pl.Expr:
    def said(end: str, limit: float) -> pl.Expr:
        return pl.format(f"{{}} {what}, the {end} is {limit:g}{note}", value.round(2))

    return pl.when(value < least).then(said("least", least)).when(value > most).then(said("most", most))


def _too_few_or_many_words(least: int, most: int) -> pl.Expr:
    words = pl.col("length_words")
    fewest, most_letters = unsegmented_letters(least), unsegmented_letters(most)
    return (
        pl.when(pl.col("unsegmented_share") > 0.5)
        .then(_outside(words, fewest, most_letters, "letters", " (1.72 for a word)"))
        .otherwise(_outside(words, least, most, "words"))
    )


def _too_many_symbols(most: float) -> pl.Expr:
    said = [
        pl.when(pl.col(feature) > most).then(
            pl.format(f"{{}} {what} to a word, the most is {most:g}", pl.col(feature).round(2))
        )
        for feature, what in (("hash_ratio", "hash signs"), ("ellipsis_ratio", "ellipses"))
    ]
    return pl.coalesce(said)


def _too_few_stop_words(least: int) -> pl.Expr:
    words = ", ".join(STOP_WORDS)
    said = pl.format(f"{{}} of the words {words}, the least is {least}", pl.col("stop_words"))
    return pl.when((pl.col("script") == "latin") & (pl.col("stop_words") < least)).then(said)


def _gopher_words() -> list[Filter]:
    letters = pl.col("alphabetic_word_share")
    return [
        Filter(
            "gopher_word_count",
            ("length_words", "unsegmented_share"),
            _too_few_or_many_words(50, 100_000),
            "50 to 100,000 words",
            _QUALITY,
            _BY_LETTERS,
            "words are spaCy's (in Chinese jieba's), so that 3.14 is one and the 's of it's is one",
        ),
        Filter(
            "gopher_mean_word_length",
            ("mean_word_length",),
            _outside(pl.col("mean_word_length"), 3, 10, "characters a word"),
            "3 to 10 characters",
            _QUALITY,
            _SPACED,
            "words are spaCy's, a web address one of many characters; asked of Chinese too, which never passes",
        ),
        Filter(
            "gopher_symbol_ratio",
            ("hash_ratio", "ellipsis_ratio"),
            _too_many_symbols(0.1),
            "0.1 hash signs or ellipses to a word",
            _QUALITY,
            _BY_LETTERS,
            "divides by all tokens, those of punctuation too; six dots are two ellipses, and so is ……",
        ),
        Filter(
            "gopher_alphabetic_words",
            ("alphabetic_word_share",),
            pl.when(letters < 0.8).then(
                pl.format("{}% of the words hold a letter, the least is 80%", _percent(letters))
            ),
            "80% of the words",
            _QUALITY,
            _ALL,
            "every punctuation mark is a word without a letter; here only what stands between spaces and holds neither "
            "letter nor digit is",
        ),
        Filter(
            "gopher_stop_words",
            ("stop_words", "script"),
            _too_few_stop_words(2),
            "2 of " + ", ".join(STOP_WORDS),
            _QUALITY,
            _ENGLISH,
            "The is none of them; asked of every script",
        ),
    ]


def _gopher_lines() -> list[Filter]:
    rules = [
        Filter(
            "gopher_bullet_lines",
            ("bullet_line_share",),
            _more_than("bullet_line_share", 0.9, "the lines start with a bullet"),
            "90% of the lines",
            _QUALITY,
            _ALL,
            "only • and - are bullets; blank lines count",
        ),
        Filter(
            "gopher_ellipsis_lines",
            ("ellipsis_line_share",),
            _more_than("ellipsis_line_share", 0.3, "the lines end in an ellipsis"),
            "30% of the lines",
            _QUALITY,
            _ALL,
            "blank lines count; 。。。 is no ellipsis",
        ),
    ]
    for part, differs in (
        ("line", "white space around a line tells it from another; an empty one at either end counts"),
        ("paragraph", "white space around a paragraph tells it from another"),
    ):
        rules += [
            Filter(
                f"gopher_repeated_{part}s",
                (f"repeated_{part}_share",),
                _more_than(f"repeated_{part}_share", 0.3, f"the {part}s repeat an earlier one"),
                f"30% of the {part}s",
                _REPETITION,
                _ALL,
                differs,
            ),
            Filter(
                f"gopher_repeated_{part}_characters",
                (f"repeated_{part}_character_share",),
                _more_than(f"repeated_{part}_character_share", 0.2, f"the characters are in repeated {part}s"),
                "20% of the characters",
                _REPETITION,
                _ALL,
                f"{differs}; line breaks are among all characters",
            ),
        ]
    return rules


def _gopher_ngrams() -> list[Filter]:
    def rule(kind: str, size: int, most: float, what: str, differs: str) -> Filter:
        feature = f"{kind}_{size}_gram_share"
        reason = _more_than(feature, most, f"the characters are in {what}")
        threshold = f"{100 * most:g}% of the characters"
        return Filter(f"gopher_{kind}_{size}_gram", (feature,), reason, threshold, _REPETITION, _BY_LETTERS, differs)

    top = [
        rule(
            "top", size, _TOP[size], f"the most frequent {size} words in a row",
            "what occurs once counts too, which finds every text of few words; overlaps count twice; punctuation marks "
            "are words",
        )
        for size in TOP_SIZES
    ]  # fmt: skip
    return top + [
        rule(
            "duplicate", size, _DUPLICATE[size], f"{size} words in a row that occur more than once",
            "the first time does not count; white space is among all characters and not among the repeated; marks of "
            "punctuation are words",
        )
        for size in DUPLICATE_SIZES
    ]  # fmt: skip


def _c4_lines() -> list[Filter]:
    """C4's line filters: found is a row of which they leave no line."""
    lines = pl.col("length_lines")

    def rule(name: str, feature: str, left: float, said: str, threshold: str, languages: str, differs: str) -> Filter:
        reason = pl.when((lines > 0) & (pl.col(feature) == left)).then(pl.format(said, lines))
        return Filter(f"c4_{name}", ("length_lines", feature), reason, threshold, _C4, languages, differs)

    return [
        rule(
            "terminal_punctuation", "terminal_line_share", 0, "none of {} lines ends in terminal punctuation",
            "lines that end in a period, exclamation mark, question mark or closing quotation mark", _TERMINAL,
            "only . ? ! and the straight quotation marks end a line",
        ),
        rule(
            "line_words", "long_lines", 0, "none of {} lines has 5 words", "lines of 5 words", _BY_LETTERS,
            "3 words, the number of the paper's first version; a Chinese line is one word",
        ),
        rule(
            "javascript", "javascript_line_share", 1, "each of {} lines says JavaScript",
            "lines that do not say JavaScript", _ALL, "",
        ),
        rule(
            "policy", "policy_line_share", 1, "each of {} lines is about cookies, privacy or terms of use",
            "lines that name no such policy", "English; nothing is found in others", "",
        ),
    ]  # fmt: skip


def _c4_pages() -> list[Filter]:
    sentences, braces = pl.col("c4_sentences"), pl.col("curly_braces")
    too_few = pl.format("{} sentences in the {} lines that C4 keeps, the least is 3", sentences, pl.col("c4_lines"))
    return [
        Filter(
            "c4_sentences",
            ("c4_sentences", "c4_lines"),
            pl.when(sentences < 3).then(too_few),
            "3 sentences in the lines that are left",
            _C4,
            _BY_LETTERS,
            "5 sentences in lines of 3 words, the numbers of the paper's first version; splits sentences by spaCy",
        ),
        Filter(
            "c4_curly_brace",
            ("curly_braces",),
            pl.when(braces > 0).then(pl.format("{} curly brackets, the most is 0", braces)),
            "none",
            _C4,
            _ALL,
            "looks for { alone, in the lines that it keeps up to there",
        ),
        Filter(
            "c4_lorem_ipsum",
            ("lorem_ipsum",),
            pl.when("lorem_ipsum").then(pl.lit("the text says lorem ipsum")),
            "none",
            _C4,
            _ALL,
            "looks in the lines that it keeps up to there",
        ),
    ]


def _fineweb() -> list[Filter]:
    terminal = pl.col("terminal_line_share")
    too_few = pl.format("{}% of the lines end in terminal punctuation, it must be more than 12%", _percent(terminal))
    return [
        Filter(
            "fineweb_terminal_lines",
            ("terminal_line_share",),
            pl.when(terminal <= 0.12).then(too_few),
            "more than 12% of the lines",
            _FINEWEB,
            _TERMINAL,
            "12% itself passes; a quotation mark or an ellipsis ends no line, and white space after a period undoes it",
        ),
        Filter(
            "fineweb_repeated_line_characters",
            ("repeated_line_character_share",),
            _not_under("repeated_line_character_share", 0.1, "the characters are in repeated lines"),
            "less than 10% of the characters",
            _FINEWEB,
            _ALL,
            "the most is 1%, ten times as strict as the paper",
        ),
        Filter(
            "fineweb_short_lines",
            ("short_line_share",),
            _not_under("short_line_share", 0.67, "the lines are short"),
            "less than 67% of the lines have fewer than 30 characters",
            _FINEWEB,
            "all; 9 letters of a script without spaces between words are enough for a line",
            "67% itself passes, 30 characters are short, in Chinese too; there is a fourth rule, not in the paper: at "
            "most 0.3 line breaks to a word",
        ),
    ]


FILTERS: dict[str, Filter] = {
    rule.name: rule
    for rule in (*_gopher_words(), *_gopher_lines(), *_gopher_ngrams(), *_c4_lines(), *_c4_pages(), *_fineweb())
}
