"""What `slice_too_small` says: nothing was measured, and how many rows are enough for everything at once."""

import pytest

from modelyard.data.rules import chosen_rules
from modelyard.data.verdicts import _lacking, _size_verdict, _with_total
from modelyard.evidence.judge import Verdict
from modelyard.reporting.numbers import reason
from modelyard.reporting.words import chinese_of


def size(rows: int, scope: str = "overall", share: float | None = 0.25) -> Verdict:
    rule = chosen_rules({})["slice_too_small"]
    limit, setting = (0.01, "drop_max") if scope == "overall" else (0.03, "slice_drop_max")
    return _size_verdict(rule, scope, rows, limit, setting, share)


# z^2 / (n + z^2) with z^2 = 3.841459: 381 rows leave 0.998 of a point, 380 leave 1.0008, 60 leave 6.02, none leaves all
@pytest.mark.parametrize(
    ("rows", "enough", "leaves"),
    [
        (381, "are enough", "an unchanged model leaves up to 0.998"),
        (380, "are too few", "even an unchanged model leaves up to 1.001"),
        (60, "are too few", "even an unchanged model leaves up to 6.02"),
        (0, "are too few", "even an unchanged model leaves up to 100.00"),
    ],
)
def test_the_reason_is_no_measurement(rows: int, enough: str, leaves: str) -> None:
    verdict = size(rows)
    assert verdict.reason == (
        f"nothing is measured yet: {rows} test rows {enough} to show a drop of at most 1.0 points ({leaves} possible)"
    )
    assert "尚未测量" in reason(verdict)
    assert "95%" not in reason(verdict)


def test_one_total_for_all_that_is_too_small() -> None:
    # 381 are needed overall and 125 of each class: 81 and (45 + 65) are lacking; 110 of the larger sum, a quarter each
    found = [size(300), size(80, "class:a"), size(60, "class:b"), size(160, "class:c")]
    assert [_lacking(verdict) for verdict in found] == [81, 45, 65, 0]
    said = _with_total(found, 110, 0.25)
    assert said[0].next_step.endswith("; for all 3 that are too small together: add at least about 440 rows to the set")
    assert [verdict.next_step for verdict in said[1:]] == [verdict.next_step for verdict in found[1:]]
    assert _with_total(found[3:], 0, 0.25) == found[3:]
    own_files = _with_total(found[:2], 81, None)[0].next_step
    assert own_files.endswith("add at least 81 rows to the test files")
    for step in (said[0].next_step, own_files):
        assert "至少再增加" in (chinese_of(step) or "")


def test_nothing_is_said_twice_where_one_is_too_small() -> None:
    found = [size(400), size(60, "class:b")]
    assert _with_total(found, 65, 0.25) == found
