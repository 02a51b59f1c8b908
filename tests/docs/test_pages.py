"""Pages that are made from the code stay what the code says."""

import importlib.util
import re
from pathlib import Path

from typer.main import get_command

from modelyard.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"


def test_settings_page_is_the_schema() -> None:
    spec = importlib.util.spec_from_file_location("make_settings", DOCS / "make_settings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == module.page(), "run: python docs/make_settings.py"


def test_every_command_has_its_section() -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    sections = set(
        re.findall(r"^## ([a-z-]+)$", (DOCS / "commands.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert commands == sections
    assert len(commands) >= 14


def test_pages_in_both_languages() -> None:
    chinese = {path.name.removesuffix(".zh-CN.md") for path in DOCS.glob("*.zh-CN.md")}
    assert {"index", "gates", "errors"} <= chinese
