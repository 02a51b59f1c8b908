"""The larger drawings: learning curves, the ladder's Pareto plot, the lengths of texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelyard.evidence.interval import Interval
from modelyard.reporting.svg import Scale, compact, drawing, label, px, span_of, ticks
from modelyard.reporting.words import svg_words

WIDTH, HEIGHT = 420.0, 270.0
LOW = 165.0
"""Height of a chart of which there are several."""
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 16.0, 40.0
MOST_POINTS = 240
"""Of one line: more are averaged in groups, as no screen shows them apart."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: key of its words.
        style: class of its line: `first`, `second` or `faint`.
        points: x and y; a y that is no finite number breaks the line and is marked.
        dots: whether each point gets a mark.
    """

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Rung:
    """One candidate on the Pareto plot.

    Attributes:
        letter: its mark, explained in the table below the plot.
        speed: time of the export over its own, with the interval.
        lost: fraction of accuracy lost, with the interval; exact zero for the export, which is judged by parity.
        note: short text beside the mark, its size.
        chosen: whether it was chosen.
    """

    letter: str
    speed: Interval
    lost: Interval
    note: str
    chosen: bool


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """Means of groups of neighbours where there are more than `most` points; a group with a NaN stays one."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def smoothed(points: Sequence[tuple[float, float]], share: float = 0.06) -> list[tuple[float, float]]:
    """A running mean over the last `share` of the points, not finite ones left out."""
    width = max(1, round(share * len(points)))
    found = []
    for place in range(len(points)):
        window = [y for _, y in points[max(0, place - width + 1) : place + 1] if math.isfinite(y)]
        if window:
            found.append((points[place][0], sum(window) / len(window)))
    return found


