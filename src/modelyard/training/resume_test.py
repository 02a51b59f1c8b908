"""`modelyard train --resume-test`: proof, on a project of the user's own, that a killed training goes on exactly.

The first steps are trained once in peace and once with kills, each in a process of its own. Every step is saved. A kill
comes at a random moment within a drawn step, its saving or its evaluation, by SIGKILL and SIGTERM in turns. In the end
both must have written the same model, byte for byte, and the same losses.
"""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from modelyard.artifacts.files import digest_file, list_files, scratch_folder
from modelyard.artifacts.prepared import MARK as DATASET_FILE
from modelyard.artifacts.reports import METRICS_FILE, read_report, recording, refuse_failed, write_report
from modelyard.errors import InputError, ModelyardError, Problem
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Report
from modelyard.processes import die_with_parent
from modelyard.progress import Progress, silent
from modelyard.project.schema import ProjectSchema
from modelyard.training.checkpoint_folder import checkpoints_of, saved_steps
from modelyard.training.launch import launch
from modelyard.training.place import own_place
from modelyard.training.train import STAGE, Excerpt, train
from modelyard.training.watching import VARYING

NAME = "resume-test"
STEPS = 20
KILLS = 4
_LEAST_STEPS = 3
_WAIT_SECONDS = 3_600.0  # a process that gets on with nothing for so long is given up
_ALIVE = "alive"  # touched where it does
_REPORT_IT = "please report this with reports/resume-test.json: it is a mistake in Modelyard"
_POLL_SECONDS = 0.005


class Kill(NamedTuple):
    """One kill: the signal's name, the last step whose line stood, the step from which the next process went on."""

    by: str
    reached: int
    saved: int


@dataclass(frozen=True)
class Work:
    """What processes of their own train: `settings` and places as in `train`, the excerpt's own, and where to."""

    settings: ProjectSchema
    root: Path
    prepared: Path
    steps: int
    folder: Path
    processes: int
    tokens_per_forward: int | None = None

    @property
    def model(self) -> Path:
        """Where the model is written."""
        return self.folder / "model"


def resume_test(
    settings: ProjectSchema,
    *,
    root: Path,
    prepared: Path,
    reports: Path,
    steps: int = STEPS,
    kills: int = KILLS,
    seed: int = 0,
    processes: int = 1,
    progress: Progress = silent,
) -> Report:
    """Train in peace and under kills, compare, judge; writes `reports/resume-test.json`.

    Args:
        settings: of the project.
        root: folder that `model.base` is relative to.
        prepared: written by `check`.
        reports: folder of the report.
        steps: of the training that are taken.
        kills: how many; at most one less than the steps.
        seed: of their moments.
        processes: that train together; a kill hits one of them.
        progress: told after every process.

    Raises:
        GateFailed: `check` failed.
        InputError: training itself ends with an error, which is told; or it has fewer than 3 steps, or ends before any
            kill comes.
    """
    with recording(reports, NAME), scratch_folder(root.absolute(), NAME) as scratch:
        refuse_failed(reports, ["check"])  # as training itself does, whose reports go elsewhere here
        progress("train in peace", 0, 1)
        whole = Work(settings, root.absolute(), prepared.absolute(), steps, scratch / "whole", processes)
        _run(whole)
        # measured again they might be others
        used = read_report(whole.folder / f"{STAGE}.json").parameters
        chosen, tokens = used["precision"]["value"], int(used["tokens_per_forward"]["value"])
        section = settings.train.model_copy(update={"precision": chosen})
        killed = replace(
            whole,
            settings=settings.model_copy(update={"train": section}),
            folder=scratch / "killed",
            tokens_per_forward=tokens,
        )
        done = _kill_again_and_again(killed, whole, kills, random.Random(seed), progress)
        report = _report(whole, killed, done, chosen, seed)
        write_report(reports, report)
    return report


