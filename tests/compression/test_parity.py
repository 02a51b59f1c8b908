from typing import Any

import numpy as np
import pytest

from modelyard.compression.parity import choose_evenly, judge_parity, run_varied


def shifted(deviation: float) -> Any:
    reference = np.array([[1.0, 2.0], [3.0, 1.0], [0.5, 0.4]], dtype=np.float32)
    exported = reference.copy()
    exported[1, 0] += deviation
    return reference, exported


@pytest.mark.parametrize(("deviation", "outcome"), [(5e-5, "PASS"), (2e-4, "FAIL"), (float("nan"), "FAIL")])
def test_a_logit_may_move_by_the_tolerance(deviation: float, outcome: str) -> None:
    verdict = judge_parity(*shifted(deviation), subject="onnx-fp32")
    assert (verdict.rule, verdict.kind, verdict.outcome) == ("parity", "release", outcome)
    assert verdict.interval is not None
    assert verdict.interval.estimate == (outcome == "FAIL")
    assert verdict.interval.n == 3


def test_a_label_may_change_only_in_a_tie() -> None:
    tie = np.array([[1.0, 1.00005, -3.0]], dtype=np.float32)
    assert judge_parity(tie, np.array([[1.00004, 1.0, -3.0]], dtype=np.float32), subject="x").outcome == "PASS"
    apart = np.array([[1.0, 1.001, -3.0]], dtype=np.float32)
    verdict = judge_parity(apart, np.array([[1.002, 1.0, -3.0]], dtype=np.float32), subject="x")
    assert verdict.outcome == "FAIL"
    assert "1 change their label" in verdict.next_step


def test_batches_of_every_size_in_order() -> None:
    sizes = []

    class Echo:
        def run(self, rows: Any) -> Any:
            sizes.append(len(rows))
            return np.array([[row[0], 0] for row in rows], dtype=np.float32)

    logits = run_varied(Echo(), [[number] for number in range(110)])
    assert sizes == [1, 2, 5, 17, 32, 50, 1, 2]
    assert logits[:, 0].tolist() == list(range(110))


def test_rows_are_chosen_evenly() -> None:
    assert choose_evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert choose_evenly(101, 5).tolist() == [0, 25, 50, 75, 100]
    assert len(choose_evenly(4750, 1000)) == 1000
