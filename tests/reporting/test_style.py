"""The colours: readable in both modes, by the formula of WCAG 2.2 (relative luminance and contrast ratio)."""

import re
from pathlib import Path

import pytest

import modelyard.reporting

STYLE = (Path(modelyard.reporting.__file__).parent / "style.css").read_text(encoding="utf-8")
TEXT = ("ink", "quiet", "first", "second", "pass", "fail", "unsure")


def colours() -> dict[str, tuple[str, str]]:
    return dict(
        (name, (light, dark)) for name, light, dark in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
    )


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the grey known to fail by a hair


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "raised"])
@pytest.mark.parametrize("name", TEXT)
def test_text_passes_aa(name: str, ground: str, mode: int) -> None:
    assert contrast(colours()[name][mode], colours()[ground][mode]) >= 4.5


def test_every_colour_has_two_modes() -> None:
    assert {*TEXT, "paper", "raised", "line", "hatch"} == set(colours())
    rest = re.sub(r"--\w+: light-dark\([^)]*\);|@media print \{.*", "", STYLE, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b", re.sub(r"#(theme|language)-\w+", "", rest))


def test_nothing_is_loaded() -> None:
    assert "url(" not in STYLE and "@import" not in STYLE and "@font-face" not in STYLE and "</" not in STYLE
