"""Pages that are made from the code stay what the code says."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from modelyard.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """`docs/make_settings.py` as a module."""
    spec = importlib.util.spec_from_file_location("make_settings", DOCS / "make_settings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_settings_page_is_the_schema(made: ModuleType) -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == made.page(), "run: python docs/make_settings.py"


def test_every_setting_has_its_chinese(made: ModuleType) -> None:
    words = json.loads((DOCS / "settings.zh-CN.json").read_text(encoding="utf-8"))
    meanings = {meaning for _, _, meaning in made.rows(made.ProjectSchema, "")}
    lacking = sorted(meanings - set(words))
    assert not lacking, f"write the Chinese of these into docs/settings.zh-CN.json: {lacking}"
    assert len(meanings) >= 35
    for english, chinese in words.items():
        assert re.search(r"[\u4e00-\u9fff]", chinese), english
        # what is code, or a number with its share, is the same in both
        assert sorted(re.findall(r"`[^`]+`", english)) == sorted(re.findall(r"`[^`]+`", chinese)), english
    page = (DOCS / "settings.zh-CN.md").read_text(encoding="utf-8")
    assert page == made.chinese_page(), "run: python docs/make_settings.py"


@pytest.mark.parametrize("name", ["commands.md", "commands.zh-CN.md"])
def test_every_command_has_its_section(name: str) -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    sections = set(re.findall(r"^## ([a-z-]+)$", (DOCS / name).read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert commands == sections
    assert len(commands) >= 14


def test_pages_in_both_languages() -> None:
    chinese = {path.name.removesuffix(".zh-CN.md") for path in DOCS.glob("*.zh-CN.md")}
    assert {"index", "gates", "commands", "serving", "guide-map", "errors"} <= chinese
    assert all((DOCS / f"{name}.md").is_file() for name in chinese)


def measured(name: str) -> list[list[str]]:
    """Numbers of the column `measured` of the guide's map, one list per section."""
    text = (DOCS / name).read_text(encoding="utf-8")
    cells = [line.split(" | ")[2] for line in text.splitlines() if re.match(r"\| \d+ ", line)]
    return [re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e-\d+)?", re.sub(r"`[^`]*`", "", cell)) for cell in cells]


def test_measured_figures_of_the_map_are_in_the_results() -> None:
    files = [DOCS / "demo.md", *sorted((DOCS.parent / "benchmarks" / "results").glob("*.json"))]
    evidence = "\n".join(path.read_text(encoding="utf-8") for path in files)
    english, chinese = measured("guide-map.md"), measured("guide-map.zh-CN.md")
    assert len(english) == len(chinese) == 10
    for section, (here, there) in enumerate(zip(english, chinese, strict=True), start=1):
        assert sorted(here) == sorted(there), f"section {section}: the two pages measure different things"
        lacking = {figure for figure in here if not re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", evidence)}
        assert not lacking, f"section {section}: no file of results and no transcript says {lacking}"
    assert sum(map(len, english)) >= 30
