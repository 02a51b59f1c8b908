"""What a row of a corpus is made of: which columns play which role, and the one text that stands for the row.

| shape | roles | the row's text |
|---|---|---|
| `text` | text | the text |
| `text_label` | text, label | the text |
| `text_labels` | text, label (a list of them) | the text |
| `prompt_completion` | prompt, (input), completion | all of them, one below the other |
| `messages` | messages | what every turn says, one below the other |
| `preference` | (prompt), chosen, rejected | prompt and chosen |

Recognised by name: Alpaca (`instruction`, `input`, `output`), ShareGPT (`conversations` of `from` and `value`), the
OpenAI chat format (`messages` of `role` and `content`), TRL's preference format (`prompt`, `chosen`, `rejected`). Rows
have several labels where the column of the label holds lists.
"""

import ast
import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict

from modelyard.data.reading.decode import BROKEN
from modelyard.data.reading.records import Chunk, as_string
from modelyard.errors import InputError, Problem

ShapeName = Literal["text", "text_label", "text_labels", "prompt_completion", "messages", "preference"]
REQUIRED: dict[ShapeName, tuple[str, ...]] = {
    "text": ("text",),
    "text_label": ("text", "label"),
    "text_labels": ("text", "label"),
    "prompt_completion": ("prompt", "completion"),
    "messages": ("messages",),
    "preference": ("chosen", "rejected"),
}
OPTIONAL: dict[ShapeName, tuple[str, ...]] = {"prompt_completion": ("input",), "preference": ("prompt",)}
_MOST_SPECIFIC_FIRST: tuple[ShapeName, ...] = ("messages", "preference", "prompt_completion", "text_label", "text")
ROLES = ("text", "label", "prompt", "input", "completion", "messages", "chosen", "rejected")
TASKS: dict[ShapeName, str] = {
    "text": "causal_lm",
    "text_label": "classification",
    "text_labels": "multi_label_classification",
    "prompt_completion": "causal_lm",
    "messages": "causal_lm",
    "preference": "preference",
}
NAMES: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations", "conversation"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "completion": ("completion", "output", "response", "answer", "target_text"),
    "prompt": ("prompt", "instruction", "query", "question", "source_text"),
    "input": ("input",),
    "text": ("text", "content", "document", "文本", "内容", "正文"),
    "label": ("label", "labels", "标签"),
}
"""Role -> names of columns that play it, the usual one first."""
SPEAKERS = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_call": "assistant",
    "observation": "tool",
}
"""How turns are named in the chat formats -> the four roles of the OpenAI format."""
MAX_TURNS = 10_000
MAX_LABELS = 1_000
"""Of one row."""
MAX_PRINTED = 256 * 1024
"""Characters of a list as Python prints it: 1,000 labels of the 200 characters that a label may have, and quotes."""
_ESCAPE = r"\\(?:[\\'nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
_ITEM = rf"""(?:'(?:[^'\\\n]|{_ESCAPE})*'|"(?:[^"\\\n]|{_ESCAPE})*")"""
_PRINTED = re.compile(rf"\s*\[\s*(?:{_ITEM}(?:\s*,\s*{_ITEM})*)?\s*\]\s*")
"""What `repr` makes of a list of texts, as pandas' to_csv writes them: nothing else is a literal here."""
_MEANT = re.compile(r"""\[(?:[^'"]*,)?\s*[bru]?['"]""", re.IGNORECASE)
"""How a list of quoted texts begins: `[it's]` has its apostrophe inside a word and is one label."""


