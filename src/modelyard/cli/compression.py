"""`compress`: from a trained model to candidates that are measured, judged and chosen from."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.console import MARKS, progress_bar, show_report, table_width
from modelyard.cli.options import AsJson, ExitZero, PreparedFolder, ProjectFolder
from modelyard.errors import GateFailed, InputError, Problem

if TYPE_CHECKING:
    from rich.text import Text

    from modelyard.artifacts.candidate import Card
    from modelyard.evidence.interval import Interval
    from modelyard.evidence.report import Report
    from modelyard.progress import Progress
    from modelyard.project.schema import ProjectSchema

WIDE = 118
"""Columns that the table of candidates takes with its intervals; below, it shows estimates."""
STANDALONE_SPLIT = (0.3, 0.6)
"""Shares of validation and test in a file that only judges: the tenth left over calibrates."""


def compress(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="A classifier's folder. Default: model/ in the project."),
    ] = None,
    project: ProjectFolder = Path(),
    prepared: PreparedFolder = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Stand alone, without a project: labelled rows to judge MODEL by."),
    ] = None,
    text: Annotated[str, typer.Option(metavar="COLUMN", help="With --data: the column of the text.")] = "text",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="With --data: the column of the label.")] = "label",
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where candidates go. Default: candidates/ in the project.")
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the report goes. Default: reports/ in the project or beside --output."),
    ] = None,
    as_json: AsJson = False,
    exit_zero: ExitZero = False,
) -> None:
    """Export the model, prove the export equal, quantise it in two ways, and choose by `compress.goal`.

    Candidates are screened on validation and at most two are confirmed on test, against the trained model on the same
    rows, in batches as they will be served. Speed and memory are measured on this machine, side by side.

    On its own: modelyard compress MODEL --data reviews.csv --text review --label stars --output candidates
    """
    from modelyard.evidence.judge import exit_status

    with progress_bar("load torch and the model") as progress:
        if data is None:
            target = output or project / "candidates"
            report = _in_project(
                project, prepared or project / "prepared", model, target, reports or project / "reports", progress
            )
        else:
            target, reports = _places_alone(output, reports)
            report = _alone(model, data, (text, label), target, reports, progress)
    show_report(report, as_json=as_json)
    if not as_json:
        show_candidates(target)
    raise typer.Exit(0 if exit_zero else exit_status(report.verdicts))


def _in_project(
    project: Path, prepared: Path, model: Path | None, output: Path, reports: Path, progress: "Progress"
) -> "Report":
    from modelyard.compression.compress import compress as run
    from modelyard.project.load import load_project

    settings = load_project(project).settings
    folder = model or project / "model"
    return run(settings, prepared=prepared, model=folder, output=output, reports=reports, progress=progress)


def _places_alone(output: Path | None, reports: Path | None) -> tuple[Path, Path]:
    """Where candidates and the report go; never by default into a project, whose own they would replace.

    Raises:
        InputError: one of the two is not named, and its default lies in a project.
    """
    from modelyard.project.load import FILE_NAME

    target = output or Path("candidates")
    if (output is None or reports is None) and (target.parent / FILE_NAME).is_file():
        unnamed, option = (target, "--output") if output is None else (target.parent / "reports", "--reports")
        raise InputError(
            Problem(
                f"{target.parent.resolve()} is a project, and with --data nothing of it may be replaced, such as its "
                f"{unnamed.name}/",
                "leave --data out to compress the project's model, or name a new folder, which the report then stands "
                "in too: --output alone/candidates",
                option,
            )
        )
    return target, reports or target.parent / "reports"


def _alone(
    model: Path | None, data: str, columns: tuple[str, str], output: Path, reports: Path, progress: "Progress"
) -> "Report":
    """Prepare the rows in a folder that is thrown away, with the reports of other work out of sight, then compress."""
    from modelyard.artifacts.candidate import MARK
    from modelyard.artifacts.files import check_output, write_json
    from modelyard.artifacts.model import check_model_folder
    from modelyard.artifacts.reports import failure_problems, read_run_record, write_report
    from modelyard.compression.compress import compress as run
    from modelyard.data.check import check
    from modelyard.data.reading.locate import locate
    from modelyard.data.reading.passages import refuse_texts
    from modelyard.data.reading.shapes import Shape

    if model is None:
        raise InputError(
            Problem("--data judges a model and none is named", "name its folder: modelyard compress MODEL --data FILE")
        )
    check_model_folder(model)
    check_output(output, mark=MARK)
    refuse_texts(locate(data, Path())[0], dict.fromkeys(columns, ""), Path())
    settings = _settings_alone(model, data, columns)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        prepared = Path(folder, "prepared")
        checked = check(
            settings.data,
            project=settings.project,
            shape=Shape(name="text_label", columns={"text": columns[0], "label": columns[1]}),
            root=Path(),
            prepared=prepared,
            reports=None,
            gates=settings.gates,
            progress=progress,
        )
        if problems := failure_problems(checked, data):
            raise GateFailed(problems)
        own = Path(folder, "reports")
        report = run(settings, prepared=prepared, model=model, output=output, reports=own, progress=progress)
        record = read_run_record(own / f"{report.stage}.run.json")
    write_report(reports, report)
    write_json(reports / f"{record.stage}.run.json", record)
    return report


def _settings_alone(model: Path, data: str, columns: tuple[str, str]) -> "ProjectSchema":
    from modelyard.project.data import DataSection, FieldsSection, SplitSection
    from modelyard.project.model import ModelSection
    from modelyard.project.schema import ProjectSchema

    name = "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "_.-") else "-" for sign in model.resolve().name
    )
    validation, test = STANDALONE_SPLIT
    return ProjectSchema(
        schema_version=1,
        project=name.lstrip("_.-")[:64] or "model",
        data=DataSection(
            train=data,
            split=SplitSection(validation=validation, test=test),
            fields=FieldsSection(text=columns[0], label=columns[1]),
        ),
        model=ModelSection(base=str(model)),
    )


def show_candidates(folder: Path) -> None:
    """Print a table of the candidates: what each weighs, how fast it is, what it loses, and which one was chosen."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from modelyard.artifacts.candidate import read_card, read_choice

    choice = read_choice(folder)
    console = Console(highlight=False, width=table_width())
    wide = console.width >= WIDE
    table = Table(title="candidates", title_justify="left", title_style="bold", box=None, pad_edge=False)
    headings = ("MB", "weights", "times as fast,\nas served", "ms, one\nrow alone", "memory\nMB", "points\nlost")
    for heading in ("", *(name for name in headings if wide or name != "weights"), "outcome"):
        table.add_column(heading, no_wrap=True)
    for name in dict.fromkeys([choice.chosen, *choice.ranked, *sorted(choice.not_chosen)]):
        card = read_card(folder / name)
        mark = "→ " if name == choice.chosen else "  "
        table.add_row(Text(mark + name), *_numbers(card, wide), _outcome(card))
    console.print(table)
    for line in _SPEEDS:
        console.print(Text(line, style="dim"), soft_wrap=True)


