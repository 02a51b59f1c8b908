"""One proportion: Wilson's score interval, how many rows would settle it, and the difference of two of them."""

import math

from modelyard.evidence.interval import Z_95, Interval, Limit


def wilson(successes: int, n: int) -> Interval:
    """Wilson's (1927) score interval of one proportion, unit `fraction`, two-sided 95%.

    Equation 4 of Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion, Statistical
    Science 16(2).

    Args:
        successes: rows that count, 0 to n.
        n: all rows, at least 1.

    Raises:
        ValueError: there is no row, or `successes` is not a number of them.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} rows is no proportion: it needs at least 1 row and 0 to n successes")
    share = successes / n
    low, high = wilson_ends(share, n)
    return Interval(
        low=0.0 if successes == 0 else low,  # exact there, where the formula leaves a rounding error
        estimate=share,
        high=1.0 if successes == n else high,
        n=n,
        unit="fraction",
        method="wilson",
    )


def wilson_ends(share: float, n: float) -> tuple[float, float]:
    """Both ends of Wilson's interval of a share; `n` need not be whole, as the effective number of rows is not."""
    centre = share + Z_95**2 / (2 * n)
    reach = Z_95 * math.sqrt(share * (1.0 - share) / n + Z_95**2 / (4 * n**2))
    scale = 1.0 + Z_95**2 / n
    return (centre - reach) / scale, (centre + reach) / scale


def samples_for_proportion(estimate: float, limit: Limit) -> int | None:
    """Smallest n whose Wilson interval lies wholly inside the limit when the observed share is `estimate`.

    The estimate is held, not a power: one proportion has no "true difference of zero" to hold instead. Inverting the
    score test, the end next to the limit L reaches it where n (estimate - L)^2 = z^2 L (1 - L).

    Args:
        estimate: observed share, 0 to 1.
        limit: in fractions.

    Returns:
        Rows, at least 1; None where the estimate is not strictly inside the limit or no n is enough.
    """
    bound = limit.value
    if (bound >= 1.0) if limit.bound == "at_most" else (bound <= 0.0):
        return 1
    if not limit.holds(estimate) or estimate == bound:
        return None
    return max(1, math.ceil(Z_95**2 * bound * (1.0 - bound) / (estimate - bound) ** 2))


def newcombe(successes: int, n: int, successes_before: int, n_before: int) -> Interval:
    """Newcombe's (1998) interval of the rise from one proportion to another, unit `fraction`, two-sided 95%.

    Interval estimation for the difference between independent proportions, Statistics in Medicine 17: 873-890, method
    10: the ends are built from Wilson's intervals of both. For rows drawn independently; where both share rows, as two
    audits of one growing file do, the interval is wider than it need be.

    Args:
        successes: rows that count now, 0 to n.
        n: all rows now, at least 1.
        successes_before: rows that counted before.
        n_before: all rows before, at least 1.

    Raises:
        ValueError: there is no row, or the successes are not a number of them.
    """
    now, before = wilson(successes, n), wilson(successes_before, n_before)
    rise = now.estimate - before.estimate
    return Interval(
        low=rise - math.hypot(now.estimate - now.low, before.high - before.estimate),
        estimate=rise,
        high=rise + math.hypot(now.high - now.estimate, before.estimate - before.low),
        n=min(n, n_before),
        unit="fraction",
        method="newcombe",
    )
