import numpy as np
import pytest
from scipy import stats

from modelyard.data.change.measures import (
    MEASURES,
    Cells,
    binned_verdicts,
    category_verdicts,
    cells_of,
    chosen_measures,
    missing_verdict,
    number_verdicts,
    share_verdict,
)
from modelyard.errors import InputError
from modelyard.evidence.distance import on_shared_values

TABLE = chosen_measures({})


def numbers(rows: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, rows).round(2)


def test_limits_of_ones_own() -> None:
    changed = chosen_measures({"psi": 0.25, "ks": 0.0})
    assert (changed["psi"].limit, changed["ks"].limit, changed["wasserstein"].limit) == (0.25, 0.0, 0.2)
    assert [measure.name for measure in MEASURES] == list(changed)
    assert {name: measure.limit for name, measure in TABLE.items()} == {
        "ks": 0.1, "wasserstein": 0.2, "psi": 0.1, "chi_squared": 0.3, "text_classifier": 0.55, "missing": 0.01,
        "relabelled": 0.05,
    }  # fmt: skip


def test_every_wrong_limit_at_once() -> None:
    with pytest.raises(InputError) as raised:
        chosen_measures({"pis": 0.1, "ks": -0.1, "wasserstein": float("nan"), "psi": float("inf")})
    messages = [str(problem) for problem in raised.value.problems]
    assert len(messages) == 4
    assert "'pis' is not measured. Next: did you mean psi" in messages[0]
    assert "the limit -0.1 of ks is below zero or no number" in messages[1]


@pytest.mark.parametrize(
    ("rows", "shift", "outcomes"),
    [
        (6000, 0.0, ["PASS", "PASS"]),
        (6000, 1.0, ["FAIL", "FAIL"]),
        (60, 0.0, ["INCONCLUSIVE", "INCONCLUSIVE"]),
    ],
)
def test_numbers(rows: int, shift: float, outcomes: list[str]) -> None:
    old, new = numbers(rows), numbers(rows, shift, 1)
    found = number_verdicts("price", *on_shared_values(old, new), TABLE)
    assert [verdict.rule for verdict in found] == ["ks", "wasserstein"]
    assert [verdict.outcome for verdict in found] == outcomes
    assert {(verdict.scope, verdict.severity) for verdict in found} == {("column:price", "error")}
    assert found[1].interval is not None
    assert found[1].interval.estimate == pytest.approx(stats.wasserstein_distance(old, new) / old.std())


def test_the_next_step_says_where_or_how_many() -> None:
    values, old, new = on_shared_values(np.repeat([1.0, 2.0], 500), np.repeat([1.0, 2.0], [250, 750]))
    ks, wasserstein = number_verdicts("stars", values, old, new, TABLE)
    assert ks.next_step == ("up to 1: 50.0% of OLD, 25.0% of NEW: look at what changed, or allow more with --max ks")
    assert wasserstein.next_step.startswith("mean 1.5 of OLD, 1.75 of NEW: look")
    few, _ = number_verdicts("stars", values, old // 25, old // 25, TABLE)
    assert (few.outcome, few.next_step, few.samples_needed) == (
        "INCONCLUSIVE", "compare at least 1,182 rows of each side", 1182,
    )  # fmt: skip
    near, _ = number_verdicts("stars", values, 10 * old, np.array([5900, 4100]), TABLE)
    assert (near.outcome, near.samples_needed) == ("INCONCLUSIVE", 1182)
    assert (
        near.next_step
        == "1,182 rows of each side are enough where nothing changed: up to 1: 50.0% of OLD, 59.0% of NEW"
    )


def test_a_constant_column_has_no_scale() -> None:
    found = number_verdicts("one", *on_shared_values(np.ones(3000), np.ones(3000)), TABLE)
    assert [(verdict.rule, verdict.outcome) for verdict in found] == [("ks", "PASS")]


def test_kinds_in_their_order_and_rare_ones_joined() -> None:
    cells = cells_of({"a": 60, "b": 39, "c": 1}, {"b": 50, "a": 47, "d": 3})
    # of 100 and 100 rows a kind with 10 in all is expected in 5 of the smaller side
    assert (cells.names, cells.old.tolist(), cells.new.tolist()) == (["a", "b", "(other)"], [60, 39, 1], [47, 50, 3])
    kept = cells_of({"a": 60, "b": 40}, {"a": 90, "b": 10})
    assert kept.names == ["a", "b"]
    few = cells_of({"a": 2, "b": 1}, {"a": 1, "c": 2})
    assert (few.names, few.old.tolist(), few.new.tolist()) == (["a", "c", "b"], [2, 0, 1], [1, 2, 0])


@pytest.mark.parametrize(("new", "outcome"), [((500, 500), "PASS"), ((800, 200), "FAIL"), ((660, 340), "INCONCLUSIVE")])
def test_categories(new: tuple[int, int], outcome: str) -> None:
    cells = Cells(["good", "bad"], np.array([500, 500]), np.array(new))
    psi, chi_squared = category_verdicts("label", cells, TABLE)
    assert (psi.rule, psi.outcome, psi.severity) == ("psi", outcome, "error")
    assert (chi_squared.rule, chi_squared.severity) == ("chi_squared", "warning")
    if outcome == "FAIL":
        assert psi.next_step.startswith("most moved: 'good' 50.0% → 80.0%, 'bad' 50.0% → 20.0%: look at what")


def test_a_baselines_bins() -> None:
    edges, old = np.array([10.0, 20.0]), np.array([1000, 1000, 1000])
    ks, psi = binned_verdicts("text.characters", edges, old, np.array([1000, 1000, 1000]), TABLE)
    assert (ks.outcome, psi.outcome) == ("PASS", "PASS")
    ks, psi = binned_verdicts("text.characters", edges, old, np.array([2000, 600, 400]), TABLE)
    assert (ks.outcome, psi.outcome) == ("FAIL", "FAIL")
    assert ks.next_step.startswith("up to 10: 33.3% of OLD, 66.7% of NEW")
    assert psi.next_step.startswith("most moved: '<= 10' 33.3% → 66.7%, '> 20' 33.3% → 13.3%, '10 < x <= 20' 33.3% →")


def test_missing_cells() -> None:
    assert missing_verdict("site", 10, 1000, 10, 1000, TABLE).outcome == "PASS"
    rose = missing_verdict("site", 0, 1000, 100, 1000, TABLE)
    assert (rose.outcome, rose.severity) == ("FAIL", "warning")
    assert rose.next_step.startswith("empty in 0.0% of OLD, 10.0% of NEW")
    assert missing_verdict("site", 0, 10, 1, 10, TABLE).outcome == "INCONCLUSIVE"


def test_a_share_that_is_counted_and_one_that_is_estimated() -> None:
    measure = TABLE["relabelled"]
    counted = share_verdict(measure, "label", 4, 100, exact=True, where="first: x")
    assert (counted.outcome, counted.interval and counted.interval.method) == ("PASS", "count")
    sampled = share_verdict(measure, "label", 4, 100, where="first: x")
    assert (sampled.outcome, sampled.interval and sampled.interval.method) == ("INCONCLUSIVE", "wilson")
    assert share_verdict(measure, "label", 40, 100, where="first: x").outcome == "FAIL"
