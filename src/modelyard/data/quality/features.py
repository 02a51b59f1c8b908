"""What is measured of a text: lengths, kinds of characters, scripts, damage, repetition.

`FEATURES` is the list. Each is a Polars expression over `text` and over the scans it names: a scan is a struct column
that is measured once for all the features that want it, in NumPy or line by line, where an expression per feature would
pass over the text for each. `features` plans that.

Everything is linear in the length of a text, of which at most 1,048,576 characters are scanned.
"""

from collections.abc import Callable, Sequence

import polars as pl

from modelyard.data.quality.lines import measure_c4, measure_lines, measure_paragraphs
from modelyard.data.quality.scripts import SCRIPTS, UNSEGMENTED, count_characters
from modelyard.data.quality.words import DUPLICATE_SIZES, LETTERS_PER_WORD, TOP_SIZES, count_words, measure_repetition

SCANS: dict[str, Callable[[pl.Series], pl.DataFrame]] = {
    "characters": count_characters,
    "words": count_words,
    "repetition": measure_repetition,
    "lines": measure_lines,
    "paragraphs": measure_paragraphs,
    "c4": measure_c4,
}
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Rae et al. (2021), appendix A.1.1."""

_TEXT = pl.col("text")
_FULL_WIDTH = "[０-９Ａ-Ｚａ-ｚ]"  # noqa: RUF001
_ELLIPSES = "…+|[.]{3,}|。{3,}"
_TAGS = (
    "a|abbr|article|aside|audio|b|blockquote|body|br|button|canvas|center|code|dd|div|dl|dt|em|figure|font|footer|form|"
    "frame|h[1-6]|head|header|hr|html|i|iframe|img|input|label|li|link|main|meta|nav|noscript|object|ol|option|p|param|"
    "pre|script|section|select|small|span|strong|style|sub|sup|svg|table|tbody|td|textarea|th|thead|title|tr|u|ul|video"
)
_HTML_TAG = rf"(?i)</?(?:{_TAGS})(?:\s[^<>]*)?/?>"
_HTML_ENTITY = "&(?:[a-zA-Z][a-zA-Z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});"


def _gbk_characters(first: range, second: range) -> str:
    """The characters that GBK's bytes in these ranges stand for."""
    return "".join(bytes([one, other]).decode("gbk", "ignore") for one in first for other in second)


def _mojibake() -> str:
    r"""Text decoded by another encoding than it was written in, as a regular expression.

    * UTF-8 read as Latin-1 or Windows-1252: a lead byte's character before those of continuation bytes (RFC 3629,
      section 3): `Ã©`, `â€™`; of letters in use by themselves two such groups side by side: `ä½\xa0å¥½`, `Ð¿Ñ€`.
    * GBK read as Latin-1: `ÖÐ¹ú`, accented letters and the signs of Latin-1 in one word.
    * UTF-8 read as GBK: three bytes of each of four Chinese characters, by the ranges that lead (E3 to E9) and
      continuation bytes (80 to BF) lie in; U+FFFD twice in UTF-8 gives `锟斤拷`.
    * Memory that a debugger filled with CC or CD, read as GBK: `烫烫烫`, `屯屯屯`.
    """
    later = r"[\x{80}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"  # noqa: RUF001
    one = _gbk_characters(range(0xE3, 0xEA), range(0x80, 0xC0))
    two = _gbk_characters(range(0x81, 0xC0), range(0xE3, 0xEA))
    return "|".join(
        (
            rf"Ã{later}",
            r"Â[\x{80}-\x{bf}]",
            r"â(?:€.|\x{80}[\x{80}-\x{bf}])",
            rf"(?:[\x{{e3}}-\x{{ef}}]{later}{{2}}){{2,}}",
            rf"(?:[\x{{c4}}-\x{{df}}]{later}){{3,}}|(?:[ÐÑ]{later}){{2,}}",
            r"[À-ÿ]+[\x{a1}-\x{bf}][\x{a1}-\x{ff}]{2,}",
            rf"(?:[{one}][{two}][^\x00-\x7f]){{2,}}",
            "锟斤拷|烫烫烫|屯屯屯",
        )
    )


def _field(scan: str, name: str) -> pl.Expr:
    return pl.col(scan).struct.field(name)


def _share(scan: str, part: str, whole: str) -> pl.Expr:
    """From 0 to 1; null where there is nothing to take a share of."""
    return _over(_field(scan, part), _field(scan, whole))


