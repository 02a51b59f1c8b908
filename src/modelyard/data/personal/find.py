"""Personal data and secrets in texts: where they stand, of what kind, and texts with marks in their place.

Two steps, so that most rows never reach Python. Patterns without look-around run over the whole batch in Polars (Rust,
linear time) and give candidates; what tells a number from a number (lengths, ranges, check digits, the words beside it)
is asked of the candidates only. Full-width digits and letters count as their ASCII forms, which are as long.

Nothing here drops a row. What is found is shown masked, so that a report does not repeat what it warns of.
"""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from modelyard.data.personal import numbers, secrets
from modelyard.data.personal.checks import iban_length, is_iban, is_ip4, is_ip6, looks_like_version


@dataclass(frozen=True)
class Kind:
    """One kind of personal data or secret.

    Attributes:
        name: as in the column `kind`.
        what: what it is.
        source: where its format and its check come from.
        mark: what `redact` writes in its place.
        shown_head: characters that `shown` keeps at the start.
        shown_tail: characters that `shown` keeps at the end.
    """

    name: str
    what: str
    source: str
    mark: str
    shown_head: int = 0
    shown_tail: int = 0


# where two findings overlap, the kind that stands first here wins
PERSONAL_KINDS = (
    Kind("private_key", "a private key in PEM", "RFC 7468", "<PRIVATE_KEY>"),
    Kind("api_key", "a key or token with an issuer's prefix", "the issuers' documentation", "<API_KEY>", 4),
    Kind("secret", "a random value that its name calls a secret", "Shannon entropy of at least 3.5 bits", "<SECRET>"),
    Kind("iban", "a bank account", "ISO 13616, SWIFT IBAN registry 101", "<IBAN>", 4, 2),
    Kind("cn_resident_id", "a Chinese resident identity number", "GB 11643, GB/T 2260", "<CN_RESIDENT_ID>", 3, 2),
    Kind("payment_card", "a payment card", "ISO/IEC 7812-1 (Luhn), the networks' ranges", "<PAYMENT_CARD>", 4, 4),
    Kind("us_ssn", "a US social security number", "SSA: numbers never issued", "<US_SSN>", 0, 2),
    Kind("email", "an e-mail address", "RFC 5321, RFC 5322", "<EMAIL>"),
    Kind("cn_mobile", "a mobile number of mainland China", "MIIT numbering plan", "<CN_MOBILE>", 3, 4),
    Kind("ipv6", "an IPv6 address", "RFC 4291", "<IPV6>", 4),
    Kind("ipv4", "an IPv4 address", "RFC 791", "<IPV4>"),
    Kind("passport", "a passport number beside the word", "ICAO Doc 9303-4; 9 characters at most", "<PASSPORT>", 1, 2),
    Kind("phone_international", "a telephone number with its country code", "ITU-T E.164", "<PHONE>", 3, 2),
    Kind("phone_national", "a telephone number as written at home", "ITU-T E.123, NANP", "<PHONE>", 3, 2),
)
_RANK = {kind.name: rank for rank, kind in enumerate(PERSONAL_KINDS)}
_BY_NAME = {kind.name: kind for kind in PERSONAL_KINDS}
SCHEMA = {"row": pl.Int64, "kind": pl.String, "start": pl.Int64, "length": pl.Int64, "shown": pl.String}

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_HAS_WIDE = "[０-９Ａ-Ｚａ-ｚ＠]"  # noqa: RUF001
_LETTER = "A-Za-z0-9À-ɏ"
# of the marks that RFC 5322 allows, those in use; `=`, `?`, `&` and `/` stand before an address in the links of the web
_EMAIL = rf"[{_LETTER}.%+'_-]+@[{_LETTER}.-]+"
_IP4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_GROUP = "[0-9A-Fa-f]{1,4}"
_GROUPS = rf"(?:{_GROUP}(?::{_GROUP}){{0,6}})?"
_IP6 = rf"(?:{_GROUP}:){{7}}{_GROUP}|{_GROUPS}::{_GROUPS}(?:(?:\.[0-9]{{1,3}}){{3}})?"
_IBAN = r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,40}"
_PASSPORT = r"(?i)(?:passport|护照|護照)"
# family -> a pattern whose matches are its candidates. Without look-around: `_tokens` relies on it
_FAMILIES = {
    "email": _EMAIL,
    "digits": numbers.DIGITS,
    "ipv4": _IP4,
    "ipv6": _IP6,
    "iban": _IBAN,
    "passport": _PASSPORT,
    "api_key": secrets.KEY,
    "assignment": secrets.ASSIGNMENT,
    "url": secrets.CREDENTIAL_URL,
    "private_key": secrets.PEM,
}
# much faster than the patterns, and no row without it can match
_CHEAP = {
    "email": pl.col("text").str.contains("@", literal=True),
    "ipv6": pl.col("text").str.contains("::", literal=True) | pl.col("text").str.contains(rf"(?:{_GROUP}:){{7}}"),
    "url": pl.col("text").str.contains("://", literal=True),
    "private_key": pl.col("text").str.contains("PRIVATE KEY", literal=True),
}

