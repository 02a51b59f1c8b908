"""`modelyard`: the commands, and how every one of them ends."""

import sys

import typer
from typer.main import get_command

from modelyard import __version__
from modelyard.cli.console import show_error
from modelyard.errors import ModelyardError

app = typer.Typer(
    name="modelyard",
    help="From a raw text file to a signed, served language model. Nothing is released without evidence.",
    epilog="Exit status: 0 passed, 1 a gate failed, 2 bad input, 3 inconclusive, 4 something this machine lacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the program itself."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its status."""
    try:
        sys.exit(get_command(app).main(args=arguments, prog_name="modelyard", standalone_mode=True))
    except ModelyardError as error:
        show_error(error)
        sys.exit(error.exit_status)
