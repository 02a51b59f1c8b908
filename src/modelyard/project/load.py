"""Reading `modelyard.yaml`: every problem at once, each with its line."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from modelyard.errors import InputError, Problem
from modelyard.project.schema import ProjectSchema

FILE_NAME = "modelyard.yaml"
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Project:
    """A project on disk: its folder and its settings."""

    folder: Path
    settings: ProjectSchema

    def path(self, relative: str) -> Path:
        """A path of the settings, taken relative to the project's folder."""
        return self.folder / relative


def load_project(folder: Path) -> Project:
    """Read and validate `folder/modelyard.yaml`.

    Raises:
        InputError: all that is wrong with it, each problem with `file:line`.
    """
    path = folder / FILE_NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(Problem(f"{path} is larger than 1 MiB", "keep data out of the settings", str(path)))
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(
            Problem(
                f"there is no {FILE_NAME} in {folder.resolve()}",
                "make a project: modelyard init NAME --data FILE",
                str(path),
            )
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            Problem(f"{path} cannot be read: {error}", "save it as a UTF-8 text file", str(path))
        ) from error
    return Project(folder, parse_settings(text, str(path)))


def parse_settings(text: str, name: str = FILE_NAME) -> ProjectSchema:
    """Validate the text of a `modelyard.yaml`; `name` is what problems point at.

    Raises:
        InputError: all that is wrong with it, each problem with `name:line`.
    """
    root = _compose(text, name)
    lines: dict[Location, int] = {}
    problems: list[Problem] = []
    content = _construct(root, (), lines, problems, name)
    if problems:
        raise InputError(problems)
    try:
        return ProjectSchema.model_validate(content)
    except ValidationError as error:
        found = [_problem(cast("dict[str, Any]", item), lines, name) for item in error.errors(include_url=False)]
        raise InputError(list(dict.fromkeys(found))) from error


def _compose(text: str, name: str) -> Node:
    """The YAML tree with its positions. Anchors are refused: a few lines of them can expand to gigabytes."""
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise InputError(
                    Problem(
                        f"the alias *{event.anchor} is not read here",
                        "write the value out",
                        _at(name, event.start_mark),
                    )
                )
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        hint = "indent with spaces, not tabs" if "\\t" in str(error.problem) else "mend the YAML at this line"
        raise InputError(Problem(f"not YAML: {error.problem}", hint, _at(name, error.problem_mark))) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(Problem(f"not YAML: {error}", "save it as a UTF-8 text file", name)) from error
    if not isinstance(root, MappingNode):
        raise InputError(Problem("the file holds no settings", "start it with `schema: 1`", f"{name}:1"))
    return root


def _construct(node: Node, location: Location, lines: dict[Location, int], problems: list[Problem], name: str) -> Any:  # noqa: ANN401
    """Plain Python values from the tree; fills `lines` with the line of every location, duplicates into `problems`."""
    lines[location] = node.start_mark.line + 1
    if len(location) > MAX_DEPTH:
        problems.append(Problem(f"nested deeper than {MAX_DEPTH} levels", "flatten it", _at(name, node.start_mark)))
        return None
    if isinstance(node, MappingNode):
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in content:
                problems.append(
                    Problem(f"{key!r} stands here twice", "keep one of them", _at(name, key_node.start_mark))
                )
            content[key] = _construct(value_node, (*location, key), lines, problems, name)
            lines[(*location, key)] = key_node.start_mark.line + 1
        return content
    if isinstance(node, SequenceNode):
        return [_construct(item, (*location, index), lines, problems, name) for index, item in enumerate(node.value)]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        value = cast("ScalarNode", node).value
        problems.append(
            Problem(
                f"{value!r} is not a value that is read here: {error}", "put it in quotes", _at(name, node.start_mark)
            )
        )
        return None


def _at(name: str, mark: Any) -> str:  # noqa: ANN401
    return f"{name}:{mark.line + 1}" if mark is not None else name


def _problem(item: dict[str, Any], lines: dict[Location, int], name: str) -> Problem:
    # pydantic adds the branch of a union to the location; the file knows only the keys
    location = tuple(item["loc"])
    while location and location not in lines and item["type"] != "missing":
        location = location[:-1]
    holder = location if location in lines else location[:-1]
    where = f"{name}:{lines.get(holder, 1)}"
    path = ".".join(map(str, location))
    if item["type"] == "missing":
        return Problem(f"{path} is missing", f"add `{location[-1]}:` here, see `modelyard schema`", where)
    if item["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        advice = f"did you mean {near[0]}" if near else f"known here: {', '.join(known)}"
        return Problem(f"{path} is not a setting", advice, where)
    rule = str(item["msg"]).removeprefix("Value error, ")
    rule = rule[:1].lower() + rule[1:]
    return Problem(
        f"{path or 'the file'} is {_shown(item['input'])}: {rule}", "change the value, see `modelyard schema`", where
    )


def _shown(value: Any) -> str:  # noqa: ANN401
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _known_keys(location: Location) -> list[str]:
    """Keys that the schema has at a location."""
    kind: Any = ProjectSchema
    for key in location:
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        annotation = kind.model_fields[str(key)].annotation if str(key) in kind.model_fields else None
        kind = next((part for part in (annotation, *getattr(annotation, "__args__", ())) if _is_section(part)), None)
    if not _is_section(kind):
        return []
    return [field.alias or key for key, field in kind.model_fields.items()]


def _is_section(kind: Any) -> bool:  # noqa: ANN401
    return isinstance(kind, type) and issubclass(kind, BaseModel)
