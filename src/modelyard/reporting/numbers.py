"""Numbers as a person reads them, in both languages."""

import re
from dataclasses import dataclass

from markupsafe import Markup

from modelyard.evidence.interval import RANGE, Interval, Limit
from modelyard.evidence.judge import Verdict, shown_digits, shown_unit
from modelyard.reporting.words import LANGUAGES, both, chinese_of, has, one, sentence

CONTROL = {code: 0x2400 + code for code in range(32) if code not in (9, 10, 13)} | {127: 0x2421}
"""Characters that no HTML or SVG may hold, each as its picture."""
TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""Characters that turn the direction of all that follows: a label must not rewrite the sentence it stands in."""


_MINUS = re.compile(r"(?<![\w.)])-(?=\d)")


@dataclass(frozen=True)
class Shown:
    """An interval in the unit a person reads: `scale` times the interval's own.

    Attributes:
        low: lower end, as a string with the digits it takes to tell it from the limit.
        estimate: the same for the estimate.
        high: the same for the upper end.
        limit: what is allowed, as a string; empty without a limit.
        unit: `%`, `points`, `rows`, ...; empty for a ratio.
        scale: factor from the interval's own unit.
    """

    low: str
    estimate: str
    high: str
    limit: str
    unit: str
    scale: float


def shown(interval: Interval, limit: Limit | None = None) -> Shown:
    """An interval and its limit as strings, rounded as `evidence.judge` rounds them in its reasons."""
    scale, unit = shown_unit(interval)
    digits = shown_digits(interval, limit or Limit(bound="at_most", value=interval.estimate), scale)
    low, estimate, high = (f"{scale * value:,.{digits}f}" for value in (interval.low, interval.estimate, interval.high))
    allowed = "" if limit is None else f"{scale * limit.value:,.10g}"
    return Shown(minus(low), minus(estimate), minus(high), minus(allowed), unit.strip(), scale)


def minus(text: str) -> str:
    """A text with the minus sign of typography before its numbers, which is as wide as the digits."""
    return _MINUS.sub("−", text)  # noqa: RUF001


def amount(number: str, unit: str, language: str) -> str:
    """A number with its unit: `5%`, `1 point`, `3 个百分点`."""
    if unit in ("", "%"):
        return f"{number}{unit}"
    key = f"unit.{unit}"
    name = one(key, language) if has(key) else unit
    if language == "en" and number == "1":
        name = name.removesuffix("s") if name != "ms" else name
    return f"{number} {name}"


def both_amounts(number: str, unit: str) -> Markup:
    """`amount` in both languages."""
    en, zh = (amount(number, unit, language) for language in LANGUAGES)
    return both(en=en, zh=zh)


def limit_text(verdict_limit: Limit, interval: Interval) -> Markup:
    """`at most 1 point` in both languages."""
    en, zh = (_limit(shown(interval, verdict_limit), verdict_limit, language) for language in LANGUAGES)
    return both(en=en, zh=zh)


def _limit(numbers: Shown, limit: Limit, language: str) -> str:
    return one(f"limit.{limit.bound}", language, amount=amount(numbers.limit, numbers.unit, language))


def reason(verdict: Verdict) -> Markup:
    """A verdict's sentence: the English one as it stands in the report, the Chinese one made anew from its numbers.

    A rule may have a sentence of its own, which the table of sentences knows.
    """
    if verdict.interval is None or verdict.limit is None or chinese_of(verdict.reason) is not None:
        return sentence(verdict.reason)
    return both(en=minus(verdict.reason), zh=_chinese_reason(verdict.interval, verdict.limit, verdict.outcome))


def _chinese_reason(interval: Interval, limit: Limit, outcome: str) -> str:
    numbers = shown(interval, limit)
    if interval.method == RANGE:
        key = "reason.range"
    elif interval.method == "count":
        key = f"reason.count.{outcome}"
    else:
        key = f"reason.interval.{outcome}"
    return one(
        key,
        "zh",
        estimate=amount(numbers.estimate, numbers.unit, "zh"),
        low=numbers.low,
        high=numbers.high,
        n=f"{interval.n:,}",
        limit=_limit(numbers, limit, "zh"),
    )


def brief(verdict: Verdict) -> Markup:
    """A verdict's numbers alone, for a row whose rule and limit stand above it."""
    own = chinese_of(verdict.reason) is not None
    if verdict.interval is None or verdict.interval.method in ("count", RANGE) or own:
        return reason(verdict)
    numbers = shown(verdict.interval, verdict.limit)
    en, zh = (
        one(
            "reason.brief",
            language,
            estimate=amount(numbers.estimate, numbers.unit, language),
            low=numbers.low,
            high=numbers.high,
            n=f"{verdict.interval.n:,}",
        )
        for language in LANGUAGES
    )
    return both(en=en, zh=zh)


def size(count: float) -> str:
    """Bytes in decimal units: `23.4 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> Markup:
    """A time as a person says it, in both languages."""
    key, values = _duration(seconds)
    en, zh = (one(key, language, **values) for language in LANGUAGES)
    return both(en=en, zh=zh)


def _duration(seconds: float) -> tuple[str, dict[str, object]]:
    if seconds < 60:
        return "duration.seconds", {"seconds": f"{seconds:.1f}"}
    if seconds < 3600:
        return "duration.minutes", {"minutes": int(seconds // 60), "seconds": int(seconds % 60)}
    return "duration.hours", {"hours": int(seconds // 3600), "minutes": int(seconds % 3600 // 60)}


def printable(text: str) -> str:
    """A user's text without what breaks a page: control characters, turned directions, lone surrogates."""
    return text.translate(CONTROL | TURNING).encode("utf-8", "replace").decode("utf-8")


def cut(text: str, length: int) -> str:
    """At most `length` characters of a text, an ellipsis where it goes on."""
    plain = printable(text[: length + 1])
    return plain if len(text) <= length else plain[:length].rstrip() + "…"
