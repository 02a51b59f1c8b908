"""`modelyard check`: a project's data, or any file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from modelyard.data.reading.shapes import Shape
    from modelyard.project.data import DataSection
    from modelyard.project.gates import GatesSection

from modelyard.cli.console import progress_bar, show_report
from modelyard.cli.history import show_history
from modelyard.cli.options import AsJson, ExitZero, NamedFields, ProjectFolder, named_columns, named_fields, parse_size
from modelyard.errors import InputError, Problem

_SETTING = {
    "text": "data.fields.text",
    "label": "data.fields.label",
    "fields": "data.fields",
    "slices": "data.slices",
    "group": "data.group",
    "skip-bad-rows": "data.skip_bad_rows: true",
    "benchmark": "data.benchmarks",
}
"""Of a project, which says what an option says of FILES."""


def check(
    files: Annotated[list[str] | None, typer.Argument(help="Files, folders or globs; none: the project's own.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of the text, with FILES; none: by its name.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label, with FILES; none: by its name.")] = None,
    fields: NamedFields = "",
    slices: Annotated[str, typer.Option(metavar="A,B", help="Slice columns, with FILES.")] = "",
    group: Annotated[str | None, typer.Option(help="Column whose rows stay together, with FILES.")] = None,
    skip_bad_rows: Annotated[
        bool,
        typer.Option(
            "--skip-bad-rows",
            help="With FILES: leave out rows that cannot be read; the rule row_unreadable counts them.",
        ),
    ] = False,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="With FILES: questions that must not stand in them; may be given again."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where prepared/ goes; with FILES nothing is written without.")
    ] = None,
    reports: Annotated[Path | None, typer.Option(help="Where the report goes.")] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Use at most so much, as 2GiB; none: half of what is free.")
    ] = None,
    project: ProjectFolder = Path(),
    as_json: AsJson = False,
    exit_zero: ExitZero = False,
    history: Annotated[
        bool, typer.Option("--history", help="Show what earlier audits found, and the rule that worsened.")
    ] = False,
    rules: Annotated[
        bool, typer.Option("--rules", help="List the rules, the project's own among them, with their budgets.")
    ] = False,
) -> None:
    """Judge the data rule by rule, drop with the reason kept, and make the splits."""
    if rules:
        _list_rules(project)
        return
    if history:
        show_history(reports or project / "reports", as_json)
        return
    from modelyard.data.check import check as check_data
    from modelyard.evidence.judge import exit_status

    if not files:
        of_files = {"text": text, "label": label, "fields": fields, "slices": slices, "group": group}
        _refuse_of_files({**of_files, "skip-bad-rows": skip_bad_rows, "benchmark": benchmark})
    if text is not None and text == label:
        raise InputError(Problem(f"--text and --label both name {text!r}", "name two different columns", "--label"))
    if files:
        sliced = [part.strip() for part in slices.split(",") if part.strip()]
        task = _task_of_files(
            files,
            _shape(files, text, label, fields, sliced, group),
            slices=sliced,
            group=group,
            skip_bad_rows=skip_bad_rows,
            benchmarks=benchmark,
        )
        reports = reports or (output.absolute().parent / "reports" if output else None)
    else:
        task = _task_of_project(project)
        output, reports = output or project / "prepared", reports or project / "reports"
    with progress_bar() as progress:
        report = check_data(
            task.data,
            project=task.name,
            shape=task.shape,
            task=task.task,
            root=task.root,
            prepared=output,
            reports=reports,
            gates=task.gates,
            tokenizer=task.tokenizer,
            memory_bytes=None if memory is None else parse_size(memory, "--memory"),
            progress=progress,
        )
    show_report(report, as_json=as_json)
    if output is not None and "prepared" not in report.parameters:
        # the rule not_empty failed, also where a project calls it a warning: no folder is there for a stage to refuse,
        # and the one of an earlier check may be. `run` reads the verdicts of a stage that ends with 1, not with 2
        raise typer.Exit(1)
    raise typer.Exit(0 if exit_zero else exit_status(report.verdicts))


def _refuse_of_files(options: Mapping[str, object]) -> None:
    """Refuse what only says something of FILES, where a project's settings say it.

    Args:
        options: name -> value; one that was not given is empty.
    """
    problems = [
        Problem(f"--{name} is for FILES", f"in a project set {_SETTING[name]} in modelyard.yaml", f"--{name}")
        for name, value in options.items()
        if value
    ]
    if problems:
        raise InputError(problems)


class _Task(NamedTuple):
    """What is checked: settings, the name for the report, what a row is made of, where its files lie."""

    data: "DataSection"
    name: str
    shape: "Shape"
    root: Path
    gates: "GatesSection"
    tokenizer: Path | None
    task: str | None = None


def _task_of_files(files: list[str], shape: "Shape", **settings: Any) -> _Task:  # noqa: ANN401
    from modelyard.project.data import DataSection
    from modelyard.project.gates import GatesSection

    return _Task(DataSection(train=files, **settings), Path(files[0]).name, shape, Path(), GatesSection(), None)


def _task_of_project(project: Path) -> _Task:
    from modelyard.project.load import load_project

    settings = load_project(project).settings
    base = project / settings.model.base / "tokenizer.json" if settings.model else None
    tokenizer = base if base is not None and base.is_file() else None
    shape = _project_shape(settings.task, settings.data, project)
    # rows of prompt and completion are for either kind of language model
    task = "seq2seq_lm" if settings.task == "seq2seq_lm" else None
    return _Task(settings.data, settings.project, shape, project, settings.gates, tokenizer, task)


def _shape(
    files: list[str], text: str | None, label: str | None, fields: str, slices: list[str], group: str | None
) -> "Shape":
    """The shape that the user named, or that the first file's columns have."""
    from modelyard.data.reading.locate import locate
    from modelyard.data.reading.passages import refuse_texts
    from modelyard.data.reading.shapes import recognise_rows
    from modelyard.data.reading.table import first_rows

    own = {role: column for role, column in (("text", text), ("label", label)) if column}
    named = own | named_fields(fields)
    paths, _ = locate(files, Path())
    refuse_texts(paths, named_columns(named, own, slices, group), Path())
    shape = recognise_rows(first_rows(paths[0]), named, str(paths[0]))
    refuse_texts(paths, dict.fromkeys(shape.wanted, "name them without the tables"), Path())
    return shape