_SPEEDS = (
    "as served: the export's time over this one's on the same rows, in batches where its answers may share one; of one "
    "that was not judged, in the way it is faster",
    "one row alone: a single request to an idle service; one that is slower alone may still be faster as served",
)


def _outcome(card: "Card") -> "Text":
    """The outcome on the split that was judged last, and its name: test where the candidate got so far."""
    from rich.text import Text

    from modelyard.compression.judging import outcome_of

    drops = [verdict for verdict in card.verdicts if verdict.rule in ("drop_max", "slice_drop_max", "parity")]
    if not drops:  # it could not be chosen whatever its accuracy; the notes say why
        return Text("not judged", style="dim")
    worst = outcome_of([verdict for verdict in drops if verdict.subject == drops[-1].subject])
    split = drops[-1].subject.rpartition(" on ")[2] if card.compressed else "parity"
    return Text(f"{worst}, {split}", style=MARKS[worst][1])


def _numbers(card: "Card", wide: bool) -> list[str]:
    """Cells of a card: size, the dtypes that hold 5% of the weights or more, speed, latency, memory, accuracy lost.

    On a narrow terminal without dtypes and without the ends of intervals, which `report` shows.
    """
    weights = sum(card.dtypes.values())
    shares = {dtype: size / weights for dtype, size in card.dtypes.items()}
    lost = [verdict for verdict in card.verdicts if verdict.rule == "drop_max"]
    dtypes = ", ".join(f"{dtype} {share:.0%}" for dtype, share in shares.items() if share >= 0.05)
    return [
        f"{card.size_bytes / 1e6:.1f}",
        *([dtypes] if wide else []),
        _range(card.speed_ratio, 1, wide),
        f"{card.latency_ms.estimate:.1f}" if card.latency_ms else "",
        "" if card.peak_memory_bytes is None else f"{card.peak_memory_bytes / 1e6:.0f}",
        _range(lost[-1].interval, 100, wide) if lost else "",
    ]


def _range(interval: "Interval | None", scale: float, wide: bool) -> str:
    """`2.87 (2.77 to 2.96)`; `2.87` where it is exact or there is no room."""
    if interval is None:
        return ""
    low, estimate, high = (f"{scale * value:.2f}" for value in (interval.low, interval.estimate, interval.high))
    return estimate + ("" if not wide or interval.low == interval.high else f" ({low} to {high})")
