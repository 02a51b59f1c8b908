"""The errors a user can meet, and the exit status each one sets.

    ModelyardError            2   the base: carries every problem found, not just the first
      InputError              2   something handed to us is wrong: a file, a row, a setting, an option
        NotFinite             2   a loss or a gradient of a training is no finite number
      GateFailed              1   a gate's whole interval lies outside its limit, or a release does not verify
      GateInconclusive        3   a gate cannot tell yet: its interval straddles the limit
      MissingDependency       4   this machine lacks something; the next step is the exact command that installs it
      Stopped           130, 143   SIGINT or SIGTERM ended a training, which was saved before where it had taken a step
      Lost                    75   one of several processes is left alone by another, which has more to say

Every problem says what was found, the rule it broke, and what to do next.
"""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        message: shows the offending value and the rule it breaks, as one sentence without a full stop.
        next_step: what to do about it, as an imperative sentence without a full stop.
        where: `file:line`, `file`, an option name, or empty where there is no place to point at.
    """

    message: str
    next_step: str
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}. Next: {self.next_step}."


class ModelyardError(Exception):
    """Base of all errors shown to a user; `exit_status` is what the command exits with."""

    exit_status = 2

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InputError(ModelyardError):
    """Bad input or configuration."""


class NotFinite(InputError):
    """A loss or a gradient is no finite number: no further step can be taken from these weights."""


class GateFailed(ModelyardError):
    """A gate failed, or a release does not verify."""

    exit_status = 1


class GateInconclusive(ModelyardError):
    """A gate is inconclusive: more rows are needed, or a person must waive it by name."""

    exit_status = 3


class MissingDependency(ModelyardError):
    """Something this machine lacks."""

    exit_status = 4


class Stopped(ModelyardError):
    """A signal ended a training in order; the exit status is 128 and its number, as a shell gives it."""

    def __init__(self, number: int, step: int = 0, folder: Path | None = None) -> None:
        name, next_step = signal.Signals(number).name, "run the same command again"
        if folder is None:
            reason = f"stopped by {name} while no step was under way"
            next_step += ": it goes on from the last checkpoint where there is one"
        elif step:
            reason = f"stopped by {name} after step {step}, which is saved in {folder.name}"
            next_step += ": it goes on from there"
        else:
            reason = f"stopped by {name} before the first step"
        super().__init__(Problem(reason, next_step))
        self.exit_status = 128 + number


class Lost(ModelyardError):
    """A process of several that another has left alone: it may go better the next time (EX_TEMPFAIL of sysexits.h)."""

    exit_status = 75
