"""Numbers of people in a run of digits: identity numbers, payment cards, social security and telephone numbers.

A run is what `DIGITS` finds: at least seven digits with at most three separators between two of them. A number with a
check digit needs no context. A telephone number has none: it is found by its published shape where that is telling
(`+41 44 668 18 00`, `(212) 555-0123`, `020 7946 0958`, `010-62345678`), and by a word beside it where it is not.
"""

import re
from collections.abc import Iterator

from modelyard.data.personal.checks import (
    has_resident_id_shape,
    international_length,
    is_card,
    is_north_american,
    is_old_resident_id,
    is_resident_id,
    is_ssn,
)

_DASH = r"\-\u2010-\u2013\u2212"
_GAP = rf"[ \u00a0{_DASH}]"
_PHONE_GAP = rf"[ \u00a0.()/{_DASH}]"
DIGITS = rf"(?:\+ ?)?\(?[0-9](?:{_PHONE_GAP}{{0,3}}[0-9]){{6,}}"  # the least digits less one

_LEAST_DIGITS = 7
_SHORT_CONTEXT = 24
_LONG_CONTEXT = 48
_TAIL = 12  # characters behind a run that may belong to its numbers: the X of an identity number, an extension

# each is a whole number: no digit, letter or decimal part touches it
_BEFORE = r"(?<![0-9A-Za-z_])(?<![0-9][.\-/])"
_AFTER = r"(?![0-9A-Za-z_])(?![.\-/][0-9])"
_ID_18 = re.compile(rf"(?<![0-9])(?<![0-9][.])[1-9]\d{{5}}{_GAP}?\d{{8}}{_GAP}?\d{{3}}[0-9Xx](?![0-9A-Za-z])", re.ASCII)
_ID_15 = re.compile(rf"{_BEFORE}[1-9]\d{{14}}{_AFTER}", re.ASCII)
# as cards are embossed (4-4-4-4, 4-4-4-4-3, 4-6-5, 4-6-4, 6-13), or without gaps
_CARD = re.compile(
    rf"{_BEFORE}(?:\d{{4}}({_GAP})\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{3}})?|\d{{4}}({_GAP})\d{{6}}\2\d{{4,5}}"
    rf"|\d{{6}}{_GAP}\d{{13}}|\d{{12,19}}){_AFTER}",
    re.ASCII,
)
_USUAL_CARD_LENGTHS = (15, 16, 19)  # others are rare today: a word must say that it is a card
_SSN = re.compile(rf"{_BEFORE}\d{{3}}-\d{{2}}-\d{{4}}{_AFTER}", re.ASCII)
_SSN_LOOSE = re.compile(rf"{_BEFORE}(?:\d{{3}} \d{{2}} \d{{4}}|\d{{9}}){_AFTER}", re.ASCII)
# Numbering plan of the MIIT for mobile numbers (third digit by second); the prefix +86, 0086 or 86 belongs to it
_MOBILE_DIGITS = r"1(?:3\d|4[014-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])"
_MOBILE = re.compile(
    rf"(?<![0-9+])(?<![0-9][.\-/])(?:(?:\+|00)86{_GAP}?|\((?:\+|00)?86\){_GAP}?|86{_GAP})?"
    rf"{_MOBILE_DIGITS}(?:\d{{8}}|({_GAP})\d{{4}}\1\d{{4}}|{_GAP}\d{{8}}){_AFTER}",
    re.ASCII,
)
_INTERNATIONAL = re.compile(
    rf"(?<![0-9A-Za-z_+])(?:\+ ?\(?|\(\+|(?:00|011{_GAP})(?=[1-9]\d{{0,2}}{_PHONE_GAP}))"
    rf"[1-9](?:{_PHONE_GAP}{{0,3}}\d){{6,17}}",
    re.ASCII,
)
_EXTENSION = r"(?: ?(?:x|ext\.?|extension|转|轉) ?\d{1,6})?"
_WITH_EXTENSION = re.compile(rf"{_EXTENSION}(?![0-9A-Za-z_])", re.ASCII | re.IGNORECASE)
_NORTH_AMERICAN = re.compile(
    rf"{_BEFORE}(?:1[ .\-])?(?:\([2-9]\d\d\) ?-? ?[2-9]\d\d[ .\-]?\d{{4}}|[2-9]\d\d([.\-])[2-9]\d\d\1\d{{4}}"
    rf"|[2-9]\d\d[.\-/ ][2-9]\d\d-\d{{4}}){_EXTENSION}{_AFTER}",
    re.ASCII | re.IGNORECASE,
)
# a trunk prefix 0, then the area code, then one to four groups: ITU-T E.123
_TRUNK = re.compile(
    rf"(?<![0-9A-Za-z_+])(?<![0-9][.,\-/:])(?<![0-9]{_GAP})(?:\(0[1-9]\d{{0,3}}\)|0[1-9]\d{{0,3}})"
    rf"(?:(?:(?<=\)) ?|[ .\-/\u00a0])\d{{2,8}}(?:[ .\-\u00a0]\d{{2,5}}){{0,4}}){_EXTENSION}{_AFTER}",
    re.ASCII | re.IGNORECASE,
)
_CHINESE_SERVICE = re.compile(rf"{_BEFORE}[48]00{_GAP}?\d{{3}}{_GAP}?\d{{4}}{_AFTER}", re.ASCII)
_ANY_PHONE = re.compile(
    rf"(?<![0-9A-Za-z_])(?<![0-9][.\-/,])\(?\d{{1,5}}\)?(?:{_PHONE_GAP}{{1,2}}\d{{1,10}}){{0,5}}{_EXTENSION}{_AFTER}",
    re.ASCII | re.IGNORECASE,
)
_BARE_PHONE = re.compile(rf"(?<![0-9A-Za-z_])\d{{7,12}}{_EXTENSION}{_AFTER}", re.ASCII | re.IGNORECASE)

