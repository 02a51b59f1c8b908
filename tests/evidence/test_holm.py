import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from modelyard.evidence.holm import holm, paired_p_value


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=12))
def test_as_statsmodels_has_it(values: list[float]) -> None:
    names = {f"slice {index:02}": value for index, value in enumerate(values)}
    rejected = multipletests(values, alpha=0.05, method="holm")[0]
    assert set(holm(names)) == {name for name, reject in zip(names, rejected, strict=True) if reject}


def test_smallest_first_and_stopped_at_the_first_that_stands() -> None:
    assert holm({"d": 0.02, "a": 0.04, "b": 0.001, "c": 0.015}) == ["b", "c", "d", "a"]
    assert holm({"a": 0.026, "b": 0.026}) == []  # 0.026 alone would be rejected
    assert holm({"b": 0.01, "a": 0.01, "c": 0.9}) == ["a", "b"]
    assert holm({}) == []


def test_the_level_itself_is_rejected() -> None:
    assert holm({"a": 0.05}) == ["a"]
    assert holm({"a": 0.0500001}) == []


@pytest.mark.parametrize(("b", "c"), [(0, 1), (1, 0), (3, 0), (10, 3), (3, 10), (500, 450)])
def test_exact_mcnemar_is_a_one_sided_sign_test(b: int, c: int) -> None:
    assert paired_p_value(b, c) == pytest.approx(binomtest(b, b + c, 0.5, alternative="greater").pvalue, rel=1e-9)


def test_by_hand() -> None:
    assert paired_p_value(0, 0) == 1.0
    assert paired_p_value(5, 0) == pytest.approx(1 / 32)
    assert paired_p_value(3, 1) == pytest.approx(5 / 16)
