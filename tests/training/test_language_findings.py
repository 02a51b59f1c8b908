"""What the report says of a language model: pieces joined to rows, slices, and the verdict against the base."""

import numpy as np
import polars as pl
import pytest

from modelyard.evidence.judge import Outcome
from modelyard.training.batches import Rows
from modelyard.training.language_findings import (
    better_than_base,
    better_than_frequencies,
    by_row,
    frequency_losses,
    perplexities,
)

FRAME = pl.DataFrame({"source": ["a:1", "a:2", "a:3"], "site": ["x", "y", "y"]})


def test_the_pieces_of_a_row_count_as_one() -> None:
    pieces = Rows([[1, 2]] * 3, ["a:3", "a:1", "a:3"], learned=[b"\0\1", b"\0\1", b"\0\1"])
    losses, tokens = by_row(np.array([2.0, 1.0, 4.0]), pieces, FRAME)
    np.testing.assert_array_equal(losses, [1.0, 0.0, 6.0])
    np.testing.assert_array_equal(tokens, [1.0, 0.0, 2.0])


def test_perplexity_overall_and_of_each_slice_that_was_judged() -> None:
    losses, tokens = np.log([2.0, 1.0, 8.0]) * [3, 0, 1], np.array([3.0, 0.0, 1.0])
    overall, x, y = perplexities(losses, tokens, FRAME, ["site"])
    assert overall.interval.estimate == pytest.approx(np.exp((3 * np.log(2) + np.log(8)) / 4))
    assert (x.scope, x.interval.estimate) == ("slice:site=x", pytest.approx(2.0))
    assert (y.scope, y.interval.estimate) == ("slice:site=y", pytest.approx(8.0))
    assert perplexities(losses, np.array([3.0, 0.0, 0.0]), FRAME, ["site"])[-1].scope == "slice:site=x"


@pytest.mark.parametrize(("gain", "outcome"), [(0.5, "PASS"), (-0.5, "FAIL"), (0.0, "INCONCLUSIVE")])
def test_the_loss_against_that_of_the_base(gain: float, outcome: Outcome) -> None:
    draw = np.random.default_rng(0)
    tokens = draw.integers(5, 50, 200).astype(float)
    before = 3.0 * tokens
    after = before - (gain + draw.normal(0, 0.4, 200)) * tokens
    verdict = better_than_base(after, before, tokens)
    assert (verdict.outcome, verdict.rule, verdict.severity) == (outcome, "better_than_base", "warning")


def test_a_model_that_answers_as_before_has_proven_nothing() -> None:
    losses = np.array([3.0, 4.0])
    assert better_than_base(losses, losses.copy(), np.array([1.0, 2.0])).outcome == "INCONCLUSIVE"


def test_frequencies_are_those_of_the_learned_tokens_of_train_each_counted_once_more() -> None:
    # learned are 1 (twice) and 3 (once) of five ids: shares 3/8, 2/8, and 1/8 for each of the other three
    train = Rows([[0, 1, 1], [2, 3, 4]], ["a:1", "a:2"], learned=[b"\0\1\1", b"\0\1\0"])
    judged = Rows([[4, 1, 3], [4, 0]], ["b:1", "b:2"], learned=[b"\0\1\1", b"\0\1"])
    expected = [-np.log(3 / 8) - np.log(2 / 8), -np.log(1 / 8)]
    np.testing.assert_allclose(frequency_losses(train, judged, 5), expected, rtol=1e-12)


@pytest.mark.parametrize(("gain", "outcome"), [(0.5, "PASS"), (-0.5, "FAIL"), (0.0, "INCONCLUSIVE")])
def test_the_loss_against_that_of_frequencies(gain: float, outcome: Outcome) -> None:
    draw = np.random.default_rng(1)
    tokens = draw.integers(5, 50, 200).astype(float)
    losses = (6.0 - gain + draw.normal(0, 0.4, 200)) * tokens
    verdict = better_than_frequencies(losses, 6.0 * tokens, tokens)
    assert (verdict.outcome, verdict.rule, verdict.severity) == (outcome, "better_than_frequencies", "warning")
