"""The e-mails of SpamAssassin as ground truth: addresses and IPs of their headers, a judged sample of their bodies.

Headers: what `email.utils.getaddresses` reads from the address fields must be found; what stands in identifier fields
(Message-ID, References) is no address. Each token of the trace fields that `ipaddress` reads as the address of one
machine must be found. Bodies: of what was found in every second mail a sample per kind, and of the digit runs and
`@`-words in which nothing was found another, each item judged by hand. The judgements are kept by file and place only,
so that the repository does not repeat the personal data: 1 is what the kind says (whoever it belongs to), 0 is not.
"""

import email.utils
import hashlib
import ipaddress
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from inputs import fetch_package, read_members

from modelyard.data.personal.find import find_personal
from modelyard.data.personal.numbers import DIGITS

JUDGED = Path(__file__).with_name("personal_judged.json")
PER_KIND, UNFOUND = 60, {"digits": 300, "@": 100}
_ADDRESS_FIELDS = (
    *("from", "to", "cc", "bcc", "reply-to", "return-path", "sender", "delivered-to", "errors-to", "x-beenthere"),
    *("resent-from", "resent-to", "mail-followup-to", "x-original-to"),
)
_ID_FIELDS = ("message-id", "in-reply-to", "references", "content-id", "x-msgid", "x-pmg-msgid")
_IP_FIELDS = ("received", "x-originating-ip", "x-originatingip", "x-authentication-warning")
_FIELD = re.compile(r"^([A-Za-z0-9-]+):[ \t]*((?:.*(?:\n[ \t].*)*))", re.MULTILINE)
_RUN = re.compile(DIGITS)


@dataclass(frozen=True)
class Mail:
    """One file: its name, the whole text, and where its header ends."""

    name: str
    text: str
    header_end: int


def mails() -> list[Mail]:
    """All 6,046, sorted by name."""
    files = read_members(fetch_package("spam-assassin"), prefix="data/", suffix=".txt")
    made = []
    for name in sorted(files):
        text = files[name].decode("utf-8", "replace").replace("\r\n", "\n")
        made.append(Mail(name, text, text.find("\n\n") % (len(text) + 1)))
    return made


def as_frame(texts: list[str]) -> pl.DataFrame:
    """Rows as `find_personal` takes them, numbered from 0."""
    return pl.DataFrame({"row": range(len(texts)), "text": texts}, schema={"row": pl.Int64, "text": pl.String})


def header_truth(mail: Mail) -> tuple[set[str], set[str], list[tuple[int, int]]]:
    """Addresses (in small letters), IP addresses, and the places of the identifier fields."""
    addresses: set[str] = set()
    machines: set[str] = set()
    identifiers = []
    for match in _FIELD.finditer(mail.text, 0, mail.header_end):
        name, value = match[1].lower(), match[2]
        if name in _ADDRESS_FIELDS:
            pairs = email.utils.getaddresses([value.replace("\n", " ")])
            addresses |= {address.lower() for _, address in pairs if _is_address(address)}
        elif name in _ID_FIELDS:
            identifiers.append(match.span())
        elif name in _IP_FIELDS:
            machines |= set(_machines(value))
    return addresses, machines, identifiers


def _is_address(address: str) -> bool:
    local, at, domain = address.rpartition("@")
    return bool(at and local and "." in domain.strip(".") and re.fullmatch(r"[\w.%+'-]+@[\w.-]+[A-Za-z]", address))


def _machines(value: str) -> Iterator[str]:
    for token in re.findall(r"(?<![\w.:-])[0-9A-Fa-f:.]+(?![\w:-])", value):
        try:
            address = ipaddress.ip_address(token.rstrip(".:"))
        except ValueError:
            continue
        if not (address.is_unspecified or address.is_loopback or address.is_multicast or token.startswith("255.")):
            yield token.rstrip(".:")


def score_headers(every: list[Mail], found: list[list[tuple[str, int, int]]]) -> dict[str, tuple[int, int]]:
    """Hits and number behind each figure, over distinct values per mail; `found` holds group, start, end."""
    hits: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for mail, spans in zip(every, found, strict=True):
        addresses, machines, identifiers = header_truth(mail)
        texts: dict[str, set[str]] = {"email": set(), "ip": set()}
        for group, start, end in spans:
            if end <= mail.header_end and group in texts:
                texts[group].add(mail.text[start:end].lower())
                wrong = any(left <= start < right for left, right in identifiers)
                hits[f"{group} precision"][0] += not wrong
                hits[f"{group} precision"][1] += 1
        for name, truth in (("email", addresses), ("ip", {machine.lower() for machine in machines})):
            hits[f"{name} recall"][0] += len(truth & texts[name])
            hits[f"{name} recall"][1] += len(truth)
    return {name: (right, number) for name, (right, number) in hits.items()}


def sample_bodies(every: list[Mail]) -> tuple[dict[str, list[tuple[Mail, int, int]]], dict[str, int]]:
    """Per kind (and `unfound digits`, `unfound @`) the sampled places; and how many distinct ones there are."""
    odd = every[1::2]
    table = find_personal(as_frame([mail.text for mail in odd]))
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    pool: dict[str, dict[str, tuple[Mail, int, int]]] = defaultdict(dict)
    for row, kind, start, length in table.select("row", "kind", "start", "length").iter_rows():
        mail = odd[row]
        spans[row].append((start, start + length))
        if start >= mail.header_end:
            pool[kind].setdefault(mail.text[start : start + length], (mail, start, start + length))
    for row, mail in enumerate(odd):
        for name, pattern in (("unfound digits", _RUN), ("unfound @", re.compile(r"\S+@\S+"))):
            for match in pattern.finditer(mail.text, mail.header_end):
                free = not any(left < match.end() and match.start() < right for left, right in spans[row])
                linked = name == "unfound digits" and "://" in _word_before(mail.text, match.start())
                if free and not linked:
                    pool[name].setdefault(match[0], (mail, match.start(), match.end()))
    sampled = {}
    for name in sorted(pool):
        # by digest, so that another finder's sample is the same but for what it finds otherwise
        places = sorted(pool[name].values(), key=lambda place: hashlib.sha256(judgement_key(*place).encode()).digest())
        sampled[name] = places[: UNFOUND.get(name.removeprefix("unfound "), PER_KIND)]
    return sampled, {name: len(places) for name, places in pool.items()}


def _word_before(text: str, start: int) -> str:
    """What stands before a place without white space between."""
    return re.split(r"[\s<>\"']", text[max(0, start - 200) : start])[-1]


def judgement_key(mail: Mail, start: int, end: int) -> str:
    """File and place."""
    return f"{mail.name.removeprefix('package/')}:{start}:{end - start}"


def read_judgements() -> dict[str, dict[str, int]]:
    """Per kind the judged places; empty where none was recorded."""
    return json.loads(JUDGED.read_text(encoding="utf-8")) if JUDGED.is_file() else {}


def print_unjudged(every: list[Mail]) -> None:
    """What a person has still to judge, with the text around it."""
    judged = read_judgements()
    sampled, _ = sample_bodies(every)
    for name, places in sampled.items():
        for mail, start, end in places:
            key = judgement_key(mail, start, end)
            if key not in judged.get(name, {}):
                text = mail.text
                print(
                    name,
                    key,
                    repr(f"{text[max(0, start - 35) : start]}[[{text[start:end][:90]}]]{text[end : end + 15]}"),
                )


if __name__ == "__main__":
    print_unjudged(mails())
