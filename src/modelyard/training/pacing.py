"""How often a training is saved: what saving costs against the work that a kill would lose."""

import math

ASSUMED_SECONDS = 24 * 3600.0
"""Between two kills, before anything was seen: one a day. A cluster knows better and says so."""


def seconds_between_kills(hours: float | None, *, trained_seconds: float, restarts: int) -> float:
    """Mean time between two kills: as stated, else the assumed day and what this training has met since.

    The day counts as one kill seen before the training began (the mean of a gamma prior of shape 1 over the rate), so
    that the first real one does not decide alone.

    Args:
        hours: `train.hours_between_failures`.
        trained_seconds: of this training, earlier attempts included.
        restarts: how often it went on after a kill.
    """
    if hours is not None:
        return 3600.0 * hours
    return (ASSUMED_SECONDS + trained_seconds) / (1 + restarts)


def seconds_between_saves(save_seconds: float, kill_seconds: float) -> float:
    """The interval that loses least time: Daly (2006), equation 37; Young's (1974) square root with two more terms.

    J. T. Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, Future Generation Computer
    Systems 22 (3); J. W. Young, A first order approximation to the optimum checkpoint interval, CACM 17 (9).

    Args:
        save_seconds: what one save takes, above zero.
        kill_seconds: mean time between two kills, above zero.

    Returns:
        Seconds of training between two saves; where a save takes twice the time between kills or more, that time.
    """
    if save_seconds >= 2 * kill_seconds:
        return kill_seconds
    share = save_seconds / (2 * kill_seconds)
    return math.sqrt(2 * save_seconds * kill_seconds) * (1 + math.sqrt(share) / 3 + share / 9) - save_seconds


def lost_share(between_seconds: float, save_seconds: float, kill_seconds: float) -> float:
    """Share of the time that is expected to be lost: to saving, and half an interval to every kill (Young 1974).

    Args:
        between_seconds: of training between two saves.
        save_seconds: what one save takes.
        kill_seconds: mean time between two kills.
    """
    cycle = between_seconds + save_seconds
    return min(1.0, save_seconds / cycle + cycle / (2 * kill_seconds))
