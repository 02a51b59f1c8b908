"""Engines whose answers are known for every batch, on both sides of the limit of 0.5%."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from modelyard.compression.companions import judge_companions


class Fickle:
    """Answers label 0; in a batch it answers `flips` of the 2,000 rows with label 1 and moves `moved` by a hair."""

    def __init__(self, flips: int, moved: int = 0, nan: bool = False) -> None:
        self.flips, self.moved, self.nan = flips, moved, nan

    def run(self, rows: Sequence[Sequence[int]]) -> Any:
        logits = np.tile(np.float32([1.0, 0.0]), (len(rows), 1))
        for place, (number,) in enumerate(rows):
            if len(rows) > 1 and number < self.flips:
                logits[place] = [0.0, 1.0]
            elif len(rows) > 1 and number < self.flips + self.moved:
                logits[place, 0] += np.float32(1e-3)
            if self.nan:
                logits[place] = np.nan
        return logits

    def close(self) -> None:
        """Nothing to let go of."""


# Wilson's upper end for k of 2,000, by statsmodels.stats.proportion.proportion_confint(k, 2000, method="wilson"):
# 3: 0.44%, 4: 0.51%; the lower end of 17 is 0.53%, of 16 0.49%
@pytest.mark.parametrize(
    ("flips", "outcome", "rows"), [(3, "PASS", 32), (4, "INCONCLUSIVE", 1), (16, "INCONCLUSIVE", 1), (17, "FAIL", 1)]
)
def test_the_rate_is_judged_by_its_interval(flips: int, outcome: str, rows: int) -> None:
    verdict, batch_rows, _ = judge_companions(Fickle(flips), [[n] for n in range(2000)], subject="int8")
    assert (verdict.outcome, batch_rows) == (outcome, rows)
    assert (verdict.rule, verdict.kind, verdict.subject) == ("batch_flips", "candidate", "int8")
    if outcome != "PASS":
        assert f"of 2000 rows {flips} answer otherwise in a batch, {flips} with another label" in verdict.next_step


def test_who_answers_alike_to_the_last_digit_needs_no_statistics() -> None:
    verdict, batch_rows, _ = judge_companions(Fickle(0), [[n] for n in range(40)], subject="int8")
    assert (verdict.outcome, batch_rows) == ("PASS", 32)
    assert verdict.interval is not None and verdict.interval.method == "count"


def test_a_hair_on_few_rows_proves_nothing() -> None:
    # 0 of 764: upper end 3.841459 / (764 + 3.841459) = 0.5003%, of 765: 0.4996%
    for rows, outcome in ((764, "INCONCLUSIVE"), (765, "PASS")):
        verdict, _, _ = judge_companions(Fickle(0, moved=1), [[n] for n in range(rows)], subject="int8")
        assert verdict.outcome == outcome
        assert verdict.samples_needed == (765 if outcome == "INCONCLUSIVE" else None)


def test_no_number_is_no_agreement() -> None:
    verdict, batch_rows, _ = judge_companions(Fickle(0, nan=True), [[n] for n in range(40)], subject="int8")
    assert (verdict.outcome, batch_rows) == ("INCONCLUSIVE", 1)


def test_answers_alone_are_handed_on() -> None:
    alone = judge_companions(Fickle(40), [[n] for n in range(40)], subject="int8").alone
    assert alone.keys() == {(n,) for n in range(40)}
    assert all(logits.tolist() == [1.0, 0.0] for logits in alone.values())  # in a batch it is [0, 1]
