from dataclasses import replace
from typing import Any

import pytest

from modelyard.compression.candidates import EXPORT
from modelyard.compression.choose import Facts, Ranking, decide, rank
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge

LOW_HIGH = {"PASS": (-0.001, 0.005), "INCONCLUSIVE": (-0.01, 0.03), "FAIL": (0.02, 0.04)}


def verdicts(outcome: str) -> Any:
    low, high = LOW_HIGH[outcome]
    interval = Interval(low=low, estimate=(low + high) / 2, high=high, n=1000, unit="fraction", method="tango")
    verdict = judge(interval, at_most(0.01), rule="drop_max", kind="candidate")
    assert verdict.outcome == outcome
    return [verdict]


def facts(
    speed: float = 2.0, *, low: float | None = None, size: int = 25, memory: int = 50, screened: str = "PASS"
) -> Any:
    ratio = Interval(
        low=speed - 0.1 if low is None else low, estimate=speed, high=speed + 0.1, n=24, unit="ratio", method="x"
    )
    return Facts(size, ratio, memory, verdicts(screened))


EXPORTED = replace(facts(1.0, size=100, memory=100), screened=[])


@pytest.mark.parametrize(
    ("goal", "expected"), [("fastest", ["quick", "small", "light"]), ("smallest", ["small", "light", "quick"])]
)
def test_ranked_by_the_goal(goal: Any, expected: list[str]) -> None:
    tried = {"light": facts(1.5, size=30), "quick": facts(3.0, size=40), "small": facts(2.0, size=20)}
    assert rank(goal, EXPORTED, tried) == Ranking(expected, {})


def test_cheapest_is_time_times_memory() -> None:
    # 90 / 3 = 30, 50 / 2 = 25, 80 / 2.5 = 32
    tried = {"a": facts(3.0, memory=90), "b": facts(2.0, memory=50), "c": facts(2.5, memory=80)}
    assert rank("cheapest", EXPORTED, tried).ranked == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("goal", "tried", "reason"),
    [
        ("fastest", facts(1.2, low=0.95), "not certainly faster than onnx-fp32 on this machine"),
        ("fastest", facts(3.0, screened="FAIL"), "loses too much accuracy on validation: FAIL of drop_max, overall"),
        ("smallest", facts(3.0, size=100), "not smaller than onnx-fp32: 100 against 100 bytes"),
        ("cheapest", facts(1.2, low=1.1, memory=111), "time times memory is not certainly less"),
    ],
)
def test_refused_with_the_reason(goal: Any, tried: Any, reason: str) -> None:
    ranking = rank(goal, EXPORTED, {"int8": tried})
    assert ranking.ranked == []
    assert ranking.refused["int8"].words.startswith(reason)


def test_inconclusive_on_validation_goes_on() -> None:
    assert rank("fastest", EXPORTED, {"int8": facts(screened="INCONCLUSIVE")}).ranked == ["int8"]


def test_clock_times_stay_apart_from_the_words() -> None:
    reason = rank("fastest", EXPORTED, {"int8": facts(0.5, low=0.4)}).refused["int8"]
    assert "0.50" not in reason.words
    assert str(reason) == (
        "not certainly faster than onnx-fp32 on this machine (0.50 times as fast, 95% interval 0.40 to 0.60)"
    )


TRIED = {"a": facts(3.0), "b": facts(2.0)}
BOTH = Ranking(["a", "b"], {})


def decided(
    confirmed: dict[str, list[Verdict]], *, required: bool = False, ranking: Ranking = BOTH, goal: Any = "fastest"
) -> Any:
    return decide(goal, ranking, TRIED, confirmed, required=required)


def test_the_first_that_passes_is_chosen() -> None:
    decision = decided({"a": verdicts("PASS")})
    assert decision.chosen == "a"
    assert str(decision.not_chosen["b"]).startswith("slower than a (2.00 times as fast as onnx-fp32, a 3.00")
    assert decision.not_chosen[EXPORT].words == "not compressed, and a passed every candidate gate on test"


def test_the_second_is_chosen_where_only_it_passes() -> None:
    decision = decided({"a": verdicts("INCONCLUSIVE"), "b": verdicts("PASS")})
    assert decision.chosen == "b"
    assert decision.not_chosen["a"].words.startswith("did not pass on test: INCONCLUSIVE of drop_max, overall")


@pytest.mark.parametrize("outcome", ["FAIL", "INCONCLUSIVE"])
def test_none_passes_and_the_export_may_be_released(outcome: str) -> None:
    decision = decided({"a": verdicts(outcome), "b": verdicts(outcome)})
    assert decision.chosen == EXPORT
    assert set(decision.not_chosen) == {"a", "b"}


@pytest.mark.parametrize(
    ("a", "b", "chosen"), [("FAIL", "INCONCLUSIVE", "b"), ("INCONCLUSIVE", "INCONCLUSIVE", "a"), ("FAIL", "FAIL", "a")]
)
def test_none_passes_and_compressed_is_required(a: str, b: str, chosen: str) -> None:
    decision = decided({"a": verdicts(a), "b": verdicts(b)}, required=True)
    assert decision.chosen == chosen
    assert decision.not_chosen[EXPORT].words == "not compressed, and `gates.compressed` is `required`"


def test_none_reaches_test_and_compressed_is_required() -> None:
    tried = {"a": facts(3.0, screened="FAIL"), "b": facts(0.9), "c": facts(0.8, screened="INCONCLUSIVE")}
    decision = decide("fastest", rank("fastest", EXPORTED, tried), tried, {}, required=True)
    assert decision.chosen == "b"
    assert set(decision.not_chosen) == {"a", "c", EXPORT}


@pytest.mark.parametrize(
    ("goal", "words"), [("smallest", "larger than a, 25 against 25 bytes"), ("cheapest", "dearer than a")]
)
def test_the_words_follow_the_goal(goal: Any, words: str) -> None:
    assert decided({"a": verdicts("PASS")}, goal=goal).not_chosen["b"].words == words


def test_a_third_is_not_judged_on_test() -> None:
    tried = TRIED | {"c": facts(1.5)}
    confirmed = {"a": verdicts("FAIL"), "b": verdicts("FAIL")}
    decision = decide("fastest", rank("fastest", EXPORTED, tried), tried, confirmed, required=False)
    assert decision.not_chosen["c"].words.startswith("ranked behind 2 others")
