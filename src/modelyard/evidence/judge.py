"""The verdict: one interval against one limit."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict

from modelyard.evidence.interval import Interval, Limit

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Kind = Literal["candidate", "release"]
Severity = Literal["error", "warning"]


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
        scope: `overall`, `slice:COLUMN=VALUE`, `class:LABEL` or `split:NAME`.
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
        """Whether this verdict keeps a release from being made."""
        return self.kind == "release" and self.severity == "error" and self.outcome != "PASS" and self.waiver is None


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
    INCONCLUSIVE. `samples_needed` is kept only for an INCONCLUSIVE whose estimate lies inside the limit: where the
    estimate is already outside, more rows are no remedy.

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
    low_inside, high_inside = limit.holds(interval.low), limit.holds(interval.high)
    outcome: Outcome = "PASS" if low_inside and high_inside else "INCONCLUSIVE" if low_inside or high_inside else "FAIL"
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
        next_step="" if outcome == "PASS" else next_step or _next_step(interval, outcome, needed),
        samples_needed=needed,
        severity=severity,
    )


def _reason(interval: Interval, limit: Limit, outcome: Outcome) -> str:
    position = {"PASS": "inside", "FAIL": "outside", "INCONCLUSIVE": "across"}[outcome]
    if interval.method == "count":
        return f"{interval.estimate:g} {interval.unit} is {position} the limit: {limit}"
    return (
        f"{interval.estimate:.4g} {interval.unit}, 95% interval {interval.low:.4g} to {interval.high:.4g} "
        f"(n={interval.n}), is {position} the limit: {limit}"
    )


def _next_step(interval: Interval, outcome: Outcome, needed: int | None) -> str:
    if outcome == "FAIL":
        return "mend what was measured, or change the limit for a reason you would sign"
    if needed is not None:
        return f"judge it on at least {needed} rows ({max(0, needed - interval.n)} more than now)"
    return "add rows, or change what was measured: the estimate itself lies outside the limit"


def exit_status(verdicts: list[Verdict]) -> int:
    """Exit status of a set of verdicts: 1 if any blocking one failed, 3 if any is inconclusive, else 0.

    FAIL wins over INCONCLUSIVE.
    """
    outcomes = {verdict.outcome for verdict in verdicts if verdict.blocks}
    return 1 if "FAIL" in outcomes else 3 if "INCONCLUSIVE" in outcomes else 0
