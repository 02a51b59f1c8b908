"""Reading the JSON documents of any folder: one way, with the version rule that all of them share."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from modelyard.artifacts.files import read_json_text
from modelyard.errors import InputError, Problem

Document = TypeVar("Document", bound=BaseModel)


def read_document(path: Path, kind: type[Document], *, next_step: str) -> Document:
    """Read and validate one JSON document.

    Args:
        path: the file.
        kind: its pydantic schema, whose `schema` field names the newest version it knows.
        next_step: what a user does when it is missing or wrong.

    Raises:
        InputError: missing, too large, not JSON, of a newer schema, or not of this kind; every field's problem at once.
    """
    return parse_document(read_json_text(path, next_step=next_step), kind, path=path, next_step=next_step)


def read_object(path: Path, *, next_step: str) -> dict[str, Any]:
    """The settings in a JSON file of a model's folder, whose schema is not ours.

    Raises:
        InputError: missing, too large, or no JSON object.
    """
    try:
        found = json.loads(read_json_text(path, next_step=next_step))
    except (ValueError, RecursionError) as error:
        raise InputError(Problem(f"{path.name} is not settings: {error}", next_step, str(path))) from error
    if not isinstance(found, dict):
        raise InputError(Problem(f"{path.name} is not settings: it holds no object", next_step, str(path)))
    return found


def parse_document(text: str, kind: type[Document], *, path: Path, next_step: str) -> Document:
    """`read_document` for a text that was read already; `path` is what problems point at.

    Raises:
        InputError: not JSON, of a newer schema, or not of this kind; every field's problem at once.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(Problem(f"{path.name} is not JSON: {error}", next_step, str(path))) from error
    version = content.get("schema") if isinstance(content, dict) else None
    if isinstance(version, int) and version > 1:
        raise InputError(
            Problem(
                f"{path.name} has schema {version}, this Modelyard reads 1",
                "read it with the Modelyard that wrote it, or a newer one",
                str(path),
            )
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise InputError(
            [
                Problem(f"{'.'.join(map(str, item['loc'])) or path.name}: {item['msg']}", next_step, str(path))
                for item in error.errors(include_url=False)
            ]
        ) from error
