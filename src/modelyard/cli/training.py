"""`train`: from prepared data and a base model to a fine-tuned one."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from modelyard.cli.console import heard_logs, progress_bar, show_report
from modelyard.cli.ending import told_by_signals
from modelyard.cli.options import AsJson, ExitZero, PreparedFolder, ProjectFolder, ReportsFolder
from modelyard.errors import InputError, Problem
from modelyard.progress import silent
from modelyard.training.place import own_place

if TYPE_CHECKING:
    from modelyard.evidence.report import Report


def train(
    project: ProjectFolder = Path(),
    prepared: PreparedFolder = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the model goes. Default: model/ in the project.")
    ] = None,
    reports: ReportsFolder = None,
    resume_test: Annotated[
        bool,
        typer.Option(
            "--resume-test",
            help="Train the first steps here, kill that again and again, and prove that it goes on exactly.",
        ),
    ] = False,
    processes: Annotated[
        int,
        typer.Option(min=1, max=1024, help="Train in so many processes, on a GPU each where there are GPUs."),
    ] = 1,
    as_json: AsJson = False,
    exit_zero: ExitZero = False,
) -> None:
    """Fine-tune the base model on the prepared rows and keep the weights that did best on validation.

    What `train:` leaves out is derived or measured, and printed with its reason. Refuses where `check` failed.
    The figures of every step are in train.metrics.jsonl beside the report, to be followed while it runs.

    Killed, or stopped by Ctrl-C or SIGTERM, it goes on where it was saved when the same command is run again.
    """
    with told_by_signals():
        together = own_place().size
        if resume_test:
            _refuse_beside_resume_test(output, together)
        elif processes > 1 and together == 1:
            places = {"--project": project, "--prepared": prepared, "--output": output, "--reports": reports}
            raise typer.Exit(_launched(processes, places, {"--json": as_json, "--exit-zero": exit_zero}))
        elif processes not in (1, together):
            message = f"{processes} processes are asked for, and WORLD_SIZE says that {together} train together"
            raise InputError(Problem(message, "leave --processes out where torchrun starts them", "--processes"))
        prepared, reports = prepared or project / "prepared", reports or project / "reports"
        folders = Folders(project, prepared, output or project / "model", reports)
        report = _trained(folders, processes, proves=resume_test)
    from modelyard.evidence.judge import exit_status

    if _speaks():
        show_report(report, as_json=as_json)
    raise typer.Exit(0 if exit_zero else exit_status(report.verdicts))


class Folders(NamedTuple):
    """Where a training reads and writes."""

    project: Path
    prepared: Path
    output: Path
    reports: Path


def _trained(folders: Folders, processes: int, *, proves: bool) -> "Report":
    """Train, or prove that a training that is killed goes on exactly."""
    from modelyard.project.load import load_project

    settings = load_project(folders.project).settings
    bar = progress_bar("load torch and the base model") if _speaks() else contextlib.nullcontext(silent)
    with bar as progress, heard_logs(aloud=_speaks()):
        if proves:
            from modelyard.training.resume_test import resume_test

            return resume_test(
                settings,
                root=folders.project,
                prepared=folders.prepared,
                reports=folders.reports,
                processes=processes,
                progress=progress,
            )
        from modelyard.training.train import train as fine_tune

        return fine_tune(
            settings,
            root=folders.project,
            prepared=folders.prepared,
            output=folders.output,
            reports=folders.reports,
            progress=progress,
        )


def _refuse_beside_resume_test(output: Path | None, together: int) -> None:
    problems = []
    if output is not None:
        message = "--resume-test writes no model: what it trains is compared and thrown away"
        problems.append(Problem(message, "leave one of the two out", "--output"))
    if together > 1:
        message = "--resume-test starts and kills its processes itself"
        problems.append(Problem(message, "run it without torchrun, with --processes N", "--resume-test"))
    if problems:
        raise InputError(problems)


def _speaks() -> bool:
    """Whether this process says how it goes: of several that train together the first."""
    return own_place().rank == 0


def _launched(processes: int, places: dict[str, Path | None], flags: dict[str, bool]) -> int:
    """The exit status of this command in so many processes."""
    from modelyard.training.launch import launch

    command = [sys.executable, "-P", "-m", "modelyard", "train", "--processes", str(processes)]
    command += [part for name, place in places.items() if place is not None for part in (name, str(place))]
    return launch([*command, *(name for name, wanted in flags.items() if wanted)], processes)
