from datetime import date

import pytest

from modelyard.evidence.interval import Interval, Limit, at_least, at_most
from modelyard.evidence.judge import Kind, Outcome, Severity, Verdict, Waiver, exit_status, judge

WAIVER = Waiver(by="Ada", on=date(2026, 11, 25), reason="pilot with ten users")


def interval(
    low: float, estimate: float, high: float, n: int = 100, unit: str = "fraction", method: str = "tango"
) -> Interval:
    return Interval(low=low, estimate=estimate, high=high, n=n, unit=unit, method=method)


def verdict(
    outcome: Outcome, *, kind: Kind = "release", severity: Severity = "error", waiver: Waiver | None = None
) -> Verdict:
    return Verdict(
        rule="r", kind=kind, interval=None, limit=None, outcome=outcome, reason="", severity=severity, waiver=waiver
    )


@pytest.mark.parametrize(
    ("low", "high", "limit", "outcome"),
    [
        (0.0, 0.5, at_most(1.0), "PASS"),
        (0.0, 1.0, at_most(1.0), "PASS"),  # the limit exactly at the upper end
        (0.0, 1.5, at_most(1.0), "INCONCLUSIVE"),
        (1.0, 1.5, at_most(1.0), "INCONCLUSIVE"),  # exactly at the lower end: the limit itself is allowed
        (1.1, 1.5, at_most(1.0), "FAIL"),
        (1.1, 1.5, at_least(1.0), "PASS"),
        (1.0, 1.5, at_least(1.0), "PASS"),
        (0.5, 1.5, at_least(1.0), "INCONCLUSIVE"),
        (0.5, 1.0, at_least(1.0), "INCONCLUSIVE"),
        (0.5, 0.9, at_least(1.0), "FAIL"),
        (1.0, 1.0, at_most(1.0), "PASS"),  # no width
        (1.0, 1.0, at_least(1.0), "PASS"),
        (1.1, 1.1, at_most(1.0), "FAIL"),
        (0.9, 0.9, at_least(1.0), "FAIL"),
    ],
)
def test_inside_outside_or_across(low: float, high: float, limit: Limit, outcome: str) -> None:
    assert judge(interval(low, (low + high) / 2, high), limit, rule="r").outcome == outcome


def test_a_verdict_carries_what_was_said_about_it() -> None:
    measured, limit = interval(-0.1, 0.0, 0.1), at_most(0.05)
    given = judge(
        measured,
        limit,
        rule="drop_max",
        scope="slice:site=film",
        kind="candidate",
        subject="int8",
        severity="warning",
        next_step="ask Ada",
        samples_needed=700,
    )
    assert given == Verdict(
        rule="drop_max",
        scope="slice:site=film",
        kind="candidate",
        subject="int8",
        interval=measured,
        limit=limit,
        outcome="INCONCLUSIVE",
        reason="0.00 points (95% interval -10.00 to 10.00, n=100) lies across the limit, at most 5 points",
        next_step="ask Ada",
        samples_needed=700,
        severity="warning",
    )


def test_unless_told_a_verdict_is_a_releases_error_overall() -> None:
    given = judge(interval(0, 0, 0), at_most(1), rule="r")
    assert (given.scope, given.kind, given.subject, given.severity, given.waiver) == (
        "overall",
        "release",
        "",
        "error",
        None,
    )


@pytest.mark.parametrize(
    ("measured", "limit", "reason"),
    [
        (
            interval(-0.001, 0.0042, 0.0095, n=4747),
            at_most(0.01),
            "0.42 points (95% interval -0.10 to 0.95, n=4747) lies inside the limit, at most 1 point",
        ),
        (
            interval(0.02, 0.03, 0.04, method="bca"),
            at_most(0.01),
            "3.00 points (95% interval 2.00 to 4.00, n=100) lies outside the limit, at most 1 point",
        ),
        (
            interval(0.02, 0.03, 0.04, method="bootstrap-percentile"),
            at_most(0.025),
            "3.00 points (95% interval 2.00 to 4.00, n=100) lies across the limit, at most 2.5 points",
        ),
        (
            interval(0.88, 0.9, 0.92, method="wilson"),
            at_least(0.85),
            "90.00% (95% interval 88.00 to 92.00, n=100) lies inside the limit, at least 85%",
        ),
        (
            interval(0.0, 0.005, 0.010004),  # two decimals would say 1.00, which the limit allows
            at_most(0.01),
            "0.5000 points (95% interval 0.0000 to 1.0004, n=100) lies across the limit, at most 1 point",
        ),
        (
            interval(0.5, 0.8, 1.2, unit="ratio", method="order-statistics"),
            at_most(1),
            "0.80 (95% interval 0.50 to 1.20, n=100) lies across the limit, at most 1",
        ),
        (
            interval(1499.5, 1600, 1700.25, unit="ms", method="order-statistics"),
            at_most(1),
            "1,600.00 ms (95% interval 1,499.50 to 1,700.25, n=100) lies outside the limit, at most 1 ms",
        ),
        (Interval.exact(1234, n=5000, unit="rows"), at_most(1), "1,234 rows lie outside the limit, at most 1 row"),
        (Interval.exact(0.25, n=5000, unit="fraction"), at_most(0.5), "25.00% lies inside the limit, at most 50%"),
        (Interval.exact(1, n=1, unit="fraction"), at_least(1), "100.00% lies inside the limit, at least 100%"),
        (
            Interval.exact(2.5, n=3, unit="rows"),
            at_least(1000),
            "2.50 rows lie outside the limit, at least 1,000 rows",
        ),
        (Interval.exact(1, n=3, unit="rows"), at_most(0), "1 row lies outside the limit, at most 0 rows"),
        (
            interval(0.0, 0.005, 0.01 + 4e-11),  # too near for any number of decimals worth reading
            at_most(0.01),
            "0.50000000 points (95% interval 0.00000000 to 1.00000000, n=100) lies across the limit, at most 1 point",
        ),
        (
            interval(0.0, 0.005, 0.01 + 4e-9),
            at_most(0.01),
            "0.5000000 points (95% interval 0.0000000 to 1.0000004, n=100) lies across the limit, at most 1 point",
        ),
    ],
)
def test_reasons_read_as_points_percent_and_units(measured: Interval, limit: Limit, reason: str) -> None:
    assert judge(measured, limit, rule="r").reason == reason


