"""Making a project: a folder with the data, the base model, the settings, the pipeline, keys and a first commit."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
import yaml

from modelyard.artifacts.files import replacing_folder
from modelyard.artifacts.keys import new_key_pair
from modelyard.artifacts.model import check_model_folder, is_only_config
from modelyard.data.reading.locate import locate
from modelyard.data.reading.shapes import holds_lists, recognise
from modelyard.errors import InputError, MissingDependency, Problem
from modelyard.progress import Progress, silent
from modelyard.project.load import FILE_NAME, parse_settings
from modelyard.scaffold.base_models import KNOWN, require_cached
from modelyard.scaffold.guess import (
    LABEL_NAMES,
    Guess,
    Head,
    guess_label,
    guess_text,
    latin_share,
    look_swapped,
    slice_candidates,
)
from modelyard.tasks.special_tokens import read_settings

MIN_LATIN_SHARE = 0.7
"""MiniLM reads English. At 0.7 Chinese text with names and units in Latin letters is still seen as Chinese."""
_NAME = re.compile(r"\w[\w.-]{0,63}")
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n"


@dataclass(frozen=True)
class Fields:
    """What the columns of the data file are, and the task that they are for.

    Attributes:
        roles: as in `data.fields`, for instance `text` and `label` -> column.
        slices: columns to judge by as well.
        group: column whose rows never cross splits.
        slice_candidates: columns that could be slices.
        task: `classification`, `multi_label_classification`, `causal_lm` or `seq2seq_lm`.
    """

    roles: dict[str, Guess]
    slices: list[str]
    group: str | None
    slice_candidates: list[str]
    task: str = "classification"

    @property
    def text(self) -> str:
        """The column that shows what language the rows are in."""
        return next(iter(self.roles.values())).column or ""


@dataclass(frozen=True)
class Base:
    """The base model: the folder to copy, its name in the project, why it is this one, whether its weights are new."""

    folder: Path
    name: str
    why: str
    fresh: bool = False


def choose_fields(head: Head, *, text: str | None, label: str | None, slices: list[str], group: str | None) -> Fields:
    """Columns as they were named, the others guessed; a guess without a column is left to the caller to ask for.

    Rows have several labels where the column of the label holds lists, as `check` sees it.

    Raises:
        InputError: a named column is not in the file, or one column is meant to be two things.
    """
    problems = _unknown_columns(head, {"--text": text, "--label": label, "--group": group}, slices)
    if text is not None and text == label:
        problems.append(Problem(f"{text!r} cannot be both text and label", "name two columns", "--label"))
    problems += [
        Problem(f"{name!r} is the text: a slice is a column of few values", "leave it out", f"--slices {name}")
        for name in slices
        if name == text
    ]
    if problems:
        raise InputError(problems)
    taken = [column for column in (text, label, group, *slices) if column]
    label_guess = Guess(label, "named by you") if label else guess_label(head, [*taken, *_longest(head, taken)])
    text_guess = Guess(text, "named by you") if text else guess_text(head, [*taken, label_guess.column or ""])
    swapped = text_guess.column and label_guess.column and look_swapped(head, text_guess.column, label_guess.column)
    if swapped:
        step = f"name them the other way round: --text {label_guess.column!r} --label {text_guess.column!r}"
        raise InputError(Problem(swapped, step, "--text"))
    used = [*taken, text_guess.column or "", label_guess.column or ""]
    roles = {"text": text_guess, "label": label_guess}
    return with_task(Fields(roles, slices, group, slice_candidates(head, used)), head)


def with_task(fields: Fields, head: Head) -> Fields:
    """The same with the task that the labels are for: several a row where they are lists."""
    several = holds_lists(head.values(fields.roles["label"].column or ""))
    return replace(fields, task="multi_label_classification" if several else "classification")


def choose_language_fields(
    head: Head,
    named: Mapping[str, str],
    *,
    slices: list[str],
    group: str | None,
    task: str = "causal_lm",
    options: Mapping[str, str] | None = None,
) -> Fields:
    """Columns of what a language model learns, by their names: conversations, else prompts with answers, else texts.

    Args:
        head: the first rows.
        named: role -> column, from the user; decides where it is not empty.
        slices: columns to judge by as well.
        group: column whose rows never cross splits.
        task: `causal_lm` or `seq2seq_lm`.
        options: role -> the option that named its column, where that is not `--fields`.

    Raises:
        InputError: a named column is not in the file, or the names say nothing, or no pair for `seq2seq_lm`.
    """
    typed = {(options or {}).get(role, f"--fields {role}"): column for role, column in named.items()}
    if problems := _unknown_columns(head, {**typed, "--group": group}, slices):
        raise InputError(problems)
    shape = recognise(head.columns, named, "--data")
    if shape.name == "preference":
        message = "rows of a chosen and a rejected answer are checked, not trained on"
        raise InputError(Problem(message, "see `modelyard check FILE`", "--data"))
    if task == "seq2seq_lm" and shape.name != "prompt_completion":
        message = f"a sequence to sequence model learns pairs, and the columns ({', '.join(head.columns)}) name none"
        raise InputError(Problem(message, "say which: --fields prompt=COLUMN,completion=COLUMN", "--data"))
    why = "named by you" if named else "by its name"
    roles = {role: Guess(column, why) for role, column in shape.columns.items() if role != "label"}
    used = [*shape.columns.values(), *slices, *([] if group is None else [group])]
    return Fields(roles, slices, group, slice_candidates(head, used), task=task)


def looks_like_language(head: Head) -> bool:
    """Whether it is plain text, or the columns are conversations or prompts with answers and none is a label."""
    if head.plain:
        return True
    names = {column.strip().casefold() for column in head.columns}
    if names & set(LABEL_NAMES):
        return False
    try:
        return recognise(head.columns, {}, "--data").name in ("messages", "prompt_completion")
    except InputError:
        return False


def _unknown_columns(head: Head, named: Mapping[str, str | None], slices: Sequence[str]) -> list[Problem]:
    return [
        Problem(f"the file has no column {column!r}", f"name one of: {', '.join(head.columns)}", option)
        for option, column in {**named, **{f"--slices {name}": name for name in slices}}.items()
        if column is not None and column not in head.columns
    ]


def _longest(head: Head, taken: list[str]) -> list[str]:
    text = guess_text(head, taken).column
    return [text] if text else []


def choose_base(model: str | None, texts: list[str], cache: Path, *, task: str = "classification") -> Base:
    """The base model: a folder, a known name, or by the task and the script of the texts.

    Raises:
        InputError: the folder is not a model that can be loaded safely. One with a config and no weights is a model
            to train from new ones.
        MissingDependency: a known model that was not fetched yet.
    """
    if model is not None and model not in KNOWN:
        folder = Path(model)
        if not folder.is_dir():
            raise InputError(
                Problem(
                    f"{model!r} is neither a folder nor a known base model",
                    f"name a Hugging Face model folder, or one of: {', '.join(KNOWN)}",
                    "--model",
                )
            )
        fresh = is_only_config(folder)
        check_model_folder(folder, weights=not fresh)
        name = re.sub(r"[^\w.-]", "-", folder.resolve().name).lstrip(".-") or "base"
        why = "the folder you named" + ("; it holds no weights: they are drawn anew" if fresh else "")
        return Base(folder, name, why, fresh)
    if model is not None:
        return Base(require_cached(model, cache), model, KNOWN[model].about)
    if task == "seq2seq_lm":
        message = f"no base model for {task} can be fetched: the package registries carry none"
        raise InputError(Problem(message, "name the folder of a T5, BART or the like", "--model"))
    if task == "causal_lm":
        return Base(require_cached("smollm2", cache), "smollm2", KNOWN["smollm2"].about)
    share = latin_share(texts)
    name = "minilm" if share >= MIN_LATIN_SHARE else "e5-small"
    why = f"{share:.0%} of the letters are Latin: {KNOWN[name].about}"
    return Base(require_cached(name, cache), name, why)


def task_of_model(model: str | None) -> str | None:
    """The task that a base model's folder is for, where its config tells: a sequence to sequence model."""
    config = read_settings(Path(model), "config.json") if model and Path(model).is_dir() else {}
    return "seq2seq_lm" if config.get("is_encoder_decoder") is True else None


