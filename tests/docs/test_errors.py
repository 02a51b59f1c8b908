"""The error index quotes what the program says: every message and rule of it still stands in the code."""

import ast
import re
from pathlib import Path

import pytest

from modelyard.data.rules import RULES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs/errors.md", ROOT / "docs/errors.zh-CN.md"]


def template(node: ast.expr) -> str:
    """A string of the code with `…` for what is filled in; empty for what is no string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def templates() -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py")]
    found = {template(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.expr)}
    return {re.sub("…+", "…", text) for text in found if " " in text}


def quoted(page: Path) -> list[str]:
    """The first cell of every row of a table, heads and rules aside."""
    rows = re.findall(r"^\| (`+)(.+?)\1 \| ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [message for _, message in rows]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_quoted_message_is_said_by_the_code(page: Path) -> None:
    names, said = {rule.name for rule in RULES}, templates()
    messages = quoted(page)
    rules = [message for message in messages if re.fullmatch(r"[a-z_]+(`, `[a-z_]+)*", message)]
    assert {name for row in rules for name in row.split("`, `")} <= names
    missing = [text for text in messages if text not in rules and not any(text in one for one in said)]
    assert missing == []
    assert len(messages) >= 80


def test_both_pages_quote_the_same() -> None:
    assert quoted(PAGES[0]) == quoted(PAGES[1])
    assert len(set(quoted(PAGES[0]))) == len(quoted(PAGES[0]))
