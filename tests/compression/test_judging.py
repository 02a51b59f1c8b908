from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.compression.judging import judge_drop, name_losing_scopes, outcome_of


def paired(both: int, b: int, c: int, neither: int) -> Any:
    reference = np.repeat([True, True, False, False], [both, b, c, neither])
    candidate = np.repeat([True, False, True, False], [both, b, c, neither])
    return reference, candidate, pl.DataFrame({"label": ["x"] * len(reference)})


def judged(reference: Any, candidate: Any, frame: Any, slices: Any = ()) -> Any:
    return judge_drop(
        reference,
        candidate,
        frame,
        slices=slices,
        drop_max=0.01,
        slice_drop_max=0.03,
        kind="candidate",
        subject="int8",
    )


def test_the_interval_is_tangos() -> None:
    # Tango's interval of the table (53, 16, 8, 9) as published: findings.md 6
    verdict = judged(*paired(53, 16, 8, 9))[0]
    assert verdict.interval is not None
    assert (verdict.interval.low, verdict.interval.high) == pytest.approx((-0.020, 0.207), abs=5e-4)
    assert verdict.interval.estimate == pytest.approx(8 / 86)


@pytest.mark.parametrize(
    ("table", "outcome"),
    [((9_900, 30, 30, 40), "PASS"), ((500, 100, 0, 400), "FAIL"), ((50, 0, 0, 10), "INCONCLUSIVE")],
)
def test_each_outcome(table: tuple[int, int, int, int], outcome: str) -> None:
    verdict = judged(*paired(*table))[0]
    assert (verdict.rule, verdict.scope, verdict.kind, verdict.subject) == ("drop_max", "overall", "candidate", "int8")
    assert verdict.outcome == outcome
    # without a discordant row Tango's upper end is z^2 / (n + z^2): below 0.01 from n = 3.8415 * 99 = 381 on
    assert verdict.samples_needed == (381 if outcome == "INCONCLUSIVE" else None)


def test_every_slice_and_class_is_judged_on_its_own_rows() -> None:
    frame = pl.DataFrame(
        {
            "label": ["good", "bad"] * 200,
            "site": ["film"] * 200 + ["phone"] * 199 + [None],
            "topic": ["a"] * 400,
        }
    )
    reference = np.ones(400, dtype=bool)
    candidate = reference.copy()
    candidate[200:260] = False  # only phones, both labels alike
    verdicts = {verdict.scope: verdict for verdict in judged(reference, candidate, frame, ["site", "topic"])}
    assert list(verdicts) == [
        "overall",
        "slice:site=(none)",
        "slice:site=film",
        "slice:site=phone",
        "slice:topic=a",
        "class:bad",
        "class:good",
    ]
    assert {verdict.rule for scope, verdict in verdicts.items() if scope != "overall"} == {"slice_drop_max"}
    assert {scope: v.interval.n for scope, v in verdicts.items() if v.interval}["slice:site=phone"] == 199
    assert verdicts["slice:site=phone"].interval.estimate == pytest.approx(60 / 199)
    assert verdicts["slice:site=film"].outcome == "PASS"
    assert verdicts["slice:site=phone"].outcome == "FAIL"
    assert verdicts["slice:site=(none)"].outcome == "INCONCLUSIVE"
    assert outcome_of(list(verdicts.values())) == "FAIL"
    assert outcome_of([verdicts["slice:site=film"], verdicts["slice:site=(none)"]]) == "INCONCLUSIVE"
    assert outcome_of([verdicts["slice:site=film"]]) == "PASS"
    named = name_losing_scopes(reference, candidate, frame, slices=["site"])
    assert named[0] == "slice:site=phone"
    assert "slice:site=film" not in named


def test_rows_must_match() -> None:
    reference, candidate, frame = paired(3, 0, 0, 0)
    with pytest.raises(ValueError, match="rows differ"):
        judged(reference, candidate[:2], frame)