_LOCAL_TRIM = ".%+'_-"
_DOMAIN = re.compile(
    rf"(?:[{_LETTER}](?:[{_LETTER}-]{{0,61}}[{_LETTER}])?\.){{1,20}}(?:[A-Za-zÀ-ɏ]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}})"
)
_GLUED = re.compile(r"(?<=\.)([a-z]{2,24})\.[A-Z][a-z]*$")  # the next sentence: bob@example.com.Thanks
_NEVER_TOP_LEVEL = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "html", "json", "local", "localdomain"}
)
_LINK_USER = re.compile(r"://[^\s/]*\Z")
_ID_HEADER = re.compile(r"(?i)-id|-to|references")
_MESSAGE_ID = re.compile(r"(?i)(?:message-id|in-reply-to|references|content-id)\s*:(?:\s*<[^<>\s]+>)*\s*<\Z")
_STAMPED = re.compile(r"[0-9]{8,}[^.]*\.", re.ASCII)
_TOUCHED_BEFORE = re.compile(r"(?:[A-Za-z0-9_.]|[0-9]-)\Z", re.ASCII)
_TOUCHED_AFTER = re.compile(r"[A-Za-z0-9_]|[.-][0-9]", re.ASCII)
_SAYS_IP = re.compile(r"(?i)\bip|host|server|addr|dns|ping|://|\[|地址|服务器|主机")
_VERSION = re.compile(r"(?i)(?:\bv|\bver\.?|\bversion|\brelease|\brevision|\bbuild|版本|版)[\s:：为号]*\Z")
_PASSPORT_NUMBER = re.compile(r"(?<![A-Za-z0-9])(?=[A-Z0-9]{0,2}\d{5})[A-Z0-9]{7,9}(?![A-Za-z0-9])", re.ASCII)
_PASSPORT_REACH = 32

Found = tuple[str, int, int]


def find_personal(rows: pl.DataFrame) -> pl.DataFrame:
    """Every piece of personal data and every secret, one row each, in the order of the texts.

    A row of `rows` may be found any number of times; each span has one kind, the most specific.

    Args:
        rows: with `row` (Int64) and `text` (String; null is skipped).

    Returns:
        `row`, `kind` (a name of `PERSONAL_KINDS`), `start` and `length` in characters, `shown` (masked).
    """
    texts = _narrowed(rows.select("row", "text").drop_nulls("text"))
    found: dict[int, list[Found]] = {}
    held: dict[int, str] = {}
    for family, pattern in _FAMILIES.items():
        hits = texts.filter(_CHEAP.get(family, pl.col("text").str.contains(pattern)))
        tokens = hits.with_columns(tokens=pl.col("text").str.extract_all(pattern)).filter(
            pl.col("tokens").list.len() > 0
        )
        for row, text, matches in tokens.select("row", "text", "tokens").iter_rows():
            spans = list(_validated(family, text, matches))
            if spans:
                found.setdefault(row, []).extend(spans)
                held[row] = text
    table: dict[str, list[object]] = {name: [] for name in SCHEMA}
    for row in sorted(found):
        for kind, start, end in _without_overlaps(found[row]):
            values = (row, kind, start, end - start, mask(kind, held[row][start:end]))
            for name, value in zip(SCHEMA, values, strict=True):
                table[name].append(value)
    return pl.DataFrame(table, schema=SCHEMA)


