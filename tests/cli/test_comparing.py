import json
import random
from pathlib import Path

import pytest

from modelyard.cli.main import main


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments])
    return int(ended.value.code or 0)


def write(path: Path, count: int, seed: int, share: float = 0.5) -> None:
    choose = random.Random(seed)
    lines = [
        f"{' '.join(choose.choices(['one', 'two', 'three', 'four'], k=6))} {choose.randrange(10**6)},"
        f"{'good' if choose.random() < share else 'bad'}"
        for _ in range(count)
    ]
    path.write_text("\n".join(["review,stars", *lines, ""]))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "old.csv", 2500, 1)
    write(tmp_path / "new.csv", 2500, 2)
    write(tmp_path / "moved.csv", 2500, 3, 0.8)
    write(tmp_path / "few.csv", 30, 4)
    return tmp_path


COLUMNS = ("--text", "review", "--label", "stars")


def test_exit_statuses(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("old.csv", "new.csv", *COLUMNS) == 0
    assert "compare: old.csv -> new.csv" in capsys.readouterr().out
    assert call("old.csv", "moved.csv", *COLUMNS) == 1
    assert "most moved: 'good'" in capsys.readouterr().out
    assert call("old.csv", "few.csv", *COLUMNS) == 3
    assert call("old.csv", "new.csv") == 2
    assert "there is no column 'text'" in capsys.readouterr().err
    assert {path.name for path in files.iterdir()} == {"old.csv", "new.csv", "moved.csv", "few.csv"}


def test_a_text_has_no_other_column(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "book.txt").write_text("A text and nothing beside it.\n")
    assert call("book.txt", "old.csv", *COLUMNS) == 2
    said = capsys.readouterr().err
    assert "book.txt: a plain text has no column 'review', 'stars'" in said
    assert "for texts alone leave out --text, leave out --label" in said


def test_limits_of_ones_own(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("old.csv", "moved.csv", *COLUMNS, "--max", "psi=1") == 0
    assert call("old.csv", "moved.csv", "--max", "psi", "--max", "ks=x") == 2
    shown = capsys.readouterr().err
    assert "'psi' is not MEASURE=VALUE" in shown and "'ks=x' is not MEASURE=VALUE" in shown
    assert call("old.csv", "moved.csv", "--max", "pis=1") == 2
    assert "did you mean psi" in capsys.readouterr().err


def test_json_a_folder_and_a_page(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("old.csv", "new.csv", *COLUMNS, "--json", "--output", "out", "--html", "page.html") == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "compare"
    assert {path.name for path in (files / "out").iterdir()} == {"compare.json", "compare.run.json"}
    page = (files / "page.html").read_text(encoding="utf-8")
    assert "没有超出限值的变化" in page and page.count('class="curve second"') == 4
    (files / "mine.html").write_text("<p>mine")
    assert call("old.csv", "new.csv", *COLUMNS, "--html", "mine.html") == 2
    assert "is no report page of ours" in capsys.readouterr().err


def test_every_measure_is_listed_before_anything_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--measures") == 0
    shown = capsys.readouterr().out
    for name in ("ks", "wasserstein", "psi", "chi_squared", "text_classifier", "missing", "relabelled"):
        assert f"{name} " in shown
    assert "at most 0.55" in shown and "Lopez-Paz" in shown
