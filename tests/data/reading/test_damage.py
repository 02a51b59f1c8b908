"""A Parquet file is read once by a process that may die of it."""

from pathlib import Path

import polars as pl
import pytest

from modelyard.data.reading import damage
from modelyard.data.reading.damage import find_damage


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    pl.DataFrame({"text": ["a", "b"]}).write_parquet(tmp_path / "x [1].parquet")
    return tmp_path / "x [1].parquet"


def test_a_whole_file_has_none(whole: Path) -> None:
    assert find_damage(whole) == ""


def test_why_is_said_in_one_line(whole: Path) -> None:
    whole.write_bytes(whole.read_bytes()[:-1])
    said = find_damage(whole)
    assert "PAR1" in said and "\n" not in said


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", r"end the program that reads them \(signal 6\)"),
        ("while True: pass", "takes more than 1 s"),
    ],
)
def test_a_reader_that_dies_or_waits_for_ever(
    whole: Path, program: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    monkeypatch.setattr(damage, "LEAST_SECONDS", 1)
    monkeypatch.setattr(damage, "_READ", program)
    assert re.search(words, find_damage(whole))


def test_no_module_of_the_folder_one_stands_in_is_run(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole.parent / "polars.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(whole.parent)
    assert find_damage(Path(whole.name)) == ""