def redact(rows: pl.DataFrame, found: pl.DataFrame) -> pl.Series:
    """The texts with the mark of its kind (`<EMAIL>`) in place of each finding.

    Args:
        rows: with `row` and `text`, as given to `find_personal`.
        found: what it returned for them; spans must not overlap.

    Returns:
        As many texts as there are rows, in their order.
    """
    places = found.group_by("row").agg(pl.struct("start", "length", "kind").sort_by("start").alias("places"))
    joined = rows.select("row", "text").join(places, on="row", how="left", maintain_order="left")
    texts = [
        text if places is None or text is None else _marked(text, places)
        for text, places in joined.select("text", "places").iter_rows()
    ]
    return pl.Series("text", texts, dtype=pl.String)


def mask(kind: str, value: str) -> str:
    """Enough of a finding to recognise it, never the whole: `a***@e***.com`, `138****5678`, `AKIA****`."""
    if kind == "email":
        local, _, domain = value.rpartition("@")
        return f"{local[0]}***@{domain[0]}***.{domain.rpartition('.')[2]}"
    if kind == "ipv4":
        return f"{value.partition('.')[0]}.*.*.*"
    if kind == "private_key":
        return "-----BEGIN PRIVATE KEY-----****"
    head, tail = _BY_NAME[kind].shown_head, _BY_NAME[kind].shown_tail
    if kind == "cn_mobile":
        return f"{numbers.bare(value)[-11:-8]}****{value[-4:]}"
    if 2 * (head + tail) > len(value):  # at least half stays hidden
        tail = 0
    return f"{value[:head]}****{value[len(value) - tail :]}"


def _narrowed(rows: pl.DataFrame) -> pl.DataFrame:
    """Full-width forms as ASCII, character by character, so that offsets stay."""
    wide = rows.filter(pl.col("text").str.contains(_HAS_WIDE))
    if wide.is_empty():
        return rows
    texts = [text.translate(_WIDE) for text in wide["text"]]
    return rows.update(wide.with_columns(text=pl.Series(texts, dtype=pl.String)), on="row")


def _marked(text: str, places: list[dict[str, object]]) -> str:
    parts = []
    position = 0
    for place in places:
        start, length = int(str(place["start"])), int(str(place["length"]))
        parts += [text[position:start], _BY_NAME[str(place["kind"])].mark]
        position = start + length
    return "".join([*parts, text[position:]])


def _without_overlaps(spans: list[Found]) -> list[Found]:
    """The most specific kind first, the longer span before the shorter; what overlaps it goes."""
    starts: list[int] = []
    kept: list[Found] = []
    for kind, start, end in sorted(set(spans), key=lambda span: (_RANK[span[0]], span[1] - span[2], span[1])):
        place = bisect.bisect_left(starts, start)
        free_before = place == 0 or kept[place - 1][2] <= start
        if free_before and (place == len(kept) or end <= starts[place]):
            starts.insert(place, start)
            kept.insert(place, (kind, start, end))
    return kept


