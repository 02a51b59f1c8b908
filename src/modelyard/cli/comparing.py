"""`modelyard compare`: what changed between two data sets."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.console import progress_bar, show_report, table_width
from modelyard.cli.options import AsJson
from modelyard.errors import InputError, Problem


def _list_measures(wanted: bool) -> None:
    """Before OLD and NEW are asked for, like `--version`."""
    if not wanted:
        return
    from rich.console import Console
    from rich.table import Table

    from modelyard.data.change.measures import MEASURES

    table = Table("measure", "allowed", "severity", "what it measures, and why this limit", box=None, pad_edge=False)
    for measure in MEASURES:
        table.add_row(measure.name, f"at most {measure.limit:g}", measure.severity, f"{measure.asks}: {measure.why}")
    Console(width=table_width()).print(table)
    raise typer.Exit


def compare(
    old: Annotated[
        str,
        typer.Argument(metavar="OLD", help="A prepared folder, a baseline.json, or a file, folder or glob of rows."),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same, but no baseline.json.")],
    text: Annotated[str, typer.Option(help="Column of the text, in files.")] = "text",
    label: Annotated[
        str | None, typer.Option(help="Column of the label, in files. Default: `label`, where there is one.")
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="MEASURE=VALUE", help="Allow more, or less, than the default. May be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where compare.json goes; nothing is written without.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one HTML page, with both distributions of each column.")
    ] = None,
    as_json: AsJson = False,
    measures: Annotated[
        bool,
        typer.Option(
            "--measures",
            is_eager=True,
            callback=_list_measures,
            help="List what is measured and what is allowed.",
        ),
    ] = False,
) -> None:
    """Compare two data sets column by column: numbers, kinds, texts, and which rows were kept.

    Every distance has an interval, judged against a limit. Exit status: 0 nothing moved beyond its limit, 1 something
    did, 3 there are too few rows to tell.
    """
    from modelyard.data.change.compare import compare as run
    from modelyard.evidence.judge import exit_status

    with progress_bar() as progress:
        report = run(
            old,
            new,
            root=Path(),
            text=text,
            label=label,
            limits=_limits(limits or []),
            reports=output,
            progress=progress,
        )
    if html is not None:
        from modelyard.reporting.page import write_report_page

        write_report_page(report, html)
    show_report(report, as_json=as_json)
    raise typer.Exit(exit_status(report.verdicts))


def _limits(named: list[str]) -> dict[str, float]:
    """`ks=0.2` -> {"ks": 0.2}.

    Raises:
        InputError: all that are not of that form.
    """
    found, problems = {}, []
    for one in named:
        name, _, value = one.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            problems.append(Problem(f"{one!r} is not MEASURE=VALUE", "write it as in --max ks=0.2", "--max"))
    if problems:
        raise InputError(problems)
    return found