# a number that begins with a date, and ends there or goes on with a time
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[.\-/ ](?:0?[1-9]|1[0-2])[.\-/ ](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:(?:0?[1-9]|1[0-2])[.\-/](?:0?[1-9]|[12]\d|3[01])|(?:0?[1-9]|[12]\d|3[01])[.\-/](?:0?[1-9]|1[0-2]))"
    r"[.\-/](?:19|20)?\d\d"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d\d){0,3})(?: |\Z)",
    re.ASCII,
)
_PHONE_WORDS = (
    r"\b(?:tele)?phones?\b|\btel\b|\btlf\b|\bph\b|\bmob(?:iles?)?\b|\bcell(?:ular|phone)?\b|\bfax|\bhot ?line"
    r"|\bhelp ?line|\bwhats ?app|\bsms\b|\bcontact number|\bpager|\bvoice ?mail|\btelefono?|\btel[eé]fono"
    r"|\bt[eé]l[eé]phone|\bmóvil|\bhandy\b"
    r"|\b(?:call|dial|ring|text|reach)(?:ed|ing|s)?(?: (?:me|us|him|her|them|you|back|now|today|at|on|toll[ -]free))*"
    r"|\b(?:office|desk|direct|work|home|voice) ?[:：]|\banswer(?:ed|ing|s)? (?:at|on)|\bmessages? (?:to|from|at)"
    r"|电话|電話|手机|手機|座机|传真|傳真|热线|熱線|致电|致電|拨打|撥打|来电|联系方式|联系我|短信|电联"
)
_SSN_WORDS = r"\bssn\b|social security|社会安全号|社会保障号|社保号"
# the last word counts
_SAYS_PHONE = re.compile(rf"(?is).*(?P<word>{_PHONE_WORDS})(?P<between>[^0-9\n]{{0,24}}|[ \t]*[:：]\s{{0,3}})\(?\+?\Z")
_SAYS_SSN = re.compile(rf"(?i)(?:{_SSN_WORDS})[^0-9\n]{{0,24}}\Z")
# one of these stands in whatever those two match: asked first, because it is ten times as fast
_STEMS = re.compile(
    "ph|tel|tlf|mob|cell|fax|line|whats|sms|contact|pager|voice|móvil|handy|office|desk|direct|work|home|call|dial"
    "|ring|text|reach|answer|message|电|電|手机|手機|座机|传真|傳真|热线|熱線|拨打|撥打|联系|短信|ssn|social|社"
)
_WEAK = re.compile(r"(?i)^(?:call|dial|ring|text|reach)")
_PHONE_FOLLOWS = (
    *("office", "fax", "mobile", "cell", "phone", "tel", "desk", "home", "work", "voice"),
    *("电话", "手机", "传真"),
)
_SAYS_OTHER = re.compile(
    r"(?i)(?:订单|訂單|单号|單號|运单|流水|序列|编号|編號|货号|批次|批号|合同|发票|票号|版本|时间戳|金额|价格|账号|卡号|邮编|工单"
    r"|型号|学号|课程号|条码|条形码|\bQQ|\bISBN|\bISSN|\bDOI|\border|\binvoice|\btracking|\bserial|\bref|\breference|\bid"
    r"|\buid|\btimestamp|\bversion|\bsku|\bticket|\bbug|\bcase|\bpatent|\bpart|\bbarcode"
    r"|\bEAN|\bUPC|\bzip|\bpostcode|\bbuild|\breceipt|\baccount"
    r"|[$¥￥€£]|#\Z|[?&][\w-]{1,20}=\Z|(?<![A-Za-z])(?!(?:TEL|FAX|PH|MOB)-)(?-i:[A-Z]{1,4}-)\Z)"
    r"(?:[\s:：#.=为是（(]|no\b|num\b|number|nr\b|is\b|号码|号|码)*\Z"
)
_OTHER_FOLLOWS = re.compile(
    r"(?i) ?(?:元|万|亿|%|次|件|美元|人民币|usd|rmb|cny|eur|dollars|euros|bytes|times|km|kg|mb|gb"
    r"|是.{0,4}(?:订单|单号|编号))"
)
_SAYS_ID = re.compile(r"(?i)身份证|身份證|公民身份|证件号|identity (?:card|number)|\bid (?:card|number)")
_SAYS_CARD = re.compile(
    r"(?i)\bcards?\b|\bvisa\b|master ?card|\bamex\b|\bcc\b|\bcredit\b|\bdebit\b|卡|账户|帐户|账号|帐号|收款|支付"
)