def create_project(target: Path, data: Path, fields: Fields, base: Base, progress: Progress = silent) -> None:
    """Make the project's folder, whole or not at all.

    Args:
        target: the new folder; its name is the project's.
        data: a file, or a folder of files that are read, copied into `data/`.
        fields: what its columns are; every role must be known.
        base: the base model, copied into `models/`.
        progress: told each step.

    Raises:
        InputError: the name is not one, the folder is not empty, or something cannot be written.
        MissingDependency: there is no Git.
    """
    check_target(target)
    require_git()
    with replacing_folder(target, mark=FILE_NAME) as folder:
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("copy the data", lambda: _copy_data(data, folder)),
            ("copy the base model", lambda: _copy_base(base, folder)),
            ("write settings, pipeline and keys", lambda: _write_files(folder, target.name, data, fields, base)),
            ("start Git and DVC", lambda: _start_versions(folder)),
            ("put data and model under DVC", lambda: _dvc(folder, "add", "--quiet", "data", "models")),
            ("first commit", lambda: _commit(folder, target.name)),
        )
        for number, (what, step) in enumerate(steps):
            progress(f"init, {what}", number, len(steps))
            step()


def check_target(target: Path) -> None:
    """Refuse a name that is not one, and a folder that holds something.

    Raises:
        InputError: what is wrong with it.
    """
    where = str(target)
    if not _NAME.fullmatch(target.name):
        raise InputError(
            Problem(
                f"{target.name!r} is not a project name: up to 64 letters, digits, `.`, `_` and `-`, "
                "the first a letter or a digit",
                "choose another name",
                where,
            )
        )
    if (target / FILE_NAME).is_file():
        raise InputError(
            Problem(f"{target} is a project already", f"change {target / FILE_NAME}, or choose another name", where)
        )
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise InputError(Problem(f"{target} is there already and is not an empty folder", "choose another name", where))


