"""The verdict: one interval against one limit."""

from collections.abc import Iterable
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict

from modelyard.evidence.interval import RANGE, Interval, Limit

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Kind = Literal["candidate", "release"]
Severity = Literal["error", "warning"]

DIFFERENCES = (
    "tango",
    "bca",
    "bootstrap-percentile",
    "kolmogorov",
    "newcombe",
)  # methods of a difference of two shares
MAX_DIGITS = 8  # decimals shown where fewer would hide on which side of the limit an end lies


class Waiver(BaseModel):
    """A person's word that an INCONCLUSIVE may pass; it stands in every later record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    on: date
    reason: str


class Verdict(BaseModel):
    """What a gate said, and why.

    Attributes:
        rule: name of the rule, a key of `gates:` or `data.rules:` where a user can set it.
        scope: `overall`, `slice:COLUMN=VALUE`, `class:LABEL`, `split:NAME` or `column:NAME`.
        kind: `candidate` verdicts choose among candidates; `release` verdicts set an exit status.
        subject: the candidate, file or split that was judged.
        interval: what was measured; None where a thing is there or not (a signature, a required artefact).
        limit: what is allowed.
        outcome: PASS, FAIL or INCONCLUSIVE.
        reason: one sentence with the numbers in it.
        next_step: what to do about anything but a PASS.
        samples_needed: rows at which a true difference of zero would pass with 80% power; None unless known.
        severity: an `error` sets the exit status, a `warning` is shown.
        waiver: who let an INCONCLUSIVE pass, when and why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    scope: str = "overall"
    kind: Kind = "release"
    subject: str = ""
    interval: Interval | None
    limit: Limit | None
    outcome: Outcome
    reason: str
    next_step: str = ""
    samples_needed: int | None = None
    severity: Severity = "error"
    waiver: Waiver | None = None

    @property
    def blocks(self) -> bool:
        """Whether this verdict keeps a release from being made. A waiver lifts an INCONCLUSIVE, never a FAIL."""
        stands = self.outcome == "FAIL" or (self.outcome == "INCONCLUSIVE" and self.waiver is None)
        return stands and self.kind == "release" and self.severity == "error"


def judge(
    interval: Interval,
    limit: Limit,
    *,
    rule: str,
    scope: str = "overall",
    kind: Kind = "release",
    subject: str = "",
    severity: Severity = "error",
    next_step: str = "",
    samples_needed: int | None = None,
) -> Verdict:
    """Judge an interval against a limit.

    The whole interval inside the limit is PASS, the whole interval outside is FAIL, one that straddles it is
    INCONCLUSIVE; the limit itself is inside. An interval with too few observations for 95% (method `range`) is
    INCONCLUSIVE wherever it lies. `samples_needed` is kept only for an INCONCLUSIVE whose estimate lies inside the
    limit: where the estimate is already outside, more rows are no remedy.

    Args:
        interval: what was measured.
        limit: what is allowed, in the interval's unit.
        rule: name of the rule.
        scope: which rows it is about.
        kind: `candidate` or `release`.
        subject: what was judged.
        severity: `error` or `warning`.
        next_step: what a user does about a FAIL or an INCONCLUSIVE; one is written when left empty.
        samples_needed: from the method that made the interval, for instance `samples_for_drop`.
    """
    outcome = _outcome(interval, limit)
    needed = samples_needed if outcome == "INCONCLUSIVE" and limit.holds(interval.estimate) else None
    return Verdict(
        rule=rule,
        scope=scope,
        kind=kind,
        subject=subject,
        interval=interval,
        limit=limit,
        outcome=outcome,
        reason=_reason(interval, limit, outcome),
        next_step="" if outcome == "PASS" else next_step or _next_step(interval, limit, outcome, needed),
        samples_needed=needed,
        severity=severity,
    )


