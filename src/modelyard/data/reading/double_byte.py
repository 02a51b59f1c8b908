"""Text in a double-byte encoding, known by the letters that its language uses, whether or not every line is whole.

A byte lost from a GBK file leaves one line that no double-byte encoding decodes, and every single-byte one does: read
strictly, the whole file becomes Cyrillic. Validity alone proves nothing, as cp932 and Big5 decode nearly anything; the
letters that come out do.
"""

import re
from collections.abc import Iterable
from functools import cache

ENCODINGS = ("gb18030", "big5", "cp932", "euc_kr")
WIDER = {"big5": "cp950", "euc_kr": "cp949"}
"""What Windows writes where the standard has no code: much of Taiwan's text has 恒 or 裏 and is no Big5."""
PLAUSIBLE = 0.8
"""Share of letters that are common ones. On 30 lines of real text 0.99 to 1.00 in its own encoding, at most 0.67 in a
wrong one of these four but for Korean; Cyrillic and Western text read as any of them 0 to 0.3."""
HANGUL = 0.9
FREQUENT_SYLLABLES = frozenset("이다는의가에을고하지도로은한사기그리어나아를서자")
FREQUENT = 0.13
"""Least shares in Korean of Hangul and of the commonest syllables. Read as GBK, Korean is all common Han; in 3 to 30
lines the syllables had 0.17 to 0.58 of real Korean and 0 to 0.11 of Chinese that was read as EUC-KR."""
KANA = 0.1
"""Least share of kana in Japanese, which tells it from Chinese."""
LETTERS = 20
"""Different ones. Fewer prove nothing: five French letters may all be common Han, as may 很好 in any of the four."""
WHOLE_PER_BROKEN = 20
"""Letters for each broken place, at least. Cyrillic read as GBK breaks once in about six: where a word is odd."""
_BROKEN = re.compile("[\udc80-\udcff]+")
_ASIDE = re.compile("[\0-\u00bf\u2000-\u2bff\u3000-\u303f\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffef]+")
"""ASCII, punctuation, signs, full-width forms: no language is known by them."""


def find_double_byte(sample: bytes) -> str | None:
    """The double-byte encoding that nearly all of a sample is plausible text of; None where there is none.

    Lines that do not decode are left out of what is judged, for each encoding in turn.

    Args:
        sample: lines that are not ASCII.
    """
    shares = {encoding: share for encoding in ENCODINGS if (share := common_share(sample, encoding)) >= PLAUSIBLE}
    # Korean is all common Han in GBK; Chinese is never Korean
    return "euc_kr" if "euc_kr" in shares else max(shares, key=lambda name: shares[name], default=None)


def common_share(sample: bytes, encoding: str) -> float:
    """Share of common letters among those of the lines that decode; 0 where they are few or other signs speak against.

    Args:
        sample: lines that are not ASCII.
        encoding: one of `ENCODINGS`.
    """
    lines = sample.decode(encoding, "surrogateescape").split("\n")
    broken = [found for line in lines if (found := _BROKEN.findall(line))]
    letters = _ASIDE.sub("", "".join(line for line in lines if not _BROKEN.search(line)))
    everywhere = len(_BROKEN.sub("", _ASIDE.sub("", "".join(lines))))
    if len(set(letters)) < LETTERS or everywhere < WHOLE_PER_BROKEN * sum(map(len, broken)):
        return 0.0
    if encoding == "euc_kr":
        frequent = sum(letter in FREQUENT_SYLLABLES for letter in letters) / len(letters)
        hangul = sum("가" <= letter <= "힣" for letter in letters) / len(letters)
        return hangul if hangul >= HANGUL and frequent >= FREQUENT else 0.0
    kana = sum("\u3041" <= letter <= "\u30ff" for letter in letters)
    if encoding == "cp932":
        common = kana + sum(letter in _common_kanji() for letter in letters)
        return common / len(letters) if kana >= KANA * len(letters) else 0.0
    return sum(letter in _common_han() for letter in letters) / len(letters)


@cache
def _common_han() -> frozenset[str]:
    """Level 1 of GB 2312 and of Big5 together: a simplified text may be saved as Big5, a traditional one as GBK.

    GB 2312-80 has 3,755 characters in rows 16 to 55, Big5 5,401 from A440 to C67E.
    """
    simplified = _decoded(range(0xB0, 0xD8), range(0xA1, 0xFF), "gb2312")
    traditional = _decoded(range(0xA4, 0xC6), [*range(0x40, 0x7F), *range(0xA1, 0xFF)], "big5")
    return frozenset(simplified + traditional + _decoded([0xC6], range(0x40, 0x7F), "big5"))


@cache
def _common_kanji() -> frozenset[str]:
    """Level 1 of JIS X 0208: 2,965 kanji in rows 16 to 47."""
    return frozenset(_decoded(range(0xB0, 0xD0), range(0xA1, 0xFF), "euc_jp"))


def _decoded(leads: Iterable[int], trails: Iterable[int], encoding: str) -> str:
    return "".join(bytes((lead, trail)).decode(encoding, "ignore") for lead in leads for trail in trails)