def require_git() -> None:
    """Refuse a machine without Git.

    Raises:
        MissingDependency: there is none on the path.
    """
    if shutil.which("git") is None:
        raise MissingDependency(Problem("there is no git on this machine", "sudo apt-get install git"))


def _copy_data(data: Path, folder: Path) -> None:
    """The file, or of a folder what is read of it: the project then says what it was made from."""
    place = folder / "data" / data.resolve().name if data.is_dir() else folder / "data"
    for path in locate(str(data), Path())[0]:
        target = place / (path.relative_to(data) if data.is_dir() else path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _copy_base(base: Base, folder: Path) -> None:
    shutil.copytree(base.folder, folder / "models" / base.name, copy_function=shutil.copyfile, ignore=_hidden)


def _hidden(_folder: str, names: list[str]) -> list[str]:
    """Caches and the like beside a model: `.git`, `.cache`, `.gitattributes`."""
    return [name for name in names if name.startswith(".")]


def _write_files(folder: Path, project: str, data: Path, fields: Fields, base: Base) -> None:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("modelyard.scaffold"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # YAML and Markdown, not HTML
    )
    environment.filters.update(scalar=as_scalar, flow=as_flow)
    values = {
        "project": project,
        "data": f"data/{data.resolve().name if data.is_dir() else data.name}",
        "task": fields.task,
        "roles": {role: _one_line(guess) for role, guess in fields.roles.items()},
        "slices": fields.slices,
        "slice_candidates": [as_scalar(name) for name in fields.slice_candidates],
        "group": fields.group,
        "base": f"models/{base.name}",
        "base_why": " ".join(base.why.split()),
        "fresh": base.fresh,
    }
    for template, name in (
        ("modelyard.yaml.jinja", FILE_NAME),
        ("dvc.yaml.jinja", "dvc.yaml"),
        ("README.md.jinja", "README.md"),
        ("gitignore.jinja", ".gitignore"),
    ):
        (folder / name).write_text(environment.get_template(template).render(values), encoding="utf-8")
    parse_settings((folder / FILE_NAME).read_text(encoding="utf-8"))
    new_key_pair(folder / "keys")


def _one_line(guess: Guess) -> Guess:
    """A reason that stays inside its comment, whatever the data file holds."""
    shown = "".join(letter if letter.isprintable() else " " for letter in guess.why)
    return Guess(guess.column, shown)


def as_scalar(value: str | None) -> str:
    """A value as YAML, quoted only where it must be: `true`, `1.0` and `a: b` are texts here."""
    text = yaml.safe_dump(value, allow_unicode=True, width=2**20).removesuffix("\n").removesuffix("\n...")
    # JSON strings are YAML, and stay on one line
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text


def as_flow(values: list[str]) -> str:
    """A list as YAML on one line."""
    quoted = (as_scalar(value) if _plain(value) else json.dumps(value, ensure_ascii=False) for value in values)
    return f"[{', '.join(quoted)}]"


def _plain(value: str) -> bool:
    """Whether a text needs no quotes inside brackets."""
    return not set(value) & set(",[]{}\"'")


def _start_versions(folder: Path) -> None:
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _dvc(folder, "init", "--quiet")
    (folder / ".dvc" / "config").write_text(DVC_CONFIG, encoding="utf-8")


def _commit(folder: Path, project: str) -> None:
    _git(folder, "add", ".")
    identity = []
    if not _git(folder, "config", "user.email", check=False):
        identity = ["-c", "user.name=Modelyard", "-c", "user.email=modelyard@localhost"]
    _git(folder, *identity, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", f"Start {project}")


def _git(folder: Path, *arguments: str, check: bool = True) -> str:
    return _call(["git", *arguments], folder, check=check)


def _dvc(folder: Path, *arguments: str) -> str:
    return _call([sys.executable, "-m", "dvc", *arguments], folder)


def _call(command: list[str], folder: Path, *, check: bool = True) -> str:
    """Run a program in the folder and return what it printed.

    Inside a Git hook GIT_DIR names another repository: no such variable is passed on.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"DVC_NO_ANALYTICS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        program = " ".join(Path(part).name for part in command[:4])
        raise InputError(Problem(f"`{program}` failed: {said[-1]}", "mend what it names, then run init again"))
    return done.stdout.strip()
