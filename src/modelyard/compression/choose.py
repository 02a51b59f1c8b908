"""The choice: which candidates deserve the test split, in which order, and which one is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from modelyard.compression.candidates import EXPORT
from modelyard.compression.judging import outcome_of
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Outcome, Verdict

Goal = Literal["fastest", "smallest", "cheapest"]
MAX_CONFIRMED = 2  # each candidate confirmed is one more chance of a false pass on the same test rows


class Reason(NamedTuple):
    """Why a candidate was not chosen; `numbers` holds what depends on the clock, so that reports can leave it out."""

    words: str
    numbers: str = ""

    def __str__(self) -> str:
        return f"{self.words} ({self.numbers})" if self.numbers else self.words


@dataclass(frozen=True)
class Facts:
    """What the choice needs to know of a candidate.

    Attributes:
        size_bytes: of its artefact.
        speed_ratio: time of the export over its own; above 1 is faster.
        peak_memory_bytes: of a process that answers with it.
        screened: its verdicts on validation; none where it was not worth judging.
    """

    size_bytes: int
    speed_ratio: Interval
    peak_memory_bytes: int
    screened: Sequence[Verdict]


class Ranking(NamedTuple):
    """Names in the order in which they are confirmed on test, and why the others are not."""

    ranked: list[str]
    refused: dict[str, Reason]


class Decision(NamedTuple):
    """The chosen candidate and why each other one was not."""

    chosen: str
    not_chosen: dict[str, Reason]


def rank(goal: Goal, export: Facts, compressed: Mapping[str, Facts]) -> Ranking:
    """Screen and order the compressed candidates.

    Refused are those with a FAIL on validation and those that are no better than the export by the goal: for
    `fastest` the whole interval of the speed ratio must lie above 1, for `smallest` the file must be smaller, for
    `cheapest` time times memory must be less even at the slow end of the interval.

    Args:
        goal: fastest: least time per row. smallest: fewest bytes. cheapest: least time per row times memory.
        export: the uncompressed export.
        compressed: by name.
    """
    refused = {}
    for name, facts in compressed.items():
        reason = _screened_out(facts) or no_better(goal, export, facts)
        if reason is not None:
            refused[name] = reason
    ranked = sorted(compressed.keys() - refused.keys(), key=lambda name: (_cost(goal, compressed[name]), name))
    return Ranking(ranked, refused)


def decide(
    goal: Goal,
    ranking: Ranking,
    compressed: Mapping[str, Facts],
    confirmed: Mapping[str, Sequence[Verdict]],
    *,
    required: bool,
) -> Decision:
    """Choose: the first in rank that passed on test; else the export, or, if that is not allowed, the least bad.

    Args:
        goal: what they were ranked by.
        ranking: from `rank`.
        compressed: all compressed candidates by name.
        confirmed: verdicts on test of those that were confirmed.
        required: whether `gates.compressed` is `required`: then a compressed one is chosen in any case, so that the
            release gate says no to it with numbers.
    """
    passed = [name for name in ranking.ranked if name in confirmed and outcome_of(confirmed[name]) == "PASS"]
    reasons = dict(ranking.refused)
    for name in ranking.ranked:
        if name in confirmed and name not in passed:
            reasons[name] = Reason(f"did not pass on test: {_worst(confirmed[name])}")
    if passed:
        chosen = passed[0]
        reasons[EXPORT] = Reason(f"not compressed, and {chosen} passed every candidate gate on test")
    else:
        chosen = _least_bad(ranking, compressed, confirmed) if required else EXPORT
        if required:
            reasons[EXPORT] = Reason("not compressed, and `gates.compressed` is `required`")
    for name in ranking.ranked:
        reasons.setdefault(name, _ranked_behind(goal, name, chosen, compressed))
    reasons.pop(chosen, None)
    return Decision(chosen, reasons)


def _screened_out(facts: Facts) -> Reason | None:
    if outcome_of(facts.screened) != "FAIL":
        return None
    return Reason(f"loses too much accuracy on validation: {_worst(facts.screened)}")


def no_better(goal: Goal, export: Facts, facts: Facts) -> Reason | None:
    """Why a candidate is no better than the export by the goal, whatever it may lose; None where it is better."""
    speed = facts.speed_ratio
    if goal == "fastest" and speed.low <= 1:
        return Reason(f"not certainly faster than {EXPORT} on this machine", _speed(speed))
    if goal == "smallest" and facts.size_bytes >= export.size_bytes:
        return Reason(f"not smaller than {EXPORT}: {facts.size_bytes:,} against {export.size_bytes:,} bytes")
    if goal == "cheapest" and facts.peak_memory_bytes / speed.low >= export.peak_memory_bytes:
        return Reason(
            f"time times memory is not certainly less than that of {EXPORT} on this machine",
            f"{_speed(speed)}, {facts.peak_memory_bytes:,} against {export.peak_memory_bytes:,} bytes",
        )
    return None


def _cost(goal: Goal, facts: Facts) -> float:
    """What the goal makes small: relative time, bytes, or relative time times bytes of memory."""
    time = 1 / facts.speed_ratio.estimate
    return {"fastest": time, "smallest": float(facts.size_bytes), "cheapest": time * facts.peak_memory_bytes}[goal]


def _ranked_behind(goal: Goal, name: str, chosen: str, compressed: Mapping[str, Facts]) -> Reason:
    if chosen == EXPORT:
        return Reason(f"ranked behind {MAX_CONFIRMED} others that were judged on test, which is judged no more often")
    mine, first = compressed[name], compressed[chosen]
    if goal == "smallest":
        return Reason(f"larger than {chosen}, {mine.size_bytes:,} against {first.size_bytes:,} bytes")
    what = "slower" if goal == "fastest" else "dearer"
    memory = f"; memory {mine.peak_memory_bytes:,} and {first.peak_memory_bytes:,} bytes" if goal == "cheapest" else ""
    return Reason(
        f"{what} than {chosen}",
        f"{mine.speed_ratio.estimate:.2f} times as fast as {EXPORT}, {chosen} {first.speed_ratio.estimate:.2f}{memory}",
    )


def _least_bad(ranking: Ranking, compressed: Mapping[str, Facts], confirmed: Mapping[str, Sequence[Verdict]]) -> str:
    """The best INCONCLUSIVE on test, else the best FAIL there; where none was confirmed, the same on validation."""
    order: dict[Outcome, int] = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
    if confirmed:
        return min(confirmed, key=lambda name: (order[outcome_of(confirmed[name])], ranking.ranked.index(name)))

    def badness(name: str) -> tuple[int, float, str]:
        screened = compressed[name].screened
        overall = screened[0].interval
        return order[outcome_of(screened)], overall.estimate if overall else 1.0, name

    return min((name for name, facts in compressed.items() if facts.screened), key=badness)


def _worst(verdicts: Sequence[Verdict]) -> str:
    """The first FAIL, else the first INCONCLUSIVE, in words."""
    worst = outcome_of(verdicts)
    verdict = next(verdict for verdict in verdicts if verdict.outcome == worst)
    return f"{worst} of {verdict.rule}, {verdict.scope}: {verdict.reason}"


def _speed(ratio: Interval) -> str:
    return f"{ratio.estimate:.2f} times as fast, 95% interval {ratio.low:.2f} to {ratio.high:.2f}"
