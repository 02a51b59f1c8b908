"""The published filters of Gopher, C4 and FineWeb, each as a named rule over the features of `quality`.

Sources, for all of them:

* gopher: Rae et al. (2021), Scaling Language Models: Methods, Analysis & Insights from Training Gopher,
  arXiv:2112.11446, appendix A.1.1 (quality) and table A1 (repetition).
* c4: Raffel et al. (2020), Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer,
  JMLR 21(140), section 2.2.
* fineweb: Penedo et al. (2024), The FineWeb Datasets, arXiv:2406.17557, section 3.6.

The thresholds are the papers'. `datatrove`, which most people mean by these filters, differs in places; `differs` says
where (release 0.10.1). How a text without spaces between words is measured, each rule says in `languages`: one letter
counts as a word (see `words`), and what no Chinese text could pass or fail is not asked of it.

C4 works on lines; a row is found where nothing, or too little, of it would be left. Not here: C4's list of bad words and
its removal of repeated spans of three sentences (exact and near duplicates are rules of their own), and its English
only (`language`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from modelyard.data.quality import STOP_WORDS, features
from modelyard.data.words import DUPLICATE_SIZES, TOP_SIZES

_WORDS = (50, 100_000)
_WORD_LENGTH = (3, 10)
_SYMBOLS = 0.1
_BULLETS = 0.9
_ELLIPSES = 0.3
_ALPHABETIC = 0.8
_STOP_WORDS = 2
_TOP = {2: 0.20, 3: 0.18, 4: 0.16}
_DUPLICATE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
_SENTENCES = 3
_ALL = "all; in a script without spaces between words one letter counts as a word"
_ANY = "all"
_SPACED = "scripts with spaces between words; a text that is mostly Han, kana, Thai, Lao, Khmer, Burmese or Tibetan passes"
_ENGLISH = "English; a text that is mostly of another script than Latin passes"


@dataclass(frozen=True)
class Filter:
    """A rule that finds rows by their text.

    Attributes:
        name: `FAMILY_WHAT`.
        family: the paper it comes from.
        features: what it looks at, names of `quality.FEATURES`.
        reason: a string where a row breaks it, with the value and the threshold, null elsewhere.
        threshold: as published, for people.
        source: where in the paper.
        languages: which texts it is for, and how others are measured.
        differs: where datatrove 0.10.1 differs; empty where it does not.
    """

    name: str
    family: Literal["gopher", "c4", "fineweb"]
    features: tuple[str, ...]
    reason: pl.Expr
    threshold: str
    source: str
    languages: str
    differs: str = ""


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


def _percent(share: pl.Expr) -> pl.Expr:
    return (share * 100).round(1)


def _too_much(feature: str, most: float, what: str) -> pl.Expr:
    said = pl.format("{}% of {}, the most is {}%", _percent(pl.col(feature)), pl.lit(what), pl.lit(f"{100 * most:g}"))
    return pl.when(pl.col(feature) > most).then(said)


def _outside(feature: str, least: float, most: float, what: str, value: pl.Expr) -> pl.Expr:
    said = pl.format("{} {}, the {} is {}", value, pl.lit(what), *_end(feature, least, most))
    return pl.when((pl.col(feature) < least) | (pl.col(feature) > most)).then(said)


def _end(feature: str, least: float, most: float) -> tuple[pl.Expr, pl.Expr]:
    low = pl.col(feature) < least
    return (
        pl.when(low).then(pl.lit("least")).otherwise(pl.lit("most")),
        pl.when(low).then(pl.lit(f"{least:g}")).otherwise(pl.lit(f"{most:g}")),
    )


def _gopher_symbols() -> pl.Expr:
    """The hash sign or the ellipsis, whichever is found."""
    found = pl.lit(None, dtype=pl.String)
    for feature, what in (("ellipsis_ratio", "ellipses"), ("hash_ratio", "hash signs")):
        said = pl.format("{} {} a word, the most is {}", pl.col(feature).round(2), pl.lit(what), pl.lit(str(_SYMBOLS)))
        found = pl.when(pl.col(feature) > _SYMBOLS).then(said).otherwise(found)
    return found


def _gopher_quality() -> list[Filter]:
    source = "Rae et al. 2021, appendix A.1.1"
    count = pl.col("stop_words")
    return [
        Filter(
            "gopher_word_count", "gopher", ("length_words",),
            _outside("length_words", *_WORDS, "words", pl.col("length_words")),
            "50 to 100,000 words", source, _ALL,
            "its words come from spaCy (jieba in Chinese), and those of punctuation alone are left out",
        ),
        Filter(
            "gopher_mean_word_length", "gopher", ("mean_word_length",),
            _outside("mean_word_length", *_WORD_LENGTH, "characters a word", pl.col("mean_word_length").round(2)),
            "3 to 10 characters", source, _SPACED,
            "asked of words of any script, which jieba's Chinese ones of 1.7 characters never pass",
        ),
        Filter(
            "gopher_symbol_ratio", "gopher", ("hash_ratio", "ellipsis_ratio"),
            _gopher_symbols(),
            "0.1 a word, of the hash sign or of ellipses", source, _ALL,
            "divides by all tokens, punctuation too; counts …… as two ellipses, and ...... as two",
        ),
        Filter(
            "gopher_bullet_lines", "gopher", ("bullet_line_share",),
            _too_much("bullet_line_share", _BULLETS, "the lines start with a bullet"),
            "90% of the lines", source, _ANY,
            "only • and - are bullets; blank lines count as lines",
        ),
        Filter(
            "gopher_ellipsis_lines", "gopher", ("ellipsis_line_share",),
            _too_much("ellipsis_line_share", _ELLIPSES, "the lines end in an ellipsis"),
            "30% of the lines", source, _ANY,
            "blank lines count as lines",
        ),
        Filter(
            "gopher_alphabetic_words", "gopher", ("alphabetic_word_share",),
            pl.when(pl.col("alphabetic_word_share") < _ALPHABETIC).then(
                pl.format(
                    "{}% of the words hold a letter, the least is {}%",
                    _percent(pl.col("alphabetic_word_share")),
                    pl.lit(f"{100 * _ALPHABETIC:g}"),
                )
            ),
            "80% of the words", source, _ALL,
            "every punctuation mark is a token without a letter; here only what stands between spaces and holds neither "
            "letter nor digit is",
        ),
        Filter(
            "gopher_stop_words", "gopher", ("stop_words", "script"),
            pl.when((pl.col("script") == "latin") & (count < _STOP_WORDS)).then(
                pl.format("{} of {}, the least is {}", count, pl.lit(", ".join(STOP_WORDS)), pl.lit(str(_STOP_WORDS)))
            ),
            "2 of " + ", ".join(STOP_WORDS), source, _ENGLISH,
            "upper case does not count; asked of every script",
        ),
    ]  # fmt: skip


def _gopher_repetition() -> list[Filter]:
    source = "Rae et al. 2021, table A1"
    rules = [
        Filter(
            f"gopher_repeated_{part}", "gopher", (f"repeated_{part[:-1]}_share",),
            _too_much(f"repeated_{part[:-1]}_share", 0.3, f"the {part} repeat an earlier one"),
            f"30% of the {part}", source, _ANY, differs,
        )
        for part, differs in (("lines", "blank lines are no line, but one at an end is"), ("paragraphs", ""))
    ] + [
        Filter(
            f"gopher_repeated_{part}_characters", "gopher", (f"repeated_{part}_character_share",),
            _too_much(f"repeated_{part}_character_share", 0.2, f"the characters are in {part}s that repeat an earlier one"),
            "20% of the characters", source, _ANY, "divides by all characters, line breaks too",
        )
        for part in ("line", "paragraph")
    ]  # fmt: skip
    for size in TOP_SIZES:
        feature = f"top_{size}_gram_share"
        rules.append(
            Filter(
                f"gopher_top_{size}_gram", "gopher", (feature,),
                _too_much(feature, _TOP[size], f"the characters are in the most frequent {size} words in a row"),
                f"{100 * _TOP[size]:g}% of the characters", source, _ALL,
                "an n-gram that occurs once counts, which finds every text of few words; overlaps count twice",
            )
        )  # fmt: skip
    for size in DUPLICATE_SIZES:
        feature = f"duplicate_{size}_gram_share"
        rules.append(
            Filter(
                f"gopher_duplicate_{size}_gram", "gopher", (feature,),
                _too_much(feature, _DUPLICATE[size], f"the characters are in {size} words in a row that occur again"),
                f"{100 * _DUPLICATE[size]:g}% of the characters", source, _ALL,
                "the first occurrence is not counted, and white space is among all characters, not among the repeated",
            )
        )  # fmt: skip
    return rules


def _c4() -> list[Filter]:
    source = "Raffel et al. 2020, section 2.2"
    lines = pl.col("length_lines")

    def nothing_left(name: str, feature: str, broken: pl.Expr, said: str, threshold: str, languages: str) -> Filter:
        reason = pl.when((lines > 0) & broken).then(pl.format(said, lines))
        return Filter(
            f"c4_{name}", "c4", ("length_lines", feature), reason, threshold, source, languages,
            "it drops the lines and keeps the rest, as C4 does",
        )  # fmt: skip

    return [
        nothing_left(
            "terminal_punctuation", "terminal_line_share", pl.col("terminal_line_share") == 0,
            "none of {} lines ends in terminal punctuation", "a line ends in . ! ? or a closing quotation mark",
            "all; what Unicode calls the end of a sentence ends it: 。！？ too",  # noqa: RUF001
        ),
        nothing_left(
            "line_words", "long_lines", pl.col("long_lines") == 0,
            "none of {} lines has 5 words", "5 words in a line", _ALL,
        ),
        nothing_left(
            "javascript", "javascript_line_share", pl.col("javascript_line_share") == 1,
            "each of {} lines says JavaScript", "no line says JavaScript", _ANY,
        ),
        nothing_left(
            "policy", "policy_line_share", pl.col("policy_line_share") == 1,
            "each of {} lines is about cookies, privacy or terms of use", "no line names such a policy",
            "English; nothing is found in others",
        ),
        Filter(
            "c4_sentences", "c4", ("c4_sentences", "c4_lines"),
            pl.when(pl.col("c4_sentences") < _SENTENCES).then(
                pl.format(
                    "{} sentences in the {} lines that C4 would keep, the least is {}",
                    pl.col("c4_sentences"), pl.col("c4_lines"), pl.lit(str(_SENTENCES)),
                )
            ),
            "3 sentences left", source, _ALL,
            "5 sentences, in lines of 3 words: the numbers of the paper's first version, not of its code; splits them by spaCy",
        ),
        Filter(
            "c4_curly_brace", "c4", ("curly_braces",),
            pl.when(pl.col("curly_braces") > 0).then(
                pl.format("{} curly braces, the most is 0", pl.col("curly_braces"))
            ),
            "none", source, _ANY, "looks for { alone, in the lines that it keeps",
        ),
        Filter(
            "c4_lorem_ipsum", "c4", ("lorem_ipsum",),
            pl.when(pl.col("lorem_ipsum")).then(pl.lit("the text says lorem ipsum")),
            "none", source, _ANY, "looks in the lines that it keeps",
        ),
    ]  # fmt: skip


def _fineweb() -> list[Filter]:
    source = "Penedo et al. 2024, section 3.6"
    terminal = pl.col("terminal_line_share")
    return [
        Filter(
            "fineweb_terminal_lines", "fineweb", ("terminal_line_share",),
            pl.when(terminal <= 0.12).then(
                pl.format("{}% of the lines end in terminal punctuation, more than 12% must", _percent(terminal))
            ),
            "more than 12% of the lines", source,
            "all; what Unicode calls the end of a sentence ends it: 。！？ too",  # noqa: RUF001
            "keeps 12% itself; a closing quotation mark ends no line",
        ),
        Filter(
            "fineweb_repeated_line_characters", "fineweb", ("repeated_line_character_share",),
            _at_or_over("repeated_line_character_share", 0.1, "the characters are in lines that repeat an earlier one"),
            "less than 10% of the characters", source, _ANY,
            "the most is 1%, ten times as strict as the paper",
        ),
        Filter(
            "fineweb_short_lines", "fineweb", ("short_line_share",),
            _at_or_over("short_line_share", 0.67, "the lines are short"),
            "less than 67% of the lines have fewer than 30 characters", source,
            "all; in a script without spaces between words, fewer than 12 letters",
            "keeps 67% itself, takes 30 characters for short, and asks 30 of Chinese as well; it has a fourth rule, at "
            "most 0.3 line breaks a word, that is not in the paper",
        ),
    ]  # fmt: skip


def _at_or_over(feature: str, limit: float, what: str) -> pl.Expr:
    said = pl.format("{}% of {}, less than {}% may be", _percent(pl.col(feature)), pl.lit(what), pl.lit(f"{100 * limit:g}"))
    return pl.when(pl.col(feature) >= limit).then(said)


FILTERS: dict[str, Filter] = {
    rule.name: rule for rule in (*_gopher_quality(), *_gopher_repetition(), *_c4(), *_fineweb())
}