_MARKS = re.compile(r"[\W_]+")

Found = tuple[str, int, int]


def find_in_run(text: str, start: int, end: int) -> list[Found]:
    """Kind, start and end of the numbers in a run of digits; they may overlap, the caller chooses.

    Args:
        text: the text, full-width digits made ASCII.
        start: of the run.
        end: of the run.
    """
    stop = min(len(text), end + _TAIL)
    found = list(_find_ids(text, start, stop)) if end - start >= 15 else []
    if _in_address(text, start):
        return found
    while (date := _DATE.match(text, start, end)) is not None:
        start = date.end()
    run = text[start:end]
    digits = sum(map(run.count, "0123456789"))
    if digits < _LEAST_DIGITS:
        return found
    if digits >= 12:
        found += _find_cards(text, start, stop)
    if digits >= 11 and "1" in run:
        found += _find_mobiles(text, start, stop)
    if digits >= 9 and not run.isdigit():
        found += _find_in_groups(text, start, stop, run)
    return found or list(_find_by_word(text, start, end, stop))


def bare(text: str) -> str:
    """The digits and capital letters of a number."""
    return _MARKS.sub("", text).upper()


def _find_ids(text: str, start: int, stop: int) -> Iterator[Found]:
    for match in _ID_18.finditer(text, start, stop):
        if is_resident_id(bare(match[0])):
            yield "cn_resident_id", match.start(), match.end()
    for match in _ID_15.finditer(text, start, stop):
        window = text[max(0, match.start() - _SHORT_CONTEXT) : match.start()]
        if is_old_resident_id(match[0]) and _SAYS_ID.search(window):
            yield "cn_resident_id", match.start(), match.end()


def _find_in_groups(text: str, start: int, stop: int, run: str) -> list[Found]:
    """What its separators tell: social security numbers, telephone numbers."""
    found: list[Found] = []
    if "-" in run:
        spans = ((match[0], match.start(), match.end()) for match in _SSN.finditer(text, start, stop))
        found += [("us_ssn", at, end) for number, at, end in spans if is_ssn(bare(number))]
    if "+" in run or "00" in run or "011" in run:
        found += _find_international(text, start, stop)
    return found + list(_find_national(text, start, stop))


def _find_by_word(text: str, start: int, end: int, stop: int) -> Iterator[Found]:
    """The number of a run that only a word makes a telephone or social security number: before it, or behind it."""
    window = text[max(0, start - _LONG_CONTEXT) : start]
    if _STEMS.search(window.lower()):
        if _SAYS_SSN.search(window):
            match = _SSN_LOOSE.search(text, start, stop)
            if match is not None and is_ssn(bare(match[0])):
                yield "us_ssn", match.start(), match.end()
        before = _SAYS_PHONE.match(window)
        for match in _phones_called_so(text, start, stop) if before else ():
            if before and match.start() - start < 2 and _is_near(before, match[0]):
                yield "phone_national", match.start(), match.end()
                return
    if text[end : end + _TAIL].lstrip(" -(,").lower().startswith(_PHONE_FOLLOWS):
        for match in _phones_called_so(text, start, stop):
            if match.end() == end:
                yield "phone_national", match.start(), end
                return


def _find_cards(text: str, start: int, stop: int) -> Iterator[Found]:
    for match in _CARD.finditer(text, start, stop):
        digits = bare(match[0])
        if not is_card(digits) or has_resident_id_shape(digits):
            continue
        named = _SAYS_CARD.search(text, max(0, match.start() - _LONG_CONTEXT), match.start())
        if named or (len(digits) in _USUAL_CARD_LENGTHS and not _is_called_otherwise(text, match)):
            yield "payment_card", match.start(), match.end()


def _find_mobiles(text: str, start: int, stop: int) -> Iterator[Found]:
    for match in _MOBILE.finditer(text, start, stop):
        letter = text[match.start() - 1 : match.start()]
        glued = letter.isascii() and (letter.isalpha() or letter == "_")
        if glued and not _SAYS_PHONE.search(text, max(0, match.start() - _SHORT_CONTEXT), match.start()):
            continue
        if not _is_called_otherwise(text, match):
            yield "cn_mobile", match.start(), match.end()


