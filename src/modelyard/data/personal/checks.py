"""What tells a personal number from any other: published lengths, ranges and check digits.

All functions take the bare digits or letters, separators removed, in ASCII. The tables, with their sources, are in
number_formats.json.
"""

import datetime
import ipaddress
import json
import math
from collections import Counter
from pathlib import Path

_TABLES = json.loads(Path(__file__).with_name("number_formats.json").read_text(encoding="utf-8"))
CALLING_CODES: dict[str, list[int]] = _TABLES["calling_codes"]
_IBAN_LENGTHS: dict[str, int] = _TABLES["iban_lengths"]
_PROVINCES = frozenset(_TABLES["resident_id_provinces"])
# GB 11643-1999, 5.2: weights of the first 17 digits, and the check character by the remainder
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
# numbers that were printed in advertisements (SSA, "Social Security Number Randomization", and its history pages)
_SSN_ADVERTISED = frozenset({"078051120", "219099999"})
_IP6_NETWORKS = tuple(ipaddress.IPv6Network(network) for network in ("2000::/3", "fc00::/7", "fe80::/10"))


def _read_card_ranges() -> tuple[tuple[str, str, frozenset[int]], ...]:
    """First and last prefix, and the lengths a number may have."""
    ranges = []
    for network in _TABLES["card_ranges"]:
        for text in network["ranges"]:
            first, _, last = text.partition("-")
            ranges.append((first, last or first, frozenset(network["lengths"])))
    return tuple(ranges)


_CARD_RANGES = _read_card_ranges()
_DOUBLED = str.maketrans("0123456789", "0246813579")


def passes_luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B: every second digit from the right is doubled, less nine."""
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def is_card(digits: str) -> bool:
    """A payment card: a network's range and length, the Luhn digit, and not one digit repeated."""
    if not passes_luhn(digits) or len(set(digits)) == 1:
        return False
    return any(
        first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _CARD_RANGES
    )


def iban_length(country: str) -> int | None:
    """Characters of the IBANs of a country, ISO 3166 code in capitals; None where it has none."""
    return _IBAN_LENGTHS.get(country)


def is_iban(text: str) -> bool:
    """An IBAN: the length of its country and the remainder 1 modulo 97 of ISO 13616 and ISO/IEC 7064."""
    if len(text) != _IBAN_LENGTHS.get(text[:2]):
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def is_resident_id(text: str) -> bool:
    """A Chinese resident identity number of 18 characters (GB 11643): province, date of birth, check character."""
    if not has_resident_id_shape(text):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, text[:17], strict=True))
    return _ID_CHECKS[total % 11] == text[17].upper()


def has_resident_id_shape(text: str) -> bool:
    """Eighteen characters with a province and a date of birth, whatever the check character."""
    return len(text) == 18 and text[:2] in _PROVINCES and _is_birthday(text[6:14])


def is_old_resident_id(digits: str) -> bool:
    """The form of 15 digits used before 1999, which has no check character: province and date of birth."""
    return digits[:2] in _PROVINCES and _is_birthday(f"19{digits[6:12]}")


def _is_birthday(text: str) -> bool:
    """A day from 1900 to 2049; a fixed end, so that the same text is judged alike on every day."""
    try:
        return 1900 <= datetime.datetime.strptime(text, "%Y%m%d").year < 2050
    except ValueError:
        return False


def is_ssn(digits: str) -> bool:
    """A US social security number: the area, group and serial that the SSA may have issued."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    impossible = area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000"
    return not impossible and digits not in _SSN_ADVERTISED


def is_north_american(digits: str) -> bool:
    """Ten digits as the North American Numbering Plan allows: NXX-NXX-XXXX, neither part of the form N11."""
    area, exchange = digits[:3], digits[3:6]
    return (
        len(digits) == 10
        and area[0] in "23456789"
        and area[1] != "9"
        and exchange[0] in "23456789"
        and not area.endswith("11")
        and not exchange.endswith("11")
    )


def international_length(digits: str) -> tuple[int, int] | None:
    """Least and most digits of a number in all, by its country calling code (ITU-T E.164); None for an unknown code."""
    for size in (1, 2, 3):
        limits = CALLING_CODES.get(digits[:size])
        if limits is not None:
            return limits[0] + size, limits[1] + size
    return None


def is_ip4(text: str) -> bool:
    """An IPv4 address of one machine: not the unspecified or a loopback address, not a network mask."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback or text.startswith(("0.", "255.")))


def looks_like_version(address: str) -> bool:
    """Four numbers below 32, such as `7.1.4.0`: so are most versions, and one public address in 4,096.

    Not those of 10.0.0.0/8, which every company's network is numbered from (RFC 1918).
    """
    return not address.startswith("10.") and all(int(part) < 32 for part in address.split("."))


def is_ip6(text: str) -> bool:
    """An IPv6 address of one machine, told from names in C++ (`a::b`) and lists of bytes, which parse as well.

    In the blocks that are in use (IANA, IPv6 address space): global unicast, unique local, link-local; or an IPv4
    address in the mapped form.
    """
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return address.ipv4_mapped is not None or any(address in network for network in _IP6_NETWORKS)


def entropy_bits(text: str) -> float:
    """Shannon's entropy of the characters, in bits per character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