def _project_shape(task: str, data: "DataSection", root: Path) -> "Shape":
    """The shape that a project's task has; for other tasks than classification by the fields named or found."""
    from modelyard.data.reading.locate import locate
    from modelyard.data.reading.passages import refuse_texts
    from modelyard.data.reading.shapes import REQUIRED, Shape, recognise
    from modelyard.data.reading.table import first_columns

    fields = data.fields
    if task in ("classification", "multi_label_classification"):
        name = "text_label" if task == "classification" else "text_labels"
        return Shape(name=name, columns={"text": fields.text, "label": fields.label})
    given = {role: column for role in fields.model_fields_set if (column := getattr(fields, role))}
    paths, _ = locate(data.train, root)
    wanted = {column: f"remove {role} from data.fields" for role, column in given.items() if role != "label"}
    if task == "seq2seq_lm":
        roles = REQUIRED["prompt_completion"]
        wanted = {given.get(role, role): "set task: causal_lm without data.fields" for role in roles}
    refuse_texts(paths, wanted, root)
    shape = recognise(first_columns(paths[0]), given, "data.fields")
    if task == "causal_lm" and shape.name == "text_label":  # a language model reads the text of labelled rows
        return Shape(name="text", columns={"text": shape.columns["text"]})
    if task == "seq2seq_lm" and shape.name != "prompt_completion":
        message = (
            f"the task is seq2seq_lm and the rows are of the shape {shape.name}: it needs a prompt and a completion"
        )
        raise InputError(
            Problem(message, "name both columns: data.fields: {prompt: COLUMN, completion: COLUMN}", str(paths[0]))
        )
    return shape


def _list_rules(project: Path) -> None:
    """The rules with a project's changes, its filters and its own; outside of one, as they are by default."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from modelyard.data.rules import RULES, judged_rules
    from modelyard.data.user_rules import UserRule
    from modelyard.project.load import FILE_NAME, load_project

    rules, allowed = list(RULES), "allowed by default"
    if (project / FILE_NAME).is_file():
        settings = load_project(project).settings
        data, allowed = settings.data, "allowed here"
        own = [UserRule(name, **section.model_dump()) for name, section in data.user_rules.items()]
        several = settings.task == "multi_label_classification"
        labelled = several or settings.task == "classification"
        rules = list(judged_rules(data, labelled=labelled, several=several, own=own).values())
    table = Table("rule", allowed, "severity", "what it looks for", box=None, pad_edge=False)
    for rule in rules:
        table.add_row(
            rule.name,
            f"{rule.bound.replace('_', ' ')} {rule.budget:g} {rule.unit}",
            rule.severity,
            Text(f"{rule.finds}: {rule.why}"),
        )
    Console().print(table)