def _find_international(text: str, start: int, stop: int) -> Iterator[Found]:
    for match in _INTERNATIONAL.finditer(text, start, stop):
        end = _international_end(text, match.start(), match.end())
        if end is None:
            continue
        extension = _WITH_EXTENSION.match(text, end)
        if extension is not None:
            yield "phone_international", match.start(), extension.end()


def _international_end(text: str, start: int, end: int) -> int | None:
    """Where the number ends: after the last group with which its country's numbers are not too long."""
    prefix = 2 if text.startswith("00", start) else 3 if text.startswith("011", start) else 0
    digits = bare(text[start + prefix : end])
    limits = international_length(digits)
    if limits is None:
        return None
    if text[end : end + 1].isdigit():  # the pattern stopped within a group
        end = _group_start(text, start, end)
    least, most = limits
    while True:
        number = text[start + prefix : end].replace("(0)", "")
        count = sum(letter.isdigit() for letter in number)
        if count < max(least, 8):
            return None
        if count <= most:
            digits = bare(number)
            return None if digits[0] == "1" and not is_north_american(digits[1:]) else end
        end = _group_start(text, start, end)


def _group_start(text: str, start: int, end: int) -> int:
    """The end of the group before the last one."""
    while end > start and text[end - 1].isdigit():
        end -= 1
    while end > start and not text[end - 1].isdigit():
        end -= 1
    return end


def _find_national(text: str, start: int, stop: int) -> Iterator[Found]:
    for match in _NORTH_AMERICAN.finditer(text, start, stop):
        digits = bare(re.split(r"(?i)x|ext|转|轉", match[0])[0])
        if is_north_american(digits[-10:]) and not _is_called_otherwise(text, match):
            yield "phone_national", match.start(), match.end()
    for match in _TRUNK.finditer(text, start, stop):
        if _has_trunk_shape(match[0]) and not _is_called_otherwise(text, match):
            yield "phone_national", match.start(), match.end()
    for match in _CHINESE_SERVICE.finditer(text, start, stop):
        if "-" in match[0] and not _is_called_otherwise(text, match):
            yield "phone_national", match.start(), match.end()


def _has_trunk_shape(text: str) -> bool:
    """Nine to twelve digits, and none of the other things that begin with a zero.

    Those are dates, 3-2-4 (an SSN that was never issued), 5-4 (a US ZIP+4), and five groups of two that only climb
    (a count, lottery numbers); five groups of two are a French number else, and no other number of them is one.
    """
    groups = re.findall(r"\d+", re.split(r"(?i) ?(?:x|ext|转|轉)", text)[0])
    sizes = [len(group) for group in groups]
    if not 9 <= sum(sizes) <= 12 or sizes in ([3, 2, 4], [5, 4]) or _DATE.match(text):
        return False
    if set(sizes) == {2}:
        return len(groups) == 5 and groups != sorted(groups)
    return True


def _phones_called_so(text: str, start: int, stop: int) -> Iterator[re.Match[str]]:
    """Numbers of seven to twelve digits in any grouping, for which a word must speak."""
    for pattern in (_BARE_PHONE, _ANY_PHONE):
        for match in pattern.finditer(text, start, stop):
            digits = sum(map(match[0].count, "0123456789"))
            if _LEAST_DIGITS <= digits <= 12 and not _is_date(match[0]) and not _is_called_otherwise(text, match):
                yield match


def _is_near(before: re.Match[str], number: str) -> bool:
    """A verb such as `call` must stand right before the number, and a bare number of seven digits needs a noun."""
    if not _WEAK.match(before["word"]):
        return True
    return before["between"].strip(" :：.,(") == "" and not (len(number) == 7 and number.isdigit())


def _is_date(text: str) -> bool:
    return text[:1].isdigit() and _DATE.match(text) is not None


def _is_called_otherwise(text: str, match: re.Match[str]) -> bool:
    """The words beside a number say that it is an order, a price, a version..."""
    start = match.start()
    if match[0].isdigit() and text[match.end() : match.end() + 1] == "*":  # masked already
        return True
    if _OTHER_FOLLOWS.match(text[match.end() : match.end() + _TAIL]):
        return True
    return _SAYS_OTHER.search(text[max(0, start - _SHORT_CONTEXT) : start]) is not None


def _in_address(text: str, start: int) -> bool:
    """Whether a number stands inside a web address (`tel:` aside)."""
    window = text[max(0, start - 200) : start]
    if "://" not in window and "www." not in window:
        return False
    word = window[max(map(window.rfind, " \n\t<>\"'，。；（）")) + 1 :]
    return "://" in word or word.startswith("www.")
