"""Kinds of characters against `unicodedata`, and by hand."""

import unicodedata

import polars as pl
import pytest

from modelyard.data.quality import scripts
from modelyard.data.quality.scripts import FIRST_LETTER, MAX_CHARACTERS, SCRIPTS, count_characters, pieces


def test_by_hand() -> None:
    found = count_characters(pl.Series(["Été: 3+４\n\x00", "这部ラーメンかＡ。", "", None]))
    first, second, empty, missing = found.to_dicts()
    assert {name: count for name, count in first.items() if count} == {
        "characters": 10, "letters": 3, "upper": 1, "numbers": 2, "punctuation": 1, "symbols": 1, "white": 2,
        "control": 1, "latin": 3, "script": "latin",
    }  # fmt: skip
    # the sound mark of ラーメン is kana, the full-width A is Latin
    assert (second["han"], second["kana"], second["latin"], second["upper"], second["script"]) == (2, 5, 1, 1, "kana")
    assert empty == missing
    assert empty["characters"] == 0 and empty["script"] is None


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("ελληνικά", "greek"), ("עברית", "hebrew"), ("ไทย", "thai"), ("தமிழ்", "tamil"), ("ქართული", "georgian"),
        ("한국어", "hangul"), ("русский", "cyrillic"), ("العربية", "arabic"), ("हिन्दी", "devanagari"), ("ᏣᎳᎩ", "other"),
    ],
)  # fmt: skip
def test_scripts(text: str, script: str) -> None:
    assert count_characters(pl.Series([text]))["script"].to_list() == [script]


def test_every_character_has_the_kind_that_unicodedata_gives() -> None:
    signs = [chr(code) for code in range(0x3100) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    assert len(signs) > 9000
    (piece,) = pieces(pl.Series(["".join(signs)]))
    groups = {"L": "letter", "M": 3, "N": 4, "P": 5, "S": 6}
    wrong = []
    for sign, kind in zip(signs, piece.kinds.tolist(), strict=True):
        category = unicodedata.category(sign)
        expected = 1 if sign.isspace() and not "\x1c" <= sign <= "\x1f" else 2 if category == "Cc" else None
        expected = expected or groups.get(category[0], 0)
        if expected != ("letter" if kind >= FIRST_LETTER else kind):
            wrong.append(sign)
    assert wrong == []


def test_pieces_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(["第一行", "second line", "", "é" * 50, "三"])
    whole = count_characters(texts)
    assert len(list(pieces(texts))) == 1
    monkeypatch.setattr(scripts, "_PIECE_BYTES", 10)
    assert len(list(pieces(texts))) > 2
    assert count_characters(texts).equals(whole)
    assert count_characters(pl.Series([], dtype=pl.String)).height == 0


def test_of_a_long_text_the_beginning_is_taken() -> None:
    assert count_characters(pl.Series(["好" * (MAX_CHARACTERS + 1)]))["han"].to_list() == [MAX_CHARACTERS]


def test_no_letter_is_of_two_scripts() -> None:
    letters = pl.Series([chr(code) for code in range(0x20, 0x20000) if not 0xD800 <= code < 0xE000])
    letters = letters.filter(letters.str.contains(r"\p{L}"))
    claims = sum(letters.str.contains(pattern).cast(pl.Int64) for pattern in SCRIPTS.values())
    assert len(letters) > 60_000 and isinstance(claims, pl.Series) and claims.max() == 1