def line_chart(
    curves: Sequence[Curve],
    *,
    x_name: str,
    y_name: str,
    best: float | None = None,
    factor: float = 1.0,
    height: float = HEIGHT,
    from_zero: bool = False,
) -> Markup:
    """Lines over steps with both axes; the best step as a line from top to bottom.

    Args:
        curves: at least one with a finite point.
        x_name: key of the words under the x axis.
        y_name: key of the words above the y axis.
        best: x of the step whose weights were kept.
        factor: of the numbers on the y axis, 100 for a share shown in %.
        height: pixels.
        from_zero: whether the y axis starts at zero, where no value is below it.
    """
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points if math.isfinite(y)]
    across = Scale(0.0, max(*xs, 1.0), LEFT, WIDTH - RIGHT)
    up = Scale(*(span_of(ys) if from_zero else _tight(ys)), height - BOTTOM, TOP + 12)
    parts = [*_grid(across, up, factor), *_names(x_name, y_name, height)]
    if best is not None:
        x = px(across(best))
        parts.append(
            Markup('<line class="best" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(x, px(TOP + 12), px(up.start))
        )
        anchor = "end" if across(best) > WIDTH / 2 else "start"
        words = svg_words("chart.best", step=f"{best:,.0f}")
        parts.append(label(across(best) + (4 if anchor == "end" else -4), TOP + 8, words, "note", anchor))
    for curve in curves:
        parts += _curve(curve, across, up)
    return drawing(WIDTH, height, "chart", parts)


def _tight(values: Sequence[float]) -> tuple[float, float]:
    """A span around the values that need not start at zero: a curve's shape is what is read."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _grid(across: Scale, up: Scale, factor: float = 1.0) -> list[Markup]:
    parts, bottom = [], max(up.start, up.end)
    for value in ticks(up.low * factor, up.high * factor, 4):
        y = up(value / factor)
        parts.append(
            Markup('<line class="grid" x1="{0}" y1="{2}" x2="{1}" y2="{2}"/>').format(
                px(across.start), px(across.end), px(y)
            )
        )
        parts.append(label(across.start - 6, y + 4, compact(value), "tick-label", "end"))
    for value in ticks(across.low, across.high, 5):
        x = across(value)
        parts.append(
            Markup('<line class="tick" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(px(x), px(bottom), px(bottom + 4))
        )
        parts.append(label(x, bottom + 16, compact(value), "tick-label"))
    parts.append(
        Markup('<line class="axis" x1="{0}" y1="{2}" x2="{1}" y2="{2}"/>').format(
            px(across.start), px(across.end), px(bottom)
        )
    )
    return parts


def _names(x_name: str, y_name: str, height: float = HEIGHT) -> list[Markup]:
    return [
        label(0.0, 11, svg_words(y_name), "axis-name", "start"),
        label(WIDTH - RIGHT, height - 6, svg_words(x_name), "axis-name", "end"),
    ]


def _curve(curve: Curve, across: Scale, up: Scale) -> list[Markup]:
    parts, piece, pieces = [], [], []
    for x, y in curve.points:
        if math.isfinite(y):
            piece.append(f"{px(across(x))} {px(up(y))}")
            continue
        parts.append(label(across(x), TOP + 12, "✘", "broken"))
        pieces.append(piece)
        piece = []
    pieces.append(piece)
    path = "".join("M" + "L".join(piece) for piece in pieces if piece)
    parts.insert(0, Markup('<path class="curve {}" d="{}"/>').format(curve.style, path))
    if curve.dots:
        parts += [
            Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.5"/>').format(curve.style, px(across(x)), px(up(y)))
            for x, y in curve.points
            if math.isfinite(y)
        ]
    return parts


def pareto(rungs: Sequence[Rung], limit: float | None) -> Markup:
    """Accuracy lost against speed: to the right is faster, up is better, beyond the limit is hatched.

    Args:
        rungs: at least one.
        limit: the largest loss allowed, a fraction; None where nothing was judged by it.
    """
    lost = [100 * value for rung in rungs for value in (rung.lost.low, rung.lost.high)]
    bound = [100 * limit] if limit is not None else []
    low, high = _tight([*lost, *bound, 0.0])
    speeds = [value for rung in rungs for value in (rung.speed.low, rung.speed.high)]
    across = Scale(0.0, 1.2 * max(speeds), LEFT, WIDTH - RIGHT)  # room for a note beside the fastest
    up = Scale(low, high, TOP + 12, HEIGHT - BOTTOM)  # a loss runs downwards
    parts = []
    if limit is not None:
        y = up(100 * limit)
        parts.append(
            Markup('<rect class="forbidden" fill="url(#hatch)" x="{}" y="{}" width="{}" height="{}"/>').format(
                px(LEFT), px(y), px(across.end - LEFT), px(HEIGHT - BOTTOM - y)
            )
        )
    parts += [*_grid(across, up), *_names("chart.speed", "chart.lost")]
    if limit is not None:
        parts.append(
            Markup('<line class="limit" x1="{0}" y1="{2}" x2="{1}" y2="{2}"/>').format(px(LEFT), px(across.end), px(y))
        )
        parts.append(label(LEFT + 5, y - 5, svg_words("chart.limit", limit=f"{100 * limit:g}"), "note", "start"))
    taken: list[tuple[float, float, float, float]] = [
        _box(across(rung.speed.estimate), up(100 * rung.lost.estimate), MARK, MARK) for rung in rungs
    ]
    for rung in rungs:
        x, y = across(rung.speed.estimate), up(100 * rung.lost.estimate)
        taken.append((across(rung.speed.low), y - 2, across(rung.speed.high), y + 2))
        taken.append((x - 2, up(100 * rung.lost.low), x + 2, up(100 * rung.lost.high)))
    for rung in rungs:
        parts += _rung(rung, across, up, taken)
    return drawing(WIDTH, HEIGHT, "chart", parts)


def _box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _rung(rung: Rung, across: Scale, up: Scale, taken: list[tuple[float, float, float, float]]) -> list[Markup]:
    x, y = across(rung.speed.estimate), up(100 * rung.lost.estimate)
    left, right = across(rung.speed.low), across(rung.speed.high)
    top, bottom = up(100 * rung.lost.low), up(100 * rung.lost.high)
    name = Markup("rung chosen") if rung.chosen else Markup("rung")
    note = f"{rung.note} ★" if rung.chosen else rung.note
    at = _free_place(x, y, CHARACTERS * len(note), taken)
    return [
        Markup('<line class="whisker" x1="{0}" y1="{2}" x2="{1}" y2="{2}"/>').format(px(left), px(right), px(y)),
        Markup('<line class="whisker" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(px(x), px(top), px(bottom)),
        Markup('<circle class="{}" cx="{}" cy="{}" r="9"/>').format(name, px(x), px(y)),
        label(x, y + 4, rung.letter, f"{name} letter"),
        label(*at, note, "note"),
    ]


CHARACTERS = 6.9  # width of a character of a note
MARK = 20.0  # width and height of a mark on the plot


def _free_place(x: float, y: float, wide: float, taken: list[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Where a note of a mark lies over nothing else: beside it, below or above, or further off; taken from then on."""
    aside = wide / 2 + 8
    places = [(x + aside, y + 20), (x + aside, y - 12), (x - aside, y - 12), (x - aside, y + 20), (x, y + 26)]
    places += [(x + sign * (aside + 8), y + 4 + step) for step in (0, 40, -36, 56, -52) for sign in (1, -1)]
    free = [place for place in places if _is_free(_box(place[0], place[1] - 4, wide, 14), taken)]
    marks = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in taken if right - left == MARK]
    others = [mark for mark in marks if math.dist(mark, (x, y)) > 1]

    def nearness(place: tuple[float, float]) -> float:
        away = min((math.dist(place, mark) for mark in others), default=WIDTH)
        return math.dist(place, (x, y)) - away / 2

    chosen = min(free, key=nearness, default=places[0])
    taken.append(_box(chosen[0], chosen[1] - 4, wide, 14))
    return chosen


def _is_free(box: tuple[float, float, float, float], taken: list[tuple[float, float, float, float]]) -> bool:
    inside = box[0] >= LEFT and box[2] <= WIDTH - 2 and box[1] >= TOP and box[3] <= HEIGHT - BOTTOM
    return inside and not any(_overlap(box, other) for other in taken)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def histogram(edges: Sequence[float], counts: Sequence[int], end: float) -> Markup:
    """Counts between unequal edges as areas: a bar's height is rows per unit of length.

    Args:
        edges: the ends of all bins but the last.
        counts: one more than edges; the last bin is open.
        end: where the last bin is drawn to end, above the last edge.
    """
    places = [0.0, *edges, end]
    heights = [count / (right - left) for count, left, right in zip(counts, places, places[1:], strict=False)]
    across = Scale(0.0, end, LEFT, WIDTH - RIGHT)
    up = Scale(0.0, max(heights) * 1.05 or 1.0, HEIGHT - BOTTOM, TOP + 12)
    bars = [
        Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
            "bin open" if place == len(counts) - 1 else "bin",
            px(across(places[place])),
            px(up(height)),
            px(across(places[place + 1]) - across(places[place])),
            px(up.start - up(height)),
        )
        for place, height in enumerate(heights)
    ]
    return drawing(
        WIDTH, HEIGHT, "chart", [*_grid(across, up), *bars, *_names("chart.characters", "chart.rows_per_character")]
    )
