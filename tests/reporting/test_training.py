"""The section of training, from lines written by hand."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.reporting.collect import collect
from modelyard.reporting.curves import Curves, Metrics
from modelyard.reporting.training import Fact, training_view

Make = Callable[..., Any]


def metrics(*lines: dict[str, object]) -> Metrics:
    found = Metrics()
    for line in lines:
        found.take(json.dumps(line).encode())
    return found


def step(number: int, pace: object, **figures: object) -> dict[str, object]:
    return {"step": number, "loss": 1.0, "tokens_per_second": pace, **figures}


def facts(*lines: dict[str, object]) -> dict[str, list[str]]:
    """English words of each fact's value and of what stands below it, by its name."""
    found = training_view(Curves(metrics(*lines), [], None)).facts
    return {english(fact.name): [english(fact.value), english(fact.below)] for fact in found}


def english(text: str) -> str:
    for _ in range(3):  # a time inside a sentence is in both languages itself
        text = re.sub(r'<span class="zh"[^>]*>[^<]*</span>', "", text)
        text = re.sub(r'<span class="en"[^>]*>([^<]*)</span>', r"\1", text)
    return text


def test_training(make: Make) -> None:
    curves = collect(make().folder).curves
    assert curves is not None
    found = training_view(curves)
    assert found.losses.count('class="dot second"') == 2  # the two evaluations
    assert found.scores.count('class="dot second"') == 2
    assert (found.broken, found.skipped, found.best_step, found.hidden) == (1, 1, 20, 0)


def test_training_without_steps_draws_the_evaluations() -> None:
    history = [{"step": float(step), "train_loss": 1.0, "validation_loss": 0.5} for step in range(100)]
    found = training_view(Curves(Metrics(), history, None))
    assert 'class="dot first"' in found.losses and found.score == found.scores == ""
    assert (len(found.evaluations), found.hidden) == (40, 60)


def test_training_of_several_labels_draws_the_exact_match() -> None:
    figures = {"train_loss": 1.0, "validation_loss": 0.5, "validation_exact_match": 0.25, "validation_macro_f1": 0.5}
    found = training_view(Curves(Metrics(), [{"step": 1.0, **figures}, {"step": 2.0, **figures}], None))
    assert found.score == "exact_match" and "exact match on validation, %" in found.scores
    assert found.scores.count('class="dot second"') == 2


