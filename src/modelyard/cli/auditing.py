"""`audit`: the chosen candidate, asked as it will be served."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.console import progress_bar, show_report
from modelyard.cli.options import AsJson, ExitZero, PreparedFolder, ProjectFolder, ReportsFolder, folder


def audit(
    project: ProjectFolder = Path(),
    prepared: PreparedFolder = None,
    model: Annotated[Path | None, folder("model")] = None,
    candidates: Annotated[Path | None, folder("candidates")] = None,
    reports: ReportsFolder = None,
    as_json: AsJson = False,
    exit_zero: ExitZero = False,
) -> None:
    """Ask the chosen candidate over HTTP and compare with what was trained, exported and judged.

    Three parities (export against trained model, service against engine, alone against in a batch), accuracy as served,
    and calibration. Its report says how many rows the release puts into one batch, and at which temperature.
    """
    from modelyard.evidence.judge import exit_status
    from modelyard.project.load import load_project

    loaded = load_project(project)
    with progress_bar("load the chosen candidate") as progress:
        from modelyard.audit.audit import audit as run

        report = run(
            loaded.settings,
            prepared=prepared or project / "prepared",
            model=model or project / "model",
            candidates=candidates or project / "candidates",
            reports=reports or project / "reports",
            progress=progress,
        )
    show_report(report, as_json=as_json)
    raise typer.Exit(0 if exit_zero else exit_status(report.verdicts))
