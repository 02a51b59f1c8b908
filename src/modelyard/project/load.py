"""Reading `modelyard.yaml`: every problem at once, each with its line."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from modelyard.artifacts.files import refuse_special
from modelyard.errors import InputError, Problem
from modelyard.project.explain import Location, explain
from modelyard.project.schema import ProjectSchema

FILE_NAME = "modelyard.yaml"
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


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
        refuse_special(path, next_step="write the settings into a file")
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
    tree = _Tree(name)
    content = tree.construct(_compose(text, name), ())
    problems = list(tree.problems)
    try:
        settings = ProjectSchema.model_validate(content)
    except ValidationError as error:
        problems += explain(error, tree.lines, name, known_bad=tree.bad)
    if problems:
        raise InputError(sorted(dict.fromkeys(problems), key=_line_number))
    return settings


def _line_number(problem: Problem) -> int:
    line = problem.where.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


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
        reason = " ".join(str(error).split())
        raise InputError(Problem(f"not YAML: {reason}", "save it as a UTF-8 text file", name)) from error
    if not isinstance(root, MappingNode):
        raise InputError(Problem("the file holds no settings", "start it with `schema: 1`", f"{name}:1"))
    return root


class _Tree:
    """Plain Python values from a YAML tree.

    Attributes:
        lines: location -> line in the file.
        problems: what cannot be read.
        bad: locations of those.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self.bad: set[Location] = set()

    def construct(self, node: Node, location: Location) -> Any:  # noqa: ANN401
        """The value of a node; notes its line."""
        self.lines[location] = node.start_mark.line + 1
        if len(location) > MAX_DEPTH:
            self._complain(node, location, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, location)
        if isinstance(node, SequenceNode):
            return [self.construct(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._scalar(cast("ScalarNode", node), location)

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._complain(key_node, location, "a list or a mapping stands where a key is expected", "write a name")
                continue
            key = str(key_node.value)
            if key in content:
                self._complain(key_node, (*location, key), f"{key!r} stands here twice", "keep one of them")
            content[key] = self.construct(value_node, (*location, key))
            self.lines[(*location, key)] = key_node.start_mark.line + 1
        return content

    def _scalar(self, node: ScalarNode, location: Location) -> Any:  # noqa: ANN401
        # YAML 1.1, which PyYAML reads, takes `off` for false and `1e-5` for text; YAML 1.2, which DVC reads, does not
        if node.tag == "tag:yaml.org,2002:bool" and node.value.lower() not in ("true", "false"):
            return node.value
        if node.tag == "tag:yaml.org,2002:str" and node.style is None and _EXPONENT.fullmatch(node.value):
            return float(node.value)
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            self._complain(node, location, f"{node.value!r} is not a value that is read here: {reason}", "mend it")
            return None

    def _complain(self, node: Node, location: Location, message: str, next_step: str) -> None:
        self.problems.append(Problem(message, next_step, _at(self.name, node.start_mark)))
        self.bad.add(location)


def _at(name: str, mark: Any) -> str:  # noqa: ANN401
    return f"{name}:{mark.line + 1}" if mark is not None else name