def test_training_that_never_was_a_number_draws_nothing() -> None:
    nothing = training_view(Curves(metrics({"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf}), [], None))
    assert (nothing.losses, nothing.scores, nothing.broken) == ("", "", 2)


def test_the_other_figures_of_a_step_are_drawn_where_they_are_there() -> None:
    bare = training_view(Curves(metrics({"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}), [], None))
    assert (bare.charts, bare.facts) == ([], [])
    some = {"gradient_norm": 2.0, "learning_rate": 1e-4, "padding_share": 0.25}
    found = training_view(Curves(metrics(step(1, 90, **some), step(2, 100, **some)), [], None)).charts
    assert [chart.name for chart in found] == ["gradient_norm", "learning_rate", "tokens_per_second", "shares"]
    assert found[-1].keys == [("second", "chart.padding_share")]  # a short training measures no peak
    with_peak = metrics(*(step(number, 90, utilisation=0.5, **some) for number in (1, 2)))
    (*_, shares) = training_view(Curves(with_peak, [], None)).charts
    assert [name for _, name in shares.keys] == ["chart.utilisation", "chart.padding_share"]
    assert shares.drawing.count('class="curve') == 2


def test_one_step_is_no_curve() -> None:
    assert training_view(Curves(metrics(step(1, 90)), [], None)).charts == []


def test_a_figure_that_some_steps_lack_keeps_its_steps() -> None:
    """fp16 passes over a step whose gradient is not finite: JSON has no word for it."""
    found = metrics(*(step(number, 1, gradient_norm=norm) for number, norm in ((1, None), (2, 4.0), (3, 2.0))))
    (norms, _) = training_view(Curves(found, [], None)).charts
    path = re.findall(r'class="curve faint" d="([^"]*)"', norms.drawing)
    assert path[0].count("M") == 1 and path[0].count("L") == 1  # two points, and no mark
    assert "✘" not in norms.drawing


def test_what_the_training_took() -> None:
    found = facts(
        {"precision_seconds": {"fp32": [0.3, 0.1, 0.2], "bf16": [0.5], "fp8": [1.0], "fp16": []}},
        step(1, 100, peak_memory_bytes=1_000_000, utilisation=0.5),
        step(2, 400, peak_memory_bytes=3_000_000, utilisation=0.7),
        {"saved_after_step": 2, "save_seconds": 0.5, "next_save_seconds": 9.0, "expected_lost_share": 0.0037},
        step(3, 200, peak_memory_bytes=3_000_000, utilisation=0.4),
        {"took_seconds": 125.0, "predicted_seconds": 61.0},
    )
    assert found == {
        "Time taken": ["2 min 5 s", "told after its first minute: 1 min 1 s"],
        "Pace": ["200 tokens/s", "the median of 3 steps"],
        "Utilisation": [
            "50.0%",
            "of what a large matrix product reaches on this machine, the median of the steps",
        ],
        "Peak memory": ["3.0 MB", ""],
        "A step in each format": [
            "fp32 200 ms, bf16 500 ms",
            "measured before the first step; the fastest is used where it clearly is",
        ],
        "Times saved": ["1", "in 0.5 s, the last one; 0.37% of the time is expected to be lost to saving and to kills"],
    }


def test_the_time_for_data_is_a_share_of_that_of_the_steps() -> None:
    found = facts(
        step(1, 100, tokens=100, data_seconds=0.25),
        step(2, 50, tokens=150, data_seconds=0.25),
        step(3, None, tokens=150, data_seconds=9.0),  # no pace, no time
        step(4, 0, tokens=150, data_seconds=9.0),
        step(5, 50, tokens=0, data_seconds=9.0),
        step(6, 50, tokens=150),
    )
    # 0.5 of 1 + 3 seconds
    assert found["Laying out rows"] == [
        "12.5%",
        "of the time of the steps: rows padded or laid side by side in main memory before each forward pass; "
        "their copy to a GPU is part of the pass",
    ]
    assert "Laying out rows" not in facts(step(1, 50, tokens=100))  # of an earlier version


def test_a_long_step_is_told_in_whole_milliseconds() -> None:
    assert facts(step(1, 1), {"precision_seconds": {"fp32": [1.5], "bf16": [0.01234]}})["A step in each format"][0] == (
        "fp32 1,500 ms, bf16 12.3 ms"
    )


def test_the_time_of_a_training_that_goes_on() -> None:
    going = facts(step(1, 1), {"step": 2, "loss": 1.0, "seconds_left": 90.0})
    assert going["Time left"] == ["1 min 30 s", "as told after its first minute"]
    resumed = facts({"resumed_after_step": 7}, step(8, 1), {"took_seconds": 5.0})
    assert resumed["Time taken"] == ["5.0 s", "since it went on after step 7"]
    assert facts(step(1, 1), {"took_seconds": math.inf}).keys() == {"Pace"}


@pytest.mark.parametrize(("task", "told"), [("causal_lm", True), ("seq2seq_lm", True), ("classification", False)])
def test_the_loss_of_tokens_is_told_as_perplexity_too(task: str, told: bool) -> None:
    assert training_view(Curves(Metrics(), [{"step": 1.0, "validation_loss": 1.0}], None, task)).perplexity is told


def test_facts_are_plain_where_nothing_stands_below() -> None:
    found = training_view(Curves(metrics({"peak_memory_bytes": 5}), [], None)).facts
    assert [isinstance(fact, Fact) and fact.below for fact in found] == [""]