class Shape(BaseModel):
    """A shape with the columns that play its roles; picklable, the same for every file of a check.

    Attributes:
        name: of the shape.
        columns: role -> column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ShapeName
    columns: dict[str, str]

    @property
    def labelled(self) -> bool:
        """Whether rows have a label."""
        return self.name in ("text_label", "text_labels")

    @property
    def several(self) -> bool:
        """Whether a row may have several labels, or none of them."""
        return self.name == "text_labels"

    @property
    def wanted(self) -> tuple[str, ...]:
        """Columns that every file must have."""
        return tuple(self.columns[role] for role in REQUIRED[self.name])

    @property
    def text_column(self) -> str:
        """The column of the wide rows that holds the row's text."""
        return self.columns.get("text", TEXT)

    @property
    def stored(self) -> dict[str, str]:
        """Column in `prepared/` -> column of the wide rows, for everything but the label."""
        if self.name == "messages":
            return {"messages": MESSAGES}
        names = {role: column for role, column in self.columns.items() if role not in ("label", "input")}
        return {**names, "prompt": PROMPT} if "input" in self.columns else names


MESSAGES = "\x01messages"
"""Derived column: the turns as JSON with `role` and `content`. No file can name a column so."""
TEXT = "\x01text"
"""Derived column: the row's text where no column of the file is that."""
PROMPT = "\x01prompt"
"""Derived column: instruction and input joined."""


def recognise(columns: Sequence[str], given: Mapping[str, str], where: str) -> Shape:
    """The shape of a file from its columns and what the user said of them.

    Args:
        columns: of the first file.
        given: role -> column, from the user; decides where it is not empty.
        where: what problems point at.

    Raises:
        InputError: a role that there is not; columns that make no shape.
    """
    unknown = [role for role in given if role not in ROLES]
    if unknown:
        raise InputError(
            [
                Problem(f"{role!r} is no role of a column", f"the roles are {', '.join(ROLES)}", where)
                for role in unknown
            ]
        )
    if not columns and not given:  # no row can be read, which the check itself will tell
        given = {"text": "text", "label": "label"}
    found = _by_name(columns) if not given else dict(given)
    if set(given) in ({"text"}, {"label"}):
        by_name = _by_name([column for column in columns if column not in given.values()])
        found = {role: by_name[role] for role in ("text", "label") if role in by_name} | found
    for name in _MOST_SPECIFIC_FIRST:
        if all(role in found for role in REQUIRED[name]):
            roles = (*REQUIRED[name], *OPTIONAL.get(name, ()))
            return Shape(name=name, columns={role: found[role] for role in roles if role in found})
    some = ", ".join(map(repr, columns[:10])) or "none"
    near = difflib.get_close_matches("text", [column.casefold() for column in columns], n=1)
    advice = f"say which with --text{' ' + near[0] if near else ' COLUMN'}, or --fields prompt=COLUMN,completion=COLUMN"
    raise InputError(Problem(f"the columns ({some}) are no shape of rows that is known", advice, where))


def recognise_rows(chunk: Chunk | None, given: Mapping[str, str], where: str) -> Shape:
    """The same from the first rows of a file, None where it has none: lists of labels are known by their values.

    Raises:
        InputError: as `recognise`.
    """
    shape = recognise([] if chunk is None else list(chunk.cells), given, where)
    if shape.name != "text_label" or chunk is None:
        return shape
    several = holds_lists(chunk.cells.get(shape.columns["label"], []))
    return shape.model_copy(update={"name": "text_labels"}) if several else shape


def _by_name(columns: Sequence[str]) -> dict[str, str]:
    by_fold = {column.strip().casefold(): column for column in reversed(columns)}
    return {
        role: next(by_fold[name] for name in names if name in by_fold)
        for role, names in NAMES.items()
        if any(name in by_fold for name in names)
    }