def _kill_again_and_again(work: Work, whole: Work, kills: int, choose: random.Random, progress: Progress) -> list[Kill]:
    """Start, kill, start again, until every kill has come; then let it end."""
    last = _last_step(whole)
    step_seconds = statistics.median(
        line["tokens"] / line["tokens_per_second"] for line in _lines(whole) if "tokens_per_second" in line
    )
    if last < _LEAST_STEPS:
        message = f"the training has {last} steps: a resume can be proven from {_LEAST_STEPS}"
        raise InputError(Problem(message, "set train.epochs higher or train.tokens_per_batch lower", "modelyard.yaml"))
    done = []
    drawn = sorted(choose.sample(range(1, last), min(kills, last - 1)))
    for number, step in enumerate(drawn):
        progress("train, killed again and again", number, len(drawn) + 1)
        by = (signal.SIGKILL, signal.SIGTERM)[number % 2]
        before = _metrics(work)
        killed = _run(work, by, step, choose.uniform(0, 2 * step_seconds), choose.randrange(work.processes))
        if killed and not work.model.exists():  # else it had ended before the signal came
            saved = max(saved_steps(checkpoints_of(work.model)), default=0)
            # lines that stood before are of steps that the process before took
            done.append(Kill(by.name, saved if _metrics(work) == before else _last_step(work), saved))
    progress("train, killed again and again", len(drawn), len(drawn) + 1)
    _run(work)
    progress("train, killed again and again", len(drawn) + 1, len(drawn) + 1)
    if drawn and not done:
        message = f"the training ended before any of {len(drawn)} kills came: nothing is proven"
        raise InputError(Problem(message, "set train.epochs higher or train.tokens_per_batch lower", "modelyard.yaml"))
    return done


def _run(work: Work, by: signal.Signals | None = None, step: int = 0, delay: float = 0.0, rank: int = 0) -> bool:
    """Train apart; whether one of the processes was killed, some seconds after a step's line stood in the metrics."""
    work.folder.mkdir(exist_ok=True)
    task = {"root": str(work.root), "prepared": str(work.prepared), "steps": work.steps, "folder": str(work.folder)}
    task |= {"processes": work.processes, "settings": work.settings.model_dump_json(by_alias=True)}
    task |= {"tokens_per_forward": work.tokens_per_forward}
    errors = work.folder / "errors.txt"
    command = [sys.executable, "-P", "-m", "modelyard.training.resume_test", json.dumps(task)]
    with (
        errors.open("wb") as writing,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=writing, start_new_session=True) as child,
    ):
        try:
            if by is not None:
                _wait_for(work, step, child)
                time.sleep(delay)
                _signal(child, by, rank if work.processes > 1 else None)
            status = _wait_for(work, work.steps + 1, child)
        finally:
            child.kill()
    if by is not None and status in (-by, 128 + by):
        return True
    if status:
        said = errors.read_text(encoding="utf-8", errors="replace").strip()
        message = f"training ended with exit status {status}: {said}"
        if status < 0:  # it had no time to say anything
            message = f"training was ended by {signal.Signals(-status).name}, which this test did not send"
        raise InputError(Problem(message, "mend that first: see whether `modelyard train` by itself gets on"))
    return False


def _signal(child: "subprocess.Popen[bytes]", by: signal.Signals, rank: int | None) -> None:
    """To the process that trains, or to one of those that it started to train."""
    started = rank is not None and child.poll() is None
    trains = [one.pid for one in psutil.Process(child.pid).children()] if started else []
    if rank is None or not trains:
        child.send_signal(by)
    elif rank < len(trains):
        os.kill(trains[rank], by)


def _wait_for(work: Work, step: int, child: "subprocess.Popen[bytes]") -> int | None:
    """Wait until a step's line stands or the process has ended; its status, None where it goes on.

    Raises:
        InputError: it got on with nothing for an hour.
    """
    seen, until = (b"", 0), time.monotonic() + _WAIT_SECONDS
    while child.poll() is None:
        now = (_metrics(work), _alive(work))
        if now != seen:
            until = time.monotonic() + _WAIT_SECONDS
            if now[0] != seen[0] and _last_step(work) >= step:
                break
            seen = now
        elif time.monotonic() > until:
            message = f"training has got on with nothing for {_WAIT_SECONDS:,.0f} s"
            raise InputError(Problem(message, "look whether `modelyard train` by itself gets on", "--resume-test"))
        time.sleep(_POLL_SECONDS)
    return child.returncode


