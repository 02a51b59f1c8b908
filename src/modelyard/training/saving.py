"""When a training is saved: as often as pays, and when it is told to stop."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelyard.errors import NotFinite, Stopped
from modelyard.processes import hearing
from modelyard.training.checkpoint import restore, save
from modelyard.training.checkpoint_folder import remove_step, saved_steps
from modelyard.training.checkpoint_state import About, Course, Saved
from modelyard.training.pacing import lost_share, seconds_between_kills, seconds_between_saves
from modelyard.training.sharding import is_sharded
from modelyard.training.step import TRY_LOWER, Learner

FIRST_SAVE_SECONDS = 30.0
"""Until the first save, which tells what a save takes: a shorter training is begun anew at no great loss."""
log = logging.getLogger(__name__)


@dataclass
class Saver:
    """Saves a training as it goes and ends it in order.

    Attributes:
        folder: of the checkpoints.
        about: what they belong to.
        saved: to go on from; None begins.
        record: is told about every save.
        asked: the number of the signal that asked for an end, 0 before.
        hours_between_failures: `train.hours_between_failures`.
        every_seconds: between two saves; None: as `pacing` says.
        clock: in seconds.
    """

    folder: Path
    about: About
    saved: Saved | None
    record: Callable[[Mapping[str, Any]], None]
    asked: Callable[[], int] = lambda: 0
    hours_between_failures: float | None = None
    every_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    _last: float = field(init=False)
    _interval: float = field(init=False)
    _began: float = field(init=False)
    _told: bool = field(init=False, default=False)
    _saved_step: int = field(init=False, default=0)

    def begin(self, learner: Learner) -> Course:
        """Where the training starts: at its beginning, or where `saved` was, with the learner put back to that."""
        self._began = self._last = self.clock()
        self._interval = FIRST_SAVE_SECONDS if self.every_seconds is None else self.every_seconds
        if self.saved is None:
            return Course()
        course = restore(self.saved, learner)
        self._saved_step = course.step
        log.info("goes on after step %d, saved in %s", course.step, self.saved.folder)
        self.record({"resumed_after_step": course.step})
        return course

    def after_step(self, learner: Learner, course: Course, *, last: bool = False) -> bool:
        """Save where it is time; save and stop where a signal to any process of the group asked for it.

        Args:
            learner: as the step has left it.
            course: at this step.
            last: it may be, of the schedule or as the training stops early. What comes after it, as writing answers,
                may be stopped too and saves nothing: what is worth a first save is saved before.

        Returns:
            Whether it was saved.

        Raises:
            Stopped: a signal asked for an end.
            InputError: the checkpoint cannot be written.
        """
        late = self.clock() - self._last >= (min(self._interval, FIRST_SAVE_SECONDS) if last else self._interval)
        due, number = learner.group.most(late, self.asked())
        if due or number:
            self._save(learner, course)
        if number:
            raise Stopped(int(number), course.step, self.folder)
        return bool(due)

    def stop_if_asked(self, learner: Learner, course: Course) -> None:
        """Save and stop where a signal asked for it; called wherever the weights are those of the course.

        Raises:
            Stopped: a signal asked for an end.
            InputError: the checkpoint cannot be written.
        """
        number = int(learner.group.most(self.asked())[0])
        if not number:
            return
        if course.step > self._saved_step:
            self._save(learner, course)
        raise Stopped(number, course.step, self.folder)

    @contextlib.contextmanager
    def forgetting_dead_ends(self, learner: Learner, course: Course) -> Iterator[None]:
        """Where the training ends with a number that is not finite, remove the checkpoint of the weights that gave it.

        A checkpoint is written before any loss of its weights is seen: gone on from, it would end at once again, but
        where the machine was at fault. So it stays where no other is whole.

        Raises:
            NotFinite: as within the block, with what is to be done about the checkpoints that stay.
        """
        try:
            yield
        except NotFinite as error:
            learner.group.wait()
            if learner.group.first:
                remove_step(self.folder, course.step)
            learner.group.wait()  # whoever ends first ends all
            if not (kept := saved_steps(self.folder)):
                raise
            whose = ", whose weights gave it and which alone is saved" if kept[0] == course.step else ""
            advice = (
                f"{TRY_LOWER} and remove {self.folder}, whose checkpoints are of the settings as they are; without a "
                f"change the same command goes on after step {kept[0]}{whose}, which helps where the machine was at "
                "fault"
            )
            raise NotFinite(replace(error.problems[0], next_step=advice)) from error

    def _save(self, learner: Learner, course: Course) -> None:
        earlier, restarts = (
            (self.saved.state.trained_seconds, self.saved.state.restarts + 1) if self.saved is not None else (0.0, 0)
        )
        start = self.clock()
        trained = earlier + start - self._began
        size, sharded = learner.group.size, is_sharded(learner.model)
        tokens = self.about.tokens_per_forward.value
        elsewhere = (
            [] if self.saved is None else self.saved.differences(size, sharded=sharded, tokens_per_forward=tokens)
        )
        save(
            self.folder,
            learner,
            course,
            self.about,
            after=self._saved_step,
            trained_seconds=trained,
            restarts=restarts,
            elsewhere=elsewhere,
        )
        self._saved_step, self._last = course.step, self.clock()
        took = max(self._last - start, 1e-3)
        kills = seconds_between_kills(self.hours_between_failures, trained_seconds=trained, restarts=restarts)
        if self.every_seconds is None:
            self._interval = seconds_between_saves(took, kills)
        lost = lost_share(self._interval, took, kills)
        figures = {"saved_after_step": course.step, "save_seconds": took, "next_save_seconds": self._interval}
        self.record(figures | {"expected_lost_share": lost})
        if not self._told:
            self._told = True
            log.info(
                "saved after step %d in %.1f s; from here every %s: with a kill every %s, %.2g%% of the time is lost "
                "to saving and to kills (Daly 2006)",
                course.step,
                took,
                _spoken(self._interval),
                _spoken(kills),
                100 * lost,
            )


@contextlib.contextmanager
def noting_signals() -> Iterator[Callable[[], int]]:
    """Note the first SIGTERM or SIGINT instead of ending; the second ends the process as it would have.

    One that was noted when the block ends without an error does then what it would have done.

    Yields:
        The number of the signal that came, 0 before.
    """
    noted: list[int] = []

    def note(number: int, put_back: Callable[[], None]) -> None:
        noted.append(number)
        put_back()

    with hearing(note):
        yield lambda: noted[0] if noted else 0
    if noted:
        signal.raise_signal(noted[0])


def _spoken(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