def row_frame(chunk: Chunk, shape: Shape) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """The rows of a chunk as rules see them.

    Returns:
        `text`, `text_type` (what a part of it was where that was no string), `label`, `label_type`, `shape_problem`
        (what keeps it from being a row of this shape, null where it is one): strings, shape (rows, 5); the columns of
        `prepared/` that no column of the file holds as they are.
    """
    count = len(chunk.lines)
    empty: list[str | None] = [None] * count

    def column(role: str) -> list[str | None]:
        return chunk.cells.get(shape.columns.get(role, ""), empty)

    def types(role: str) -> list[str | None]:
        return chunk.types.get(shape.columns.get(role, ""), empty)

    derived: dict[str, pl.Series] = {}
    problems: pl.Series | None = None
    if shape.name == "messages":
        turns = [_turns(cell) for cell in column("messages")]
        text = pl.Series("text", [turn.text for turn in turns], pl.String)
        kinds = pl.Series("text_type", [turn.wrong_type for turn in turns], pl.String)
        problems = pl.Series("shape_problem", [turn.problem for turn in turns], pl.String)
        derived[MESSAGES] = pl.Series(MESSAGES, [turn.written for turn in turns], pl.String)
    else:
        parts = {
            "text": ("text",),
            "text_label": ("text",),
            "text_labels": ("text",),
            "prompt_completion": ("prompt", "input", "completion"),
            "preference": ("prompt", "chosen"),
        }[shape.name]
        present = [role for role in parts if role in shape.columns]
        text = _joined([column(role) for role in present], optional=[role in ("input",) for role in present])
        kinds = _first([types(role) for role in present])
        if "input" in shape.columns:
            derived[PROMPT] = _joined([column("prompt"), column("input")], optional=[False, True]).alias(PROMPT)
    if shape.name == "prompt_completion":
        problems = _completion_problems(column("prompt"), column("completion"))
    if shape.name == "preference":
        problems = _preference_problems(column("chosen"), column("rejected"))
    if shape.text_column == TEXT:
        derived[TEXT] = text.alias(TEXT)
    labels, label_types = column("label"), types("label")
    if shape.several:
        lists = [_label_list(cell) for cell in labels]
        labels, label_types = [one.written for one in lists], [one.problem for one in lists]
    nothing = pl.Series("shape_problem", empty, pl.String)
    frame = pl.DataFrame(
        [
            text.alias("text"),
            kinds.alias("text_type"),
            pl.Series("label", labels, pl.String),
            pl.Series("label_type", label_types, pl.String),
            nothing if problems is None else problems.alias("shape_problem"),
        ]
    )
    return frame, derived


def _joined(parts: list[list[str | None]], optional: list[bool]) -> pl.Series:
    """Cells one below the other; null where one that must be there is, an optional one that is empty left out."""
    if len(parts) == 1:
        return pl.Series("text", parts[0], pl.String)
    frame = pl.DataFrame({str(place): pl.Series(cells, dtype=pl.String) for place, cells in enumerate(parts)})
    required = [pl.col(str(place)).is_not_null() for place, free in enumerate(optional) if not free]
    pieces = [
        pl.when(pl.col(str(place)).str.strip_chars() != "").then(pl.col(str(place))) if free else pl.col(str(place))
        for place, free in enumerate(optional)
    ]
    joined = pl.concat_str(pieces, separator="\n", ignore_nulls=True)
    return frame.select(text=pl.when(pl.all_horizontal(required)).then(joined))["text"]


def _first(columns: list[list[str | None]]) -> pl.Series:
    series = [pl.Series(str(place), cells, pl.String) for place, cells in enumerate(columns)]
    return pl.DataFrame(series).select(text_type=pl.coalesce(pl.all()))["text_type"]


def _completion_problems(prompts: list[str | None], completions: list[str | None]) -> pl.Series:
    return _by_cells(
        {"prompt": prompts, "completion": completions},
        lambda: pl.when(_blank("prompt")).then(pl.lit("the prompt is empty"))
        .when(_blank("completion")).then(pl.lit("the completion is empty")),
    )  # fmt: skip


