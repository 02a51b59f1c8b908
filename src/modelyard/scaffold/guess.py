"""Guessing what the columns of a file are, from its first rows; every guess says why."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelyard.data.reading.shapes import holds_lists, listed
from modelyard.errors import Problem

TEXT_NAMES = (
    *("text", "review", "body", "content", "sentence", "comment", "message", "document", "tweet", "question", "query"),
    *(
        "description",
        "review_text",
        "utterance",
        "文本",
        "内容",
        "正文",
        "评论",
        "句子",
        "问题",
        "留言",
        "消息",
        "text_a",
    ),
)
LABEL_NAMES = (
    *("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "queue", "stars", "rating"),
    *("score", "tag", "polarity", "标签", "类别", "分类", "情感", "类型", "星级", "评分", "意图", "主题", "y"),
)
MAX_LABELS = 200
MAX_SLICE_VALUES = 20


@dataclass(frozen=True)
class Head:
    """The first rows of a file.

    Attributes:
        columns: their names in order.
        rows: values as text, None where they are empty.
        bad_rows: what is no row.
        plain: it is a plain text, whose rows are documents or passages.
    """

    columns: list[str]
    rows: list[dict[str, str | None]]
    bad_rows: list[Problem] = field(default_factory=list)
    plain: bool = False

    def values(self, column: str) -> list[str]:
        """The values of a column that are not empty."""
        return [value for row in self.rows if (value := row.get(column)) is not None and value.strip()]


@dataclass(frozen=True)
class Guess:
    """A column, or None where the file does not say, and why."""

    column: str | None
    why: str


def guess_text(head: Head, taken: Sequence[str] = ()) -> Guess:
    """The column of the text: by its name, else the one that is clearly the longest.

    Args:
        head: the first rows.
        taken: columns that are something else.
    """
    free = [column for column in head.columns if column not in taken]
    named = _named(free, TEXT_NAMES)
    if named:
        return Guess(named, "by its name")
    lengths = sorted(((_mean_length(head.values(column)), column) for column in free), reverse=True)
    if not lengths or lengths[0][0] == 0:
        return Guess(None, "no column holds text")
    second = lengths[1][0] if len(lengths) > 1 else 0.0
    if lengths[0][0] < 2 * second:
        return Guess(None, f"{lengths[0][1]!r} and {lengths[1][1]!r} are about equally long")
    return Guess(lengths[0][1], f"the longest values, {lengths[0][0]:.0f} characters on average")


def guess_label(head: Head, taken: Sequence[str] = ()) -> Guess:
    """The column of the label: by its name, else the only one of few values that repeat.

    Args:
        head: the first rows.
        taken: columns that are something else.
    """
    free = [column for column in head.columns if column not in taken]
    named = _named(free, LABEL_NAMES)
    if named:
        return Guess(named, f"by its name, {_counted(head, named)}")
    few = [column for column in free if _repeats(head.values(column), MAX_LABELS)]
    if len(few) == 1:
        return Guess(few[0], f"the only column of few values, {_counted(head, few[0])}")
    if few:
        return Guess(None, f"{', '.join(map(repr, few))} could each be it")
    return Guess(None, "no column has few values that repeat")


def look_swapped(head: Head, text: str, label: str) -> str:
    """Why text and label look swapped; empty where they do not.

    They do where the text has few values that repeat, and the label as many as there are rows, or nearly, and longer.
    """
    texts, labels = head.values(text), head.values(label)
    distinct = len(set(labels))
    if not _repeats(texts, MAX_LABELS) or distinct * 2 < len(labels) or _mean_length(labels) <= _mean_length(texts):
        return ""
    return (
        f"the text {text!r} has {_counted(head, text)}, and the label {label!r} {distinct} different ones: "
        "they look swapped"
    )


def slice_candidates(head: Head, taken: Sequence[str]) -> list[str]:
    """Columns of few repeating values that are neither text nor label: worth judging by."""
    return [
        column for column in head.columns if column not in taken and _repeats(head.values(column), MAX_SLICE_VALUES)
    ]


def latin_share(texts: Sequence[str]) -> float:
    """Share of the letters that are of the Latin script; 1 where there is no letter."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith(("LATIN", "FULLWIDTH LATIN")) for letter in letters)
    return latin / len(letters) if letters else 1.0


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    by_name = {column.strip().casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def _mean_length(values: Sequence[str]) -> float:
    return sum(map(len, values)) / len(values) if values else 0.0


def _repeats(values: Sequence[str], most: int) -> bool:
    distinct = len(set(values))
    return 2 <= distinct <= most and distinct * 5 <= len(values)


def _counted(head: Head, column: str) -> str:
    found = head.values(column)
    several = holds_lists(found)
    values = sorted({label for cell in found for label in listed(cell)} if several else set(found))
    if several and not values:
        return f"lists, of which none in the first {len(head.rows)} rows holds a label that can be read"
    shown = ", ".join(value[:20] for value in values[:4]) + (", …" if len(values) > 4 else "")
    return f"{'lists of ' if several else ''}{len(values)} different in the first {len(head.rows)} rows: {shown}"
