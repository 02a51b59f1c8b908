"""Drawings as inline SVG: pure functions from numbers to markup. Colours come from the page's style sheet by class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelyard.evidence.interval import RANGE, Interval, Limit

BAR_WIDTH, BAR_HEIGHT, AXIS_HEIGHT = 240.0, 26.0, 16.0
CHARACTER = 7.0  # width of a digit at 11 px, to keep labels apart
ROOM = 0.06  # of the span, left free on each side

DEFINITIONS = Markup(
    '<svg class="definitions" width="0" height="0" aria-hidden="true" focusable="false"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs></svg>'
)


@dataclass(frozen=True)
class Scale:
    """A straight line from values to pixels.

    Attributes:
        low: value at `start`.
        high: value at `end`; above `low`.
        start: pixels.
        end: pixels; below `start` where the axis runs upwards.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixels of a value; one outside the scale lies at its nearest end."""
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)


def px(value: float) -> str:
    """Pixels as short text: at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def span_of(values: Sequence[float]) -> tuple[float, float]:
    """A span that holds every value with a little room; where none is below zero it starts at zero."""
    low, high = min(values), max(values)
    room = ROOM * (high - low) or ROOM * abs(high) or 1.0
    return (0.0 if low >= 0 else low - room), high + room


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round values inside a span, about `wanted` of them, 1, 2 or 5 times a power of ten apart."""
    raw = (high - low) / max(1, wanted)
    if not 0 < raw < math.inf:
        return []
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor, most in ((1, 1.5), (2, 3.5), (5, 7.5), (10, 10.1)) if raw / power <= most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def interval_bar(
    interval: Interval,
    limit: Limit,
    outcome: str,
    span: tuple[float, float],
    *,
    width: float = BAR_WIDTH,
    axis: tuple[float, str] | None = None,
) -> Markup:
    """An interval as a bar with its estimate, the limit as a line, the allowed side hatched.

    Args:
        interval: what was measured.
        limit: what is allowed.
        outcome: PASS, FAIL or INCONCLUSIVE: the shape and colour of the estimate's mark.
        span: values at the left and the right end.
        width: pixels.
        axis: factor and unit of numbers below the bar; None draws no axis.
    """
    scale = Scale(*span, 0.0, width)
    height = BAR_HEIGHT + (AXIS_HEIGHT if axis else 0.0)
    line = scale(limit.value)
    allowed = (0.0, line) if limit.bound == "at_most" else (line, width)
    parts = [
        Markup('<rect class="track" x="0" y="5" width="{}" height="16"/>').format(px(width)),
        Markup('<rect class="allowed" fill="url(#hatch)" x="{}" y="5" width="{}" height="16"/>').format(
            px(allowed[0]), px(allowed[1] - allowed[0])
        ),
        Markup('<line class="limit" x1="{0}" y1="1" x2="{0}" y2="25"/>').format(px(line)),
        _span(interval, scale),
        mark(outcome, scale(interval.estimate), 13.0),
    ]
    if axis:
        whole = interval.unit not in ("fraction", "ratio", "ms")
        parts.append(_axis(scale, limit, width, *axis, whole=whole))
    return drawing(width, height, "interval", parts)


def _span(interval: Interval, scale: Scale) -> Markup:
    """The bar from end to end with a tick at each; nothing for an exact number."""
    left, right = scale(interval.low), scale(interval.high)
    if right - left < 0.01:
        return Markup()
    dashed = Markup(" dashed") if interval.method == RANGE else Markup()
    return Markup(
        '<line class="span{2}" x1="{0}" y1="13" x2="{1}" y2="13"/>'
        '<line class="end" x1="{0}" y1="9" x2="{0}" y2="17"/><line class="end" x1="{1}" y1="9" x2="{1}" y2="17"/>'
    ).format(px(left), px(right), dashed)


def mark(outcome: str, x: float, y: float) -> Markup:
    """The estimate's mark: a disc passed, a square failed, a hollow diamond cannot tell."""
    at = {"x": px(x), "y": px(y), "left": px(x - 4), "top": px(y - 4)}
    if outcome == "FAIL":
        return Markup('<rect class="mark FAIL" x="{left}" y="{top}" width="8" height="8"/>').format(**at)
    if outcome == "INCONCLUSIVE":
        return Markup('<path class="mark INCONCLUSIVE" d="M{x} {top}l4.5 4l-4.5 4l-4.5 -4z"/>').format(**at)
    return Markup('<circle class="mark PASS" cx="{x}" cy="{y}" r="4"/>').format(**at)


def _axis(scale: Scale, limit: Limit, width: float, factor: float, unit: str, *, whole: bool) -> Markup:
    """The limit's value below its line, and round values where they leave it room; whole ones of what is counted."""
    sign = "≤ " if limit.bound == "at_most" else "≥ "
    labels = [(scale(limit.value), f"{sign}{compact(factor * limit.value)}{unit}", "limit-label")]
    labels += [
        (scale(value / factor), f"{compact(value)}{unit}", "tick-label")
        for value in ticks(factor * scale.low, factor * scale.high, 3)
        if not whole or value.is_integer()
    ]
    parts: list[Markup] = []
    taken: list[tuple[float, float]] = []
    for x, text, name in labels:
        half = CHARACTER * len(text) / 2
        middle = min(max(x, half), width - half)
        if all(abs(middle - other) > half + other_half + 6 for other, other_half in taken):
            taken.append((middle, half))
            parts.append(label(middle, BAR_HEIGHT + 11, text, name))
    return Markup("").join(parts)


def label(x: float, y: float, text: str | Markup, name: str, anchor: str = "middle") -> Markup:
    """A text of a drawing; escaped unless it is markup already."""
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(name, px(x), px(y), anchor, text)


def compact(value: float) -> str:
    """A number on an axis: few digits, thousands as `12k`, a minus sign as wide as a digit."""
    if abs(value) >= 1e6:
        text = f"{value / 1e6:.6g}M"
    elif abs(value) >= 1e4:
        text = f"{value / 1e3:.6g}k"
    else:
        text = f"{value:.6g}"
    return text.replace("-", "−")  # noqa: RUF001


def share_bar(share: float, *, width: float = 140.0, largest: float = 1.0, name: str = "share") -> Markup:
    """A share as a bar that starts at the left; `largest` fills the whole width."""
    wide = width * min(max(share / largest, 0.0), 1.0) if largest > 0 else 0.0
    parts = [
        Markup('<rect class="track" x="0" y="1" width="{}" height="10"/>').format(px(width)),
        Markup('<rect class="{}" x="0" y="1" width="{}" height="10"/>').format(name, px(wide)),
    ]
    return drawing(width, 12.0, "bar", parts)


def drawing(width: float, height: float, name: str, parts: Sequence[Markup]) -> Markup:
    """An `<svg>` of a size; hidden from screen readers, since its numbers stand beside it as text."""
    return Markup(
        '<svg class="{2}" viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true">{3}</svg>'
    ).format(px(width), px(height), name, Markup("").join(parts))