def _preference_problems(chosen: list[str | None], rejected: list[str | None]) -> pl.Series:
    return _by_cells(
        {"chosen": chosen, "rejected": rejected},
        lambda: pl.when(pl.col("rejected").is_null()).then(pl.lit("there is no rejected answer"))
        .when(_blank("chosen")).then(pl.lit("the chosen answer is empty"))
        .when(pl.col("chosen").str.strip_chars() == pl.col("rejected").str.strip_chars())
        .then(pl.lit("chosen and rejected are the same")),
    )  # fmt: skip


def _blank(column: str) -> pl.Expr:
    return pl.col(column).str.replace_all(r"[\s\p{Cf}]", "") == ""


def _by_cells(columns: Mapping[str, list[str | None]], problem: Callable[[], pl.Expr]) -> pl.Series:
    frame = pl.DataFrame({name: pl.Series(name, cells, pl.String) for name, cells in columns.items()})
    return frame.select(shape_problem=problem())["shape_problem"]


class _Labels(NamedTuple):
    """The labels of a row as a JSON list in their order; or what the label is instead, for `rules.missing`."""

    written: str | None = None
    problem: str | None = None


def _label_list(cell: str | None) -> _Labels:
    """A row's set of labels, each once; a cell that is no list is one label, an empty list none of them."""
    if cell is None or not cell.strip():
        return _Labels()
    found = _list(cell)
    if found is None and looks_like_list(cell):
        return _Labels(problem="""a list that cannot be read: write ["a", "b"], or texts alone as ['a', 'b']""")
    found = [cell] if found is None else found
    if len(found) > MAX_LABELS:
        return _Labels(problem=f"a list of {len(found)}, the most is {MAX_LABELS}")
    texts = [
        one if isinstance(one, str) else as_string(one) for one in found if not isinstance(one, bool | list | dict)
    ]
    names = {text.strip() for text in texts if text is not None}
    if len(texts) < len(found) or None in texts or "" in names:
        return _Labels(problem="a list that holds more than texts and numbers")
    if any(unreadable_text(name) for name in names):
        return _Labels(problem="a list with half of a surrogate pair or a NUL character, which no text holds")
    return _Labels(json.dumps(sorted(names), ensure_ascii=False))


def holds_lists(cells: Sequence[str | None]) -> bool:
    """Whether a column of labels holds lists of them: its first cell that is not empty tells."""
    return looks_like_list(next((cell for cell in cells if cell and cell.strip()), ""))


def looks_like_list(cell: str) -> bool:
    """Whether a cell is meant as a list: it can be read as one, or quotes begin an item, as where NumPy prints one."""
    if _list(cell) is not None:
        return True
    stripped = cell.strip()
    return stripped.endswith("]") and _MEANT.match(stripped) is not None


def listed(cell: str) -> list[str]:
    """The labels of a cell, each once; none of one that holds no labels."""
    written = _label_list(cell).written
    return [] if written is None else list(json.loads(written))


def label_sets(cells: Sequence[str | None]) -> list[str | None]:
    """Cells of labels, each as its set written in one way where there are lists among them; else as they are."""
    if not any(cell is not None and looks_like_list(cell) for cell in cells):
        return list(cells)
    return [None if cell is None else _label_list(cell).written or cell for cell in cells]


def unreadable_text(text: str) -> bool:
    """Whether it holds what no text does, which JSON inside a cell may escape from the parser of the file."""
    return "\0" in text or BROKEN.search(text) is not None


def _list(cell: str) -> list[Any] | None:
    """The list that a cell is, as JSON or, of texts alone, as Python prints one; None for any other cell."""
    if not cell.lstrip().startswith("["):
        return None
    try:
        content = json.loads(cell)
    except (ValueError, RecursionError):
        return _printed_list(cell)
    return content if isinstance(content, list) else None


def _printed_list(cell: str) -> list[str] | None:
    if len(cell) > MAX_PRINTED or _PRINTED.fullmatch(cell) is None:
        return None
    try:
        return list(ast.literal_eval(cell.strip()))
    except (ValueError, SyntaxError):  # a number of a character that there is not
        return None


