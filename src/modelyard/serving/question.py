"""The texts of a request, from its body or its query: every problem named, and no more of them than a person reads."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictStr

from modelyard.artifacts.release import Limits
from modelyard.errors import InputError, Problem

SHAPE = 'send {"inputs": "one text"} or {"inputs": ["many", "texts"]}, or ?text=...'
MAX_PROBLEMS = 20
"""Of one request. A body of 1 MB can hold 500,000 things that are no text: naming each took 25 s of the event loop, in
which nobody else was answered, and made an answer of 101 MB."""
_KINDS = {"dict": "an object", "list": "a list", "str": "a text", "NoneType": "null", "bool": "true or false"}


class Question(BaseModel):
    """The body of `POST /predict`, as it is described to programs."""

    model_config = ConfigDict(extra="forbid")

    inputs: StrictStr | list[StrictStr]
    """One text, or many."""


class NotJson(InputError):
    """The body cannot be parsed."""


def read_question(body: bytes, text: str | None, limits: Limits) -> list[str]:
    """The texts that are asked, as they came: 1 to `limits.inputs` of them.

    Args:
        body: of the request.
        text: of `?text=`; None where there is none.
        limits: of the release.

    Raises:
        NotJson: the body is no JSON.
        InputError: it is, and not a question: its first 20 problems.
    """
    if text is not None:
        if body.strip():
            raise InputError(Problem("both a body and ?text= were sent", "send one of them", "text"))
        return [text]
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotJson(Problem(f"the body is not JSON: {error}"[:200], SHAPE, "body")) from error
    if not isinstance(content, dict):
        raise InputError(Problem(f"the body is {_kind(content)}, expected an object", SHAPE, "body"))
    problems = [
        Problem(
            f"{_short(name)} is not known here", "leave it out: a question has inputs and nothing else", _short(name)
        )
        for name in content
        if name != "inputs"
    ]
    if "inputs" not in content:
        problems.append(Problem("inputs is missing", SHAPE, "inputs"))
    inputs: Any = [content["inputs"]] if isinstance(content.get("inputs"), str) else content.get("inputs")
    if "inputs" in content:
        problems += _problems(inputs, limits)
    if problems:
        raise InputError(_first(problems))
    return list(inputs)


def _problems(inputs: object, limits: Limits) -> list[Problem]:
    if not isinstance(inputs, list):
        return [Problem(f"inputs is {_kind(inputs)}, expected a text or a list of texts", SHAPE, "inputs")]
    if not 1 <= len(inputs) <= limits.inputs:
        message = f"{len(inputs)} inputs, a request has 1 to {limits.inputs}"
        return [Problem(message, "send them in several requests, or send at least one", "inputs")]
    return [
        Problem(f"an input is {_kind(value)}, expected a text", SHAPE, f"inputs[{place}]")
        for place, value in enumerate(inputs)
        if not isinstance(value, str)
    ]


def _first(problems: list[Problem]) -> list[Problem]:
    hidden = len(problems) - MAX_PROBLEMS
    if hidden <= 0:
        return problems
    return [*problems[:MAX_PROBLEMS], Problem(f"{hidden} problems more", "mend these first", "body")]


def _short(name: str) -> str:
    """A name that a client made up: as it is where that is harmless to print, cut short."""
    cut = name[:80] + ("…" if len(name) > 80 else "")
    return cut if cut.isprintable() else ascii(cut)


def _kind(value: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    return _KINDS.get(type(value).__name__, "a number")
