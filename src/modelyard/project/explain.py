"""What pydantic found wrong with the settings, in plain words, one problem per place."""

import difflib
import json
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from modelyard.errors import Problem
from modelyard.project.schema import ProjectSchema

Location = tuple[str | int, ...]
_SEE = "change it, see `modelyard schema`"
# pydantic's error type -> what the value must be; {…} comes from the error
_RULES = {
    "string_type": "it must be text",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "bool_type": "it must be true or false",
    "list_type": "it must be a list: [a, b]",
    "dict_type": "it must hold keys of its own",
    "finite_number": "it must be a finite number",
    "greater_than": "it must be above {gt:g}",
    "greater_than_equal": "it must be at least {ge:g}",
    "less_than": "it must be below {lt:g}",
    "less_than_equal": "it must be at most {le:g}",
    "literal_error": "it must be {expected}",
    "string_too_short": "it must not be empty",
    "string_pattern_mismatch": "it must be up to 64 letters, digits, `.`, `_` or `-`, the first a letter or a digit",
    "date_type": "it must be a day, YYYY-MM-DD",
    "date_parsing": "it must be a day, YYYY-MM-DD",
    "date_from_datetime_parsing": "it must be a day, YYYY-MM-DD",
    "date_from_datetime_inexact": "it must be a day, YYYY-MM-DD",
}


def explain(
    error: ValidationError, lines: Mapping[Location, int], name: str, *, known_bad: Collection[Location] = ()
) -> list[Problem]:
    """Problems with `name:line`, in the order in which pydantic found them.

    Args:
        error: of validating `ProjectSchema`.
        lines: location -> line in the file.
        name: of the file.
        known_bad: locations that are complained about already.
    """
    found: dict[Location, list[dict[str, Any]]] = {}
    for raw in error.errors(include_url=False):
        item = dict(raw)
        found.setdefault(_in_file(item, lines), []).append(item)
    problems = []
    for location, items in found.items():
        # where one branch of a union (a text or a list of texts) got further, the other's complaint is none
        deeper = any(len(other) > len(location) and other[: len(location)] == location for other in found)
        union = len(items) == 1 and isinstance(items[0]["loc"][-1], str) and items[0]["loc"][-1] not in location
        if location not in known_bad and not (deeper and union):
            problems.append(_problem(location, items, lines, name))
    return problems


def _in_file(item: dict[str, Any], lines: Mapping[Location, int]) -> Location:
    """The location without the names of union branches, which pydantic adds and the file does not have."""
    location: Location = ()
    for position, part in enumerate(item["loc"]):
        last_key = item["type"] == "missing" and position == len(item["loc"]) - 1
        if last_key or (*location, part) in lines:
            location = (*location, part)
    return location


def _problem(location: Location, items: list[dict[str, Any]], lines: Mapping[Location, int], name: str) -> Problem:
    holder = location if location in lines else location[:-1]
    where = f"{name}:{lines.get(holder, 1)}"
    path = ".".join(map(str, location))
    item = items[0]
    if item["type"] == "missing":
        return Problem(f"{path} is missing", f"add `{location[-1]}:` here, see `modelyard schema`", where)
    if item["type"] == "extra_forbidden":
        known = known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        advice = f"did you mean {near[0]}" if near else f"known here: {', '.join(known)}"
        return Problem(f"{path} is not a setting", advice, where)
    if item["type"] in ("model_type", "model_attributes_type"):
        keys = ", ".join(known_keys(location))
        return Problem(f"{path} is {_shown(item['input'])}; it must hold keys of its own", f"known here: {keys}", where)
    rule = " or ".join(dict.fromkeys(_rule(one) for one in items)).replace(" or it must be", " or")
    return Problem(f"{path or 'the file'} is {_shown(item['input'])}; {rule}", _SEE, where)


def _rule(item: dict[str, Any]) -> str:
    rule = _RULES.get(item["type"])
    if rule is None:
        message = str(item["msg"]).removeprefix("Value error, ")
        return message[:1].lower() + message[1:]
    return rule.format(**item.get("ctx", {}))


def _shown(value: Any) -> str:  # noqa: ANN401
    """A value as YAML on one line would write it, cut to 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def known_keys(location: Location) -> list[str]:
    """Keys that the schema has at a location; names that a user chooses and list indices are stepped over."""
    kind: Any = ProjectSchema
    for key in location:
        section = _section(kind)
        if section is not None:
            field = section.model_fields.get(str(key))
            kind = field.annotation if field else None
        else:
            kind = next(iter(reversed(get_args(_without_none(kind)))), None)
    section = _section(kind)
    return [field.alias or key for key, field in section.model_fields.items()] if section else []


def _section(kind: Any) -> type[BaseModel] | None:  # noqa: ANN401
    kind = _without_none(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _without_none(kind: Any) -> Any:  # noqa: ANN401
    """The type inside `Annotated[X, …]` and `X | None`."""
    if get_origin(kind) is Annotated:
        return _without_none(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return next((part for part in get_args(kind) if part is not type(None)), None)
    return kind