class _Turn(NamedTuple):
    """A conversation read: its text, its turns written out, and what is wrong with it."""

    text: str | None = None
    written: str | None = None
    wrong_type: str | None = None
    problem: str | None = None


def _turns(cell: str | None) -> _Turn:
    if cell is None or not cell.strip():
        return _Turn()
    try:
        content = json.loads(cell)
    except (ValueError, RecursionError):
        return _Turn(wrong_type="a string that is no JSON list of turns")
    if not isinstance(content, list):
        return _Turn(wrong_type="no list of turns")
    if len(content) > MAX_TURNS:
        return _Turn(text="", problem=f"{len(content)} turns, the most is {MAX_TURNS}")
    turns = [_turn(number, turn) for number, turn in enumerate(content, start=1)]
    problem = next((turn for turn in turns if isinstance(turn, str)), None)
    good = [turn for turn in turns if isinstance(turn, dict)]
    text = "\n".join(turn["content"] for turn in good)
    if any(unreadable_text(value) for turn in good for value in turn.values()):
        return _Turn(wrong_type="one with half of a surrogate pair or a NUL character, which no text holds")
    written = json.dumps(good, ensure_ascii=False)
    return _Turn(text=text, written=written, problem=problem or _order_problem(good))


def _turn(number: int, turn: Any) -> dict[str, str] | str:  # noqa: ANN401  (any JSON value)
    """A turn with `role` and `content`, and `tool_calls` as JSON where there are some; else what is wrong with it."""
    if not isinstance(turn, dict):
        return f"turn {number} is no object"
    speaker = turn.get("role", turn.get("from"))
    role = SPEAKERS.get(speaker.strip().casefold()) if isinstance(speaker, str) else None
    if role is None:
        return f"turn {number} is by {str(speaker)[:40]!r}, no role of a conversation"
    content = _content(turn.get("content", turn.get("value")))
    calls = turn.get("tool_calls") or turn.get("function_call")
    if content is None and not calls:
        return f"turn {number} ({role}) has no content"
    if not (content or "").strip() and not calls:
        return f"turn {number} ({role}) is empty"
    found = {"role": role, "content": content or ""}
    if speaker == "function_call":  # ShareGPT writes the call itself as the content
        return {"role": role, "content": "", "tool_calls": content or ""}
    return {**found, "tool_calls": json.dumps(calls, ensure_ascii=False)} if calls else found


def _content(value: Any) -> str | None:  # noqa: ANN401
    """A turn's text: a string, or the text parts of a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return None


def _order_problem(turns: Sequence[Mapping[str, str]]) -> str | None:
    """What is wrong with the order of the roles.

    System turns stand first; user and assistant take turns, beginning with the user; a tool answers an assistant that
    called it; the last word is the assistant's, because that is what is learnt.
    """
    roles = [turn["role"] for turn in turns]
    first = next((place for place, role in enumerate(roles) if role != "system"), len(roles))
    if "system" in roles[first:]:
        return f"turn {first + roles[first:].index('system') + 1} is by the system, which speaks first or not at all"
    if not roles[first:]:
        return "there is no turn of a user"
    if roles[first] != "user":
        return f"turn {first + 1} is by the {roles[first]}, the first after the system is the user's"
    for place in range(first + 1, len(roles)):
        problem = _succession_problem(turns[place - 1], roles[place], place + 1)
        if problem:
            return problem
    return None if roles[-1] == "assistant" else f"the last turn is by the {roles[-1]}: there is no answer to learn"


def _succession_problem(before: Mapping[str, str], role: str, number: int) -> str | None:
    called = before["role"] == "tool" or "tool_calls" in before
    if role == "tool":
        return None if called else f"turn {number} is by a tool that nobody called"
    if role == before["role"] and not (role == "assistant" and called):
        return f"turns {number - 1} and {number} are both by the {role}"
    if role == "user" and "tool_calls" in before:
        return f"turn {number - 1} calls a tool that never answers"
    return None
