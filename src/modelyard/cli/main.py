"""`modelyard`: the commands, and how every one of them ends."""

import os
import sys
import traceback

import typer
from typer.main import get_command

from modelyard import __version__
from modelyard.cli import auditing, comparing, compression, data, project, releasing, serving, training
from modelyard.cli.console import show_error
from modelyard.cli.quiet import switch_off
from modelyard.errors import ModelyardError

CRASHED = 70
"""Exit status of a mistake of our own (EX_SOFTWARE of sysexits.h): 1 would say that a gate failed."""

app = typer.Typer(
    name="modelyard",
    help="From a raw text file to a signed, served language model. Nothing is released without evidence.",
    epilog="Exit status: 0 passed, 1 a gate failed, 2 bad input, 3 inconclusive, 4 something this machine lacks, "
    "70 a mistake in Modelyard itself.",
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


app.command("init")(project.init)
app.command("fetch")(project.fetch)
app.command("run")(project.run)
app.command("report")(project.report)
app.command("doctor")(project.doctor)
app.command("schema")(project.schema)
app.command("check")(data.check)
app.command("compare")(comparing.compare)
app.command("train")(training.train)
app.command("compress")(compression.compress)
app.command("audit")(auditing.audit)
app.command("release")(releasing.release)
app.command("verify")(releasing.verify)
app.add_typer(releasing.keys)
app.command("predict")(serving.predict)
app.command("serve")(serving.serve)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its status; 130 after Ctrl-C, 141 when whoever read the output went away."""
    switch_off(os.environ)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # what is still buffered must not raise again when Python flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    sys.exit(status)


def _run(arguments: list[str] | None) -> int:
    try:
        get_command(app).main(args=arguments, prog_name="modelyard")
    except ModelyardError as error:
        show_error(error)
        return error.exit_status
    except SystemExit as end:
        # typer turns a closed pipe into exit status 1, which means something else here
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        raise
    except Exception:  # whatever it is, it must not look like a verdict
        traceback.print_exc()
        sys.stderr.write("this is a mistake in Modelyard, not in your data: please report it with the lines above\n")
        return CRASHED
    return 0