def _metrics(work: Work) -> bytes:
    path = work.folder / METRICS_FILE
    return path.read_bytes() if path.is_file() else b""


def _alive(work: Work) -> int:
    path = work.folder / _ALIVE
    return path.stat().st_mtime_ns if path.exists() else 0


def _lines(work: Work) -> list[dict[str, Any]]:
    """The metrics of steps and evaluations as far as they stand."""
    found = []
    for line in _metrics(work).splitlines(keepends=True):
        if line.endswith(b"\n"):
            figures = json.loads(line)
            if "step" in figures:
                found.append(figures)
    return found


def _last_step(work: Work) -> int:
    return max((int(line["step"]) for line in _lines(work)), default=0)


def _report(whole: Work, killed: Work, done: Sequence[Kill], precision: str, seed: int) -> Report:
    files = {
        work.folder.name: {str(path): digest_file(work.model / path) for path in list_files(work.model)}
        for work in (whole, killed)
    }
    names = sorted({*files["whole"], *files["killed"]})
    other = [name for name in names if files["whole"].get(name) != files["killed"].get(name)]
    lines, again = (
        [{name: value for name, value in line.items() if name not in VARYING} for line in _lines(work)]
        for work in (whole, killed)
    )
    unlike = sum(one != two for one, two in zip(lines, again, strict=False)) + abs(len(lines) - len(again))
    verdicts = [
        judge(
            Interval.exact(len(other), n=len(names), unit="files"),
            at_most(0),
            rule="resume_exact",
            scope="files of the model",
            next_step=_REPORT_IT,
        ),
        judge(
            Interval.exact(unlike, n=len(lines), unit="lines"),
            at_most(0),
            rule="resume_exact",
            scope="steps and evaluations",
            next_step=_REPORT_IT,
        ),
    ]
    # a step whose line stands may not be saved yet when SIGKILL comes; SIGTERM leaves the time for it
    for by, most in (("SIGKILL", 1), ("SIGTERM", 0)):
        lost = [max(0, kill.reached - kill.saved) for kill in done if kill.by == by]
        if lost:
            verdicts.append(
                judge(
                    Interval.exact(max(lost), n=len(lost), unit="steps"),
                    at_most(most),
                    rule="resume_lost",
                    scope=by,
                    next_step="look whether the disk that holds model.checkpoints/ is full or very slow",
                )
            )
    places = ", ".join(f"{kill.reached}" for kill in done)
    return Report(
        stage=NAME,
        project=whole.settings.project,
        inputs={"prepared": digest_file(whole.prepared / DATASET_FILE)},
        parameters={
            "steps": _last_step(whole),
            "kills": len(done),
            "seed": seed,
            "precision": precision,
            "processes": whole.processes,
        },
        verdicts=verdicts,
        notes=[f"killed after the steps {places}; every step was saved", *_unlike(other, lines, again)],
    )


def _unlike(files: Sequence[str], lines: Sequence[dict[str, Any]], again: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is not the same in both trainings."""
    if files:
        yield f"not the same in both models: {', '.join(files)}"
    steps = (one["step"] for one, two in zip(lines, again, strict=False) if one != two)
    if (first := next(steps, None)) is not None:
        yield f"the first line of the metrics that is not the same is of step {first}"


def train_excerpt(task: dict[str, Any]) -> int:
    """What the process does that is killed; returns its exit status."""
    folder = Path(task["folder"])
    try:
        if task["processes"] > 1 and own_place().size == 1:
            return launch(
                [sys.executable, "-P", "-m", "modelyard.training.resume_test", json.dumps(task)], task["processes"]
            )
        train(
            ProjectSchema.model_validate_json(task["settings"]),
            root=Path(task["root"]),
            prepared=Path(task["prepared"]),
            output=folder / "model",
            reports=folder,
            excerpt=Excerpt(task["steps"], every_seconds=0.0, tokens_per_forward=task["tokens_per_forward"]),
            progress=lambda what, done, total: (folder / _ALIVE).touch(),
        )
    except ModelyardError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return os.EX_OK


if __name__ == "__main__":
    die_with_parent(os.getppid())
    sys.exit(train_excerpt(json.loads(sys.argv[1])))
