"""Two distributions in one drawing: OLD solid, NEW dashed or hatched, so that no colour is needed to tell them."""

from collections.abc import Sequence

from markupsafe import Markup

from modelyard.evidence.interval import Limit
from modelyard.reporting.svg import Scale, compact, drawing, label, mark, px, span_of, ticks
from modelyard.reporting.words import svg_words

WIDTH, HEIGHT = 420.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 36.0, 22.0
PAIR_WIDTH, PAIR_HEIGHT = 180.0, 20.0
TREND_WIDTH, TREND_HEIGHT = 240.0, 56.0
EACH_MARKED = 30
"""Points of a trend that all get their mark; of more only the last does."""


def number_pair(edges: Sequence[float], old: Sequence[float], new: Sequence[float], gap: float) -> Markup:
    """Shares of the rows in common bins as two outlines, with a line where the shares up to a value differ most.

    Args:
        edges: rising, one more than bins.
        old: share of the rows of OLD in each bin.
        new: the same of NEW.
        gap: a value.
    """
    across = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    up = Scale(0.0, 1.08 * max(*old, *new, 1e-9), HEIGHT - BOTTOM, TOP)
    parts = []
    for value in ticks(0.0, 100 * up.high, 3):
        y = up(value / 100)
        parts.append(
            Markup('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                px(across.start), px(y), px(across.end), px(y)
            )
        )
        parts.append(label(across.start - 6, y + 4, compact(value), "tick-label", "end"))
    parts += [
        label(across(value), HEIGHT - BOTTOM + 14, compact(value), "tick-label")
        for value in ticks(across.low, across.high, 5)
    ]
    parts.append(
        Markup('<line class="axis" x1="{0}" y1="{2}" x2="{1}" y2="{2}"/>').format(
            px(across.start), px(across.end), px(up.start)
        )
    )
    parts.append(Markup('<path class="filled" d="{}Z"/>').format(_outline(edges, old, across, up)))
    parts.append(Markup('<path class="curve first" d="{}"/>').format(_outline(edges, old, across, up)))
    parts.append(Markup('<path class="curve second" d="{}"/>').format(_outline(edges, new, across, up)))
    x = across(gap)
    parts.append(
        Markup('<line class="best" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(px(x), px(TOP - 6), px(up.start))
    )
    anchor = "start" if x < WIDTH / 2 else "end"
    parts.append(
        label(x + (4 if anchor == "start" else -4), TOP - 8, svg_words("chart.gap", value=compact(gap)), "note", anchor)
    )
    parts.append(label(0.0, 10, svg_words("chart.share_of_rows"), "axis-name", "start"))
    return drawing(WIDTH, HEIGHT, "chart", parts)


def _outline(edges: Sequence[float], shares: Sequence[float], across: Scale, up: Scale) -> Markup:
    """A line along the tops of the bars, from the axis and back to it."""
    points = [f"M{px(across(edges[0]))} {px(up.start)}"]
    for place, share in enumerate(shares):
        points.append(f"V{px(up(share))}H{px(across(edges[place + 1]))}")
    return Markup("".join([*points, f"V{px(up.start)}"]))


def kind_pair(old: float, new: float, largest: float) -> Markup:
    """The shares of one kind as two bars, OLD above, NEW below and hatched."""
    scale = Scale(0.0, max(largest, 1e-9), 0.0, PAIR_WIDTH)
    return drawing(
        PAIR_WIDTH,
        PAIR_HEIGHT,
        "bar",
        [
            Markup('<rect class="share" x="0" y="1" width="{}" height="8"/>').format(px(scale(old))),
            Markup(
                '<rect class="share new" x="0" y="11" width="{0}" height="8"/>'
                '<rect fill="url(#hatch)" x="0" y="11" width="{0}" height="8"/>'
            ).format(px(scale(new))),
        ],
    )


def trend_line(values: Sequence[float], outcomes: Sequence[str], limit: Limit) -> Markup:
    """The values of one rule from audit to audit, the limit as a line, the allowed side hatched.

    Args:
        values: at least one.
        outcomes: PASS, FAIL or INCONCLUSIVE of each.
        limit: of the last audit.
    """
    low, high = span_of([*values, limit.value])
    across = Scale(0.0, max(1.0, len(values) - 1.0), 8.0, TREND_WIDTH - 8.0)
    up = Scale(low, high, TREND_HEIGHT - 5.0, 5.0)
    line = up(limit.value)
    top, bottom = (line, TREND_HEIGHT) if limit.bound == "at_most" else (0.0, line)
    path = "L".join(f"{px(across(place))} {px(up(value))}" for place, value in enumerate(values))
    marked = range(len(values)) if len(values) <= EACH_MARKED else [len(values) - 1]
    return drawing(
        TREND_WIDTH,
        TREND_HEIGHT,
        "trend interval",
        [
            Markup('<rect class="track" x="0" y="0" width="{}" height="{}"/>').format(
                px(TREND_WIDTH), px(TREND_HEIGHT)
            ),
            Markup('<rect class="allowed" fill="url(#hatch)" x="0" y="{}" width="{}" height="{}"/>').format(
                px(top), px(TREND_WIDTH), px(bottom - top)
            ),
            Markup('<line class="limit" x1="0" y1="{0}" x2="{1}" y2="{0}"/>').format(px(line), px(TREND_WIDTH)),
            Markup('<path class="curve first" d="M{}"/>').format(path),
            *(mark(outcomes[place], across(place), up(values[place])) for place in marked),
        ],
    )