def exit_status(verdicts: Iterable[Verdict]) -> int:
    """Exit status of a set of verdicts: 1 if any blocking one failed, 3 if any is inconclusive, else 0.

    FAIL wins over INCONCLUSIVE.
    """
    outcomes = {verdict.outcome for verdict in verdicts if verdict.blocks}
    return 1 if "FAIL" in outcomes else 3 if "INCONCLUSIVE" in outcomes else 0


def _outcome(interval: Interval, limit: Limit) -> Outcome:
    inside = (limit.holds(interval.low), limit.holds(interval.high))
    if interval.method == RANGE or any(inside) != all(inside):
        return "INCONCLUSIVE"
    return "PASS" if all(inside) else "FAIL"


def _reason(interval: Interval, limit: Limit, outcome: Outcome) -> str:
    """One sentence: `0.42 points (95% interval -0.10 to 0.95, n=4747) lies inside the limit, at most 1 point`."""
    scale, unit = shown_unit(interval)
    digits = shown_digits(interval, limit, scale)
    low, estimate, high = (f"{scale * value:,.{digits}f}" for value in (interval.low, interval.estimate, interval.high))
    allowed = f"{limit.bound.replace('_', ' ')} {_amount(f'{scale * limit.value:,.10g}', unit)}"
    if interval.method == RANGE:
        return (
            f"{_amount(estimate, unit)} (from {low} to {high}, n={interval.n}): too few runs for a 95% interval, "
            f"so nothing holds against the limit, {allowed}"
        )
    position = {"PASS": "inside", "FAIL": "outside", "INCONCLUSIVE": "across"}[outcome]
    if interval.method == "count":
        verb = "lies" if unit == "%" or estimate == "1" else "lie"
        return f"{_amount(estimate, unit)} {verb} {position} the limit, {allowed}"
    return (
        f"{_amount(estimate, unit)} (95% interval {low} to {high}, n={interval.n}) lies {position} the limit, {allowed}"
    )


def _amount(number: str, unit: str) -> str:
    return f"{number}{unit.removesuffix('s') if number == '1' and unit != ' ms' else unit}"


def shown_unit(interval: Interval) -> tuple[float, str]:
    """Factor and unit as a person reads them: a share in %, a difference of shares in points."""
    if interval.unit == "fraction":
        return 100.0, " points" if interval.method in DIFFERENCES else "%"
    return 1.0, "" if interval.unit in ("ratio", "perplexity", "BLEU") else f" {interval.unit}"


def shown_digits(interval: Interval, limit: Limit, scale: float) -> int:
    """Decimals to show: none for whole numbers, else two, or as many as keep an end from being rounded onto the limit.

    A 1.004 shown as 1.00 would seem to meet `at most 1`.
    """
    ends = [scale * interval.low, scale * interval.estimate, scale * interval.high]
    if interval.method == "count" and scale == 1.0 and all(end.is_integer() for end in ends):
        return 0
    bound = scale * limit.value
    apart = [digits for digits in range(2, MAX_DIGITS) if all(_tells_apart(end, bound, digits) for end in ends)]
    return apart[0] if apart else MAX_DIGITS


def _tells_apart(end: float, bound: float, digits: int) -> bool:
    return end == bound or round(end, digits) != round(bound, digits)


def _next_step(interval: Interval, limit: Limit, outcome: Outcome, needed: int | None) -> str:
    if outcome == "FAIL":
        return "mend what was measured, or change the limit for a reason you would sign"
    what = "runs" if interval.method in ("order-statistics", RANGE) else "rows"
    if not limit.holds(interval.estimate):
        return f"change what was measured: its estimate lies outside the limit, so more {what} are no remedy"
    if needed is None:
        return f"judge it on more {what}, or change what was measured"
    if needed <= interval.n:
        return (
            f"change what was measured, or judge it on more than these {interval.n} {what}: an equal model passes "
            f"on {needed} four times out of five, so this one may be worse"
        )
    return f"judge it on at least {needed} {what} ({needed - interval.n} more than now)"