@pytest.mark.parametrize(
    ("measured", "limit", "outcome", "kept"),
    [
        (interval(-1, 0, 1), at_most(0.5), "INCONCLUSIVE", 700),
        (interval(-1, 0.5, 1), at_most(0.5), "INCONCLUSIVE", 700),
        (interval(-1, 0.6, 1), at_most(0.5), "INCONCLUSIVE", None),
        (interval(-1, 0, 0.4), at_most(0.5), "PASS", None),
        (interval(0.6, 0.8, 1), at_most(0.5), "FAIL", None),
    ],
)
def test_more_rows_are_asked_for_only_where_they_could_help(
    measured: Interval, limit: Limit, outcome: str, kept: int | None
) -> None:
    given = judge(measured, limit, rule="r", samples_needed=700)
    assert (given.outcome, given.samples_needed) == (outcome, kept)


@pytest.mark.parametrize(
    ("measured", "needed", "step"),
    [
        (interval(-1, 0, 0.4), 700, ""),
        (
            interval(0.6, 0.8, 1),
            700,
            "mend what was measured, or change the limit for a reason you would sign",
        ),
        (interval(-1, 0, 1), 700, "judge it on at least 700 rows (600 more than now)"),
        (interval(-1, 0, 1), 101, "judge it on at least 101 rows (1 more than now)"),
        (
            interval(-1, 0, 1),
            100,
            "change what was measured, or judge it on more than these 100 rows: an equal model passes on 100 four "
            "times out of five, so this one may be worse",
        ),
        (interval(-1, 0, 1), None, "judge it on more rows, or change what was measured"),
        (
            interval(-1, 0.6, 1),
            700,
            "change what was measured: its estimate lies outside the limit, so more rows are no remedy",
        ),
        (
            interval(-1, 0.6, 1, unit="ms", method="order-statistics"),
            None,
            "change what was measured: its estimate lies outside the limit, so more runs are no remedy",
        ),
    ],
)
def test_the_next_step(measured: Interval, needed: int | None, step: str) -> None:
    assert judge(measured, at_most(0.5), rule="r", samples_needed=needed).next_step == step


def test_a_pass_needs_no_next_step_whatever_was_offered() -> None:
    assert judge(interval(0, 0, 0), at_most(1), rule="r", next_step="do this").next_step == ""


@pytest.mark.parametrize("limit", [at_most(30.0), at_most(1.0), at_most(15.0)])
def test_too_few_runs_settle_nothing_wherever_they_lie(limit: Limit) -> None:
    measured = interval(10, 12, 20, n=3, unit="ms", method="range")
    given = judge(measured, limit, rule="latency_p95_ms_max", samples_needed=72)
    assert given.outcome == "INCONCLUSIVE"
    assert given.reason == (
        "12.00 ms (from 10.00 to 20.00, n=3): too few runs for a 95% interval, so nothing holds against the limit, "
        f"at most {limit.value:g} ms"
    )


def test_too_few_runs_say_how_many_are_enough() -> None:
    measured = interval(10, 12, 20, n=3, unit="ms", method="range")
    assert judge(measured, at_most(30), rule="r", samples_needed=72).next_step == (
        "judge it on at least 72 runs (69 more than now)"
    )


@pytest.mark.parametrize(
    ("given", "blocks"),
    [
        (verdict("PASS"), False),
        (verdict("FAIL"), True),
        (verdict("INCONCLUSIVE"), True),
        (verdict("INCONCLUSIVE", waiver=WAIVER), False),
        (verdict("FAIL", waiver=WAIVER), True),  # a FAIL cannot be waived
        (verdict("PASS", waiver=WAIVER), False),
        (verdict("FAIL", kind="candidate"), False),
        (verdict("INCONCLUSIVE", kind="candidate"), False),
        (verdict("FAIL", severity="warning"), False),
        (verdict("INCONCLUSIVE", severity="warning"), False),
    ],
)
def test_what_keeps_a_release_from_being_made(given: Verdict, blocks: bool) -> None:
    assert given.blocks is blocks


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([], 0),
        ([verdict("PASS")], 0),
        ([verdict("FAIL")], 1),
        ([verdict("INCONCLUSIVE")], 3),
        ([verdict("INCONCLUSIVE"), verdict("FAIL"), verdict("PASS")], 1),  # FAIL wins
        ([verdict("INCONCLUSIVE", waiver=WAIVER)], 0),
        ([verdict("FAIL", waiver=WAIVER), verdict("INCONCLUSIVE")], 1),
        ([verdict("FAIL", kind="candidate"), verdict("INCONCLUSIVE")], 3),
        ([verdict("FAIL", kind="candidate"), verdict("FAIL", severity="warning")], 0),
    ],
)
def test_exit_status(verdicts: list[Verdict], status: int) -> None:
    assert exit_status(verdicts) == status
    assert exit_status(verdicts[::-1]) == status
