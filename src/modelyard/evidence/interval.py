"""The two small types that every gate is made of: what was measured, and what is allowed."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Z_95 = 1.959963984540054  # the 97.5% point of the standard normal distribution: two-sided 95%
RANGE = "range"  # the method of an interval that has too few observations to reach 95%


class Interval(BaseModel):
    """A two-sided 95% interval around an estimate.

    Attributes:
        low: lower end, in `unit`.
        estimate: point estimate, in `unit`; inside [low, high].
        high: upper end, in `unit`.
        n: number of observations (rows, pairs of rows, or pairs of runs) behind it.
        unit: what the numbers are: `fraction`, `rows`, `ms`, `bytes`, `ratio`.
        method: how the ends were found: `count`, `wilson`, `tango`, `bca`, `bootstrap-percentile`, `bootstrap` (of one
            model), `order-statistics`, `newcombe`, `kolmogorov`, `bootstrap-process`, `noncentral-chi2` (of two
            sets of rows), `linearised` (of a ratio), `wilson-effective` (of F1), `range`.

    A count over all rows is exact: its width is zero. A `range` has too few observations for 95%: its ends are the
    smallest and the largest seen, and no limit can be judged by it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    estimate: float
    high: float
    n: int
    unit: str
    method: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        slack = 1e-12 * max(1.0, abs(self.low), abs(self.high))
        if not self.low - slack <= self.estimate <= self.high + slack:
            raise ValueError(f"interval ({self.low}, {self.estimate}, {self.high}) must have low <= estimate <= high")
        if self.n < 0:
            raise ValueError(f"n is {self.n}: a number of observations is never negative")
        return self

    @classmethod
    def exact(cls, value: float, *, n: int, unit: str) -> Self:
        """A count or a sum over every row there is: known without error."""
        return cls(low=value, estimate=value, high=value, n=n, unit=unit, method="count")


class Limit(BaseModel):
    """What is allowed: at most, or at least, a value in the interval's unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    bound: Literal["at_most", "at_least"]
    value: float

    def holds(self, value: float) -> bool:
        """Whether a single number lies inside the limit; the limit itself is inside."""
        return value <= self.value if self.bound == "at_most" else value >= self.value

    def __str__(self) -> str:
        return f"{self.bound.replace('_', ' ')} {self.value:g}"


def at_most(value: float) -> Limit:
    """A limit from above."""
    return Limit(bound="at_most", value=value)


def at_least(value: float) -> Limit:
    """A limit from below."""
    return Limit(bound="at_least", value=value)