def _over(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


_WORDS = _field("words", "words")
_UNSEGMENTED_SHARE = _over(
    pl.sum_horizontal(_field("characters", name) for name in UNSEGMENTED), _field("characters", "letters")
)

_MOSTLY_UNSEGMENTED = (_UNSEGMENTED_SHARE > 0.5).fill_null(value=False)
_ENGLISH_WORDS = pl.when(_MOSTLY_UNSEGMENTED).then(_WORDS / LETTERS_PER_WORD).otherwise(_WORDS)

FEATURES: dict[str, pl.Expr] = {
    "length_characters": _TEXT.str.len_chars(),
    "length_bytes": _TEXT.str.len_bytes(),
    "length_words": _WORDS,
    "length_lines": _field("lines", "lines"),
    # of all characters
    "letter_share": _share("characters", "letters", "characters"),
    "number_share": _share("characters", "numbers", "characters"),
    "symbol_share": _share("characters", "symbols", "characters"),
    "punctuation_share": _share("characters", "punctuation", "characters"),
    "white_space_share": _share("characters", "white", "characters"),
    # of the letters
    "upper_case_share": _share("characters", "upper", "letters"),
    "script": _field("characters", "script"),
    **{f"{name}_share": _share("characters", name, "letters") for name in (*SCRIPTS, "other")},
    "unsegmented_share": _UNSEGMENTED_SHARE,
    # damage: how often
    "mojibake": _TEXT.str.count_matches(_mojibake()),
    "replacement_characters": _TEXT.str.count_matches("\ufffd", literal=True),
    "control_characters": _field("characters", "control"),
    "mixed_widths": _TEXT.str.contains(_FULL_WIDTH) & _TEXT.str.contains("[0-9A-Za-z]"),
    "html_tags": _TEXT.str.count_matches(_HTML_TAG),
    "html_entities": _TEXT.str.count_matches(_HTML_ENTITY),
    # words; the ratios are per English word, for which 1.72 letters of a script without spaces stand
    "mean_word_length": pl.when(~_MOSTLY_UNSEGMENTED).then(_over(_field("words", "word_characters"), _WORDS)),
    "alphabetic_word_share": _over(_field("words", "alphabetic_words"), _WORDS + _field("words", "symbol_runs")),
    "hash_ratio": _over(_TEXT.str.count_matches("#", literal=True), _ENGLISH_WORDS),
    "ellipsis_ratio": _over(_TEXT.str.count_matches(_ELLIPSES), _ENGLISH_WORDS),
    "stop_words": pl.sum_horizontal(_TEXT.str.contains(rf"(?i)(?-u:\b){word}(?-u:\b)") for word in STOP_WORDS),
    **{f"top_{size}_gram_share": _field("repetition", f"top_{size}") for size in TOP_SIZES},
    **{f"duplicate_{size}_gram_share": _field("repetition", f"duplicate_{size}") for size in DUPLICATE_SIZES},
    # lines
    "bullet_line_share": _share("lines", "bullet_lines", "lines"),
    "ellipsis_line_share": _share("lines", "ellipsis_lines", "lines"),
    "terminal_line_share": _share("lines", "terminal_lines", "lines"),
    "short_line_share": _share("lines", "short_lines", "lines"),
    "long_lines": _field("lines", "long_lines"),
    "javascript_line_share": _share("lines", "javascript_lines", "lines"),
    "policy_line_share": _share("lines", "policy_lines", "lines"),
    "repeated_line_share": _share("lines", "repeated_lines", "lines"),
    "repeated_line_character_share": _share("lines", "repeated_characters", "line_characters"),
    "repeated_paragraph_share": _share("paragraphs", "repeated_paragraphs", "paragraphs"),
    "repeated_paragraph_character_share": _share("paragraphs", "repeated_characters", "paragraph_characters"),
    "c4_lines": _field("c4", "c4_lines"),
    "c4_sentences": _field("c4", "c4_sentences"),
    "curly_braces": _TEXT.str.count_matches("[{}]"),
    "lorem_ipsum": _TEXT.str.contains("(?i)lorem ipsum"),
}
"""Name -> expression over `text` and the scans. Counts are 0 and shares null for a text that has none of the whole."""


def features(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The named features of every row.

    Args:
        frame: with `row` and `text`.
        names: of `FEATURES`.

    Returns:
        `row` and a column for every name, in their order.

    Raises:
        KeyError: a name that is not in `FEATURES`.
    """
    chosen = {name: FEATURES[name] for name in names}
    wanted = {root for expression in chosen.values() for root in expression.meta.root_names()}
    scanned = {name: scan(frame["text"]).to_struct(name) for name, scan in SCANS.items() if name in wanted}
    return frame.select("row", "text", **scanned).lazy().select("row", **chosen).collect()