def _tokens(text: str, matches: list[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each match in characters.

    The first place at or after the last match's end where the match's text stands is the match itself: a pattern
    without look-around matches that text wherever it stands, so an earlier place would have been the next match.
    """
    end = 0
    for match in matches:
        start = text.index(match, end)
        end = start + len(match)
        yield start, end


def _validated(family: str, text: str, matches: list[str]) -> Iterator[Found]:
    check = _CHECKS[family]
    for start, end in _tokens(text, matches):
        yield from check(text, start, end)


def _check_email(text: str, start: int, end: int) -> Iterator[Found]:
    local, _, domain = text[start:end].rpartition("@")
    trimmed = local.lstrip(_LOCAL_TRIM)
    start += len(local) - len(trimmed)
    domain = _GLUED.sub(r"\1", domain.partition("---")[0].rstrip(".-"))
    end = start + len(trimmed) + 1 + len(domain)
    if not 1 <= len(trimmed) <= 64 or end - start > 254 or _DOMAIN.fullmatch(domain) is None:
        return
    if domain.rpartition(".")[2].lower() in _NEVER_TOP_LEVEL or ".." in trimmed or trimmed.endswith("."):
        return
    if trimmed == "git" and text[end : end + 1] == ":":  # git@github.com:owner/name is an address of a repository
        return
    if text[max(0, start - 1) : start] in (":", "/") and _LINK_USER.search(text, max(0, start - 100), start):
        return
    if not _is_message_id(text, start, trimmed):
        yield "email", start, end


def _is_message_id(text: str, start: int, local: str) -> bool:
    """An identifier of RFC 5322 (`Message-ID: <2002….1@host>`) looks like an address: its header or its time tells."""
    if text[max(0, start - 4) : start] == "cid:":
        return True
    if text[start - 1 : start] != "<":
        return False
    if _STAMPED.match(local):
        return True
    window = text[max(0, start - 400) : start]
    return _ID_HEADER.search(window) is not None and _MESSAGE_ID.search(window) is not None


def _check_ip4(text: str, start: int, end: int) -> Iterator[Found]:
    if _TOUCHED_BEFORE.search(text[max(0, start - 2) : start]) or _TOUCHED_AFTER.match(text[end : end + 2]):
        return
    value, before = text[start:end], text[max(0, start - 16) : start]
    if is_ip4(value) and not _VERSION.search(before) and (not looks_like_version(value) or _SAYS_IP.search(before)):
        yield "ipv4", start, end


def _check_ip6(text: str, start: int, end: int) -> Iterator[Found]:
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    touched = any(mark.isascii() and (mark.isalnum() or mark in "_:") for mark in (before, after) if mark)
    if not touched and is_ip6(text[start:end]):
        yield "ipv6", start, end


def _check_iban(text: str, start: int, end: int) -> Iterator[Found]:
    length = iban_length(text[start : start + 2])
    before = text[start - 1 : start] if start else ""
    if length is None or (before.isascii() and before.isalnum()):
        return
    stop = start
    letters = 0
    while letters < length and stop < end:
        letters += text[stop].isalnum()
        stop += 1
    after = text[stop : stop + 1]
    if not (after.isascii() and after.isalnum()) and is_iban(numbers.bare(text[start:stop])):
        yield "iban", start, stop


def _check_passport(text: str, start: int, end: int) -> Iterator[Found]:
    window_start = max(0, start - _PASSPORT_REACH)
    for match in _PASSPORT_NUMBER.finditer(text, window_start, min(len(text), end + _PASSPORT_REACH)):
        if not re.fullmatch(r"(?:19|20)\d{6}", match[0]):
            yield "passport", match.start(), match.end()


def _check_key(text: str, start: int, end: int) -> Iterator[Found]:
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    touched = any(mark.isascii() and (mark.isalnum() or mark == "_") for mark in (before, after) if mark)
    if not touched and secrets.is_key(text[start:end]):
        yield "api_key", start, end


def _check_assignment(text: str, start: int, end: int) -> Iterator[Found]:
    span = secrets.secret_value(text, end, text[start:end])
    if span is not None:
        yield "secret", *span


def _check_url(text: str, start: int, end: int) -> Iterator[Found]:
    span = secrets.url_password(text, start, end)
    if span is not None:
        yield "secret", *span


def _check_private_key(text: str, start: int, end: int) -> Iterator[Found]:
    yield "private_key", start, secrets.private_key_end(text, end)


_CHECKS = {
    "email": _check_email,
    "digits": numbers.find_in_run,
    "ipv4": _check_ip4,
    "ipv6": _check_ip6,
    "iban": _check_iban,
    "passport": _check_passport,
    "api_key": _check_key,
    "assignment": _check_assignment,
    "url": _check_url,
    "private_key": _check_private_key,
}
