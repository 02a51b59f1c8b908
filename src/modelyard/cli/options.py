"""Options that several commands share, each written once."""

from pathlib import Path
from typing import Annotated

import typer


def folder(name: str) -> typer.models.OptionInfo:
    """`--NAME DIR`, by default the folder of that name in the project."""
    return typer.Option(f"--{name}", metavar="DIR", help=f"Default: {name}/ in the project.")  # type: ignore[no-any-return]


ProjectFolder = Annotated[Path, typer.Option("--project", metavar="DIR", help="The project's folder.")]
PreparedFolder = Annotated[Path | None, folder("prepared")]
ReportsFolder = Annotated[Path | None, folder("reports")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
ExitZero = Annotated[
    bool,
    typer.Option(
        "--exit-zero",
        help="Exit 0 once the report is written, whatever the verdicts: the next stage refuses (dvc.yaml).",
    ),
]
