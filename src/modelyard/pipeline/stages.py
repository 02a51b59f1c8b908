"""The stages of a project's `dvc.yaml`, and what DVC prints about them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from modelyard.errors import InputError, Problem
from modelyard.project.load import FILE_NAME, Project

PIPELINE = "dvc.yaml"
MAX_BYTES = 1024 * 1024
_STARTED = re.compile(r"Running stage '(?P<stage>[^']+)':?")
_UNCHANGED = re.compile(r"Stage '(?P<stage>[^']+)' (didn't change|is cached)")
_FAILED = re.compile(r"failed to reproduce '(?P<stage>[^']+)'", re.DOTALL)
_STATUS = re.compile(r"exited with (?P<status>-?\d+)")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([Tt \t].*)?")  # what YAML 1.1 takes for a timestamp
_CHATTER = re.compile(
    r"> |'[^']+\.dvc' didn't change|(Generating|Updating) lock file|To track the changes with git|\s*git add "
    r"|To enable auto staging|\s*dvc config core.autostage|Use `dvc push`|Data and pipelines are up to date"
    r"|Verifying data sources"
)


@dataclass(frozen=True)
class Event:
    """Something a person may see while a pipeline runs.

    Attributes:
        kind: a stage `started`, `ended` (whatever came of it) or is `unchanged`; a line of `output`; `stopping`: it was
            told to stop, by Ctrl-C, and has not yet.
        stage: the stage's name; empty for output outside of any.
        text: the line of an output event.
        seconds: how long it ran, for an `ended` one.
    """

    kind: Literal["started", "ended", "unchanged", "output", "stopping"]
    stage: str = ""
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Failure:
    """The stage that stopped a pipeline; `status` is its own exit status, None where DVC itself gave up on it."""

    stage: str
    status: int | None


def read_stages(project: Project) -> dict[str, dict[str, Any]]:
    """The stages of `dvc.yaml` by name, in its order, after checking that it follows the settings.

    Raises:
        InputError: there is none, it is not a pipeline, a setting that it follows is missing from modelyard.yaml (DVC
            knows no defaults), or `check` does not depend on the data files.
    """
    path = project.folder / PIPELINE
    next_step = "make a new project with `modelyard init` and copy its dvc.yaml"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(Problem("it is larger than 1 MiB", next_step, str(path)))
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(Problem(f"the pipeline cannot be read: {_one_line(error)}", next_step, str(path))) from error
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
        raise InputError(Problem("it holds no stages", next_step, str(path)))
    named = {str(name): stage for name, stage in stages.items()}
    problems = [*_missing_settings(named, project, path), *_unwatched_data(named, project, path)]
    problems += _unquoted_dates(project)
    if problems:
        raise InputError(problems)
    return named


def _missing_settings(stages: dict[str, Any], project: Project, path: Path) -> Iterator[Problem]:
    settings = project.folder / FILE_NAME
    written = yaml.safe_load(settings.read_text(encoding="utf-8-sig"))
    complete = project.settings.model_dump(mode="json", by_alias=True)
    followed = sorted({key for stage in stages.values() for key in _followed(stage)})
    for key in followed:
        if not _has(written, key):
            default = f"write it out there: {key} = {_value(complete, key)}" if _has(complete, key) else ""
            yield Problem(
                f"{key} is missing from {FILE_NAME}, and {PIPELINE} follows it",
                default or f"take it out of the params in {path}",
                str(settings),
            )


def _unquoted_dates(project: Project) -> Iterator[Problem]:
    """A date without quotes is one to DVC, which follows the settings, and it cannot write one into dvc.lock."""
    settings = project.folder / FILE_NAME
    text = settings.read_text(encoding="utf-8-sig")
    for number, token in ((token.start_mark.line + 1, token) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
        if isinstance(token, yaml.ScalarToken) and token.plain and _DATE.fullmatch(token.value):
            yield Problem(
                f"the date {token.value} has no quotes, and DVC cannot store a date",
                f'write it in quotes: "{token.value}"',
                f"{settings}:{number}",
            )


def _followed(stage: dict[str, Any]) -> Iterator[str]:
    for entry in stage.get("params") or []:
        if isinstance(entry, dict):
            yield from map(str, entry.get(FILE_NAME) or [])


def _has(content: Any, key: str) -> bool:  # noqa: ANN401
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def _value(content: Any, key: str) -> str:  # noqa: ANN401
    for part in key.split("."):
        content = content[part]
    return str(yaml.safe_dump(content, default_flow_style=True, width=2**20)).removesuffix("\n").removesuffix("\n...")


def _unwatched_data(stages: dict[str, Any], project: Project, path: Path) -> Iterator[Problem]:
    """Data files outside of what `check` depends on: DVC would not see them change."""
    check = stages.get("check")
    if check is None or "modelyard check" not in str(check.get("cmd")):
        return
    watched = [Path(dependency) for dependency in check.get("deps") or [] if isinstance(dependency, str)]
    data = project.settings.data
    for name, value in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        for file in [value] if isinstance(value, str) else value or []:
            if not any(Path(file).is_relative_to(folder) for folder in watched):
                yield Problem(
                    f"data.{name} names {file!r}, which the stage `check` does not depend on: changes would go unseen",
                    f"put it below data/, or add `- {file}` to stages.check.deps",
                    str(path),
                )


def parse_line(line: str, current: str) -> Event | None:
    """What a line of DVC's output says; None for its chatter.

    Args:
        line: without its end.
        current: the stage that runs.
    """
    if match := _STARTED.fullmatch(line):
        return Event("started", match["stage"])
    if match := _UNCHANGED.match(line):
        return Event("unchanged", match["stage"])
    return None if _CHATTER.match(line) else Event("output", current, line)


def parse_failure(errors: str) -> Failure | None:
    """Which stage stopped the pipeline, from DVC's error lines."""
    match = _FAILED.search(errors)
    if match is None:
        return None
    status = _STATUS.search(errors, match.end())
    return Failure(match["stage"], int(status["status"]) if status else None)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
