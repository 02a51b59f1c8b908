"""How often to save, against Daly's own numbers and a search by brute force."""

import math

import pytest

from modelyard.training.pacing import lost_share, seconds_between_kills, seconds_between_saves


def wall_time(between: float, save: float, kills: float) -> float:
    """Expected time a second of work takes, with no cost of a restart: Daly (2006), equation 20 with R = 0."""
    return kills / between * math.expm1((between + save) / kills)


@pytest.mark.parametrize("save", [0.1, 5.0, 60.0, 600.0])
def test_no_other_interval_takes_less_time_by_dalys_model(save: float) -> None:
    kills = 6 * 3600.0
    chosen = wall_time(seconds_between_saves(save, kills), save, kills)
    best = min(wall_time(10 ** (exponent / 200), save, kills) for exponent in range(1000))
    assert chosen == pytest.approx(best, rel=1e-4)


def test_a_short_save_is_youngs_square_root() -> None:
    assert seconds_between_saves(0.01, 86_400) == pytest.approx(math.sqrt(2 * 0.01 * 86_400), rel=1e-3)


def test_a_save_that_takes_longer_than_the_time_between_two_kills() -> None:
    assert seconds_between_saves(300, 100) == 100


def test_kills_are_as_stated_or_a_day_and_what_was_met() -> None:
    assert seconds_between_kills(2.5, trained_seconds=1e6, restarts=9) == 9_000
    assert seconds_between_kills(None, trained_seconds=0, restarts=0) == 86_400
    # a day assumed and two days trained hold three kills: one a day
    assert seconds_between_kills(None, trained_seconds=2 * 86_400, restarts=2) == 86_400


def test_what_is_lost_is_the_saves_and_half_an_interval_a_kill() -> None:
    assert lost_share(90, 10, 1_000) == pytest.approx(0.1 + 0.05)
    assert lost_share(10, 1_000, 1) == 1.0
