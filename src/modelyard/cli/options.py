"""Options that several commands share, each written once."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from modelyard.errors import InputError, Problem

UNITS = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


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
        help="Exit 0 once the report and the folder are written, whatever the verdicts: the next stage refuses "
        "(dvc.yaml).",
    ),
]

NamedFields = Annotated[
    str,
    typer.Option(
        "--fields",
        metavar="ROLE=COLUMN,…",
        help="Columns of other shapes, as prompt=question,completion=answer; also messages, input, chosen, rejected. "
        "Default: by their names.",
    ),
]


def named_fields(fields: str) -> dict[str, str]:
    """Role -> column of `--fields ROLE=COLUMN,ROLE=COLUMN`.

    Raises:
        InputError: a part of it is no such pair.
    """
    found = {}
    for part in filter(None, (part.strip() for part in fields.split(","))):
        role, equals, column = part.partition("=")
        if not equals or not column.strip():
            raise InputError(Problem(f"{part!r} is no ROLE=COLUMN", "write it as prompt=question", "--fields"))
        found[role.strip()] = column.strip()
    return found


def named_columns(
    roles: Mapping[str, str], own: Collection[str], slices: Sequence[str], group: str | None
) -> dict[str, str]:
    """The columns that options name, each with what to leave out where a file has no such column.

    Args:
        roles: role -> column.
        own: roles whose column was named by an option of their own, as `--text`, not by `--fields`.
        slices: of `--slices`.
        group: of `--group`.
    """
    options = {column: f"--{role}" if role in own else "--fields" for role, column in roles.items()}
    options |= dict.fromkeys(slices, "--slices") | ({} if group is None else {group: "--group"})
    return {column: f"leave out {option}" for column, option in options.items()}


def parse_size(text: str, option: str) -> int:
    """Bytes of a size as people write it: `2GiB`, `1.5 GB`, `800M`; at least 512 MiB.

    Raises:
        InputError: it is no size, or too small to work in.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", text.strip().lower())
    if found is None or found[2] == "i":
        raise InputError(Problem(f"{text!r} is no size", "write a number and a unit, as 2GiB", option))
    size = int(float(found[1]) * UNITS[found[2]])
    if size < 512 * 2**20:
        raise InputError(
            Problem(f"{text!r} is less than 512MiB, which nothing can be done in", f"allow more: {option} 1GiB", option)
        )
    return size
