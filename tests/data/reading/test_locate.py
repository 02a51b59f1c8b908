from pathlib import Path

import pytest

from modelyard.data.reading.locate import file_format, locate, shown_path
from modelyard.errors import InputError


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def names_of(found: tuple[list[Path], list[str]], root: Path) -> list[str]:
    return [shown_path(path, root) for path in found[0]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A.CSV", "csv"),
        ("a.tsv.gz", "tsv"),
        ("a.ndjson.zst", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.txt.gz", "text"),
        ("a.md", None),
    ],
)
def test_format_by_name(name: str, kind: str | None) -> None:
    assert file_format(Path(name)) == kind


def test_folder_glob_and_list_in_one_order(tmp_path: Path) -> None:
    fill(tmp_path, "data/b.csv", "data/a/z.jsonl", "data/.hidden.csv", "data/.git/c.csv", "data/readme.md")
    found = locate("data", tmp_path)
    assert names_of(found, tmp_path) == ["data/a/z.jsonl", "data/b.csv"]
    assert found[1] == ["not read, of another kind: data/readme.md"]
    assert names_of(locate("data/**/*.csv", tmp_path), tmp_path) == ["data/b.csv"]
    assert names_of(locate(["data/b.csv", "data", "data/b.csv"], tmp_path), tmp_path) == [
        "data/a/z.jsonl",
        "data/b.csv",
    ]


@pytest.mark.parametrize("folder", ["plain", "with [brackets] and *"])
def test_a_glob_is_relative_to_the_root_however_the_root_is_named(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / folder, "data/a.csv", "data/b.csv")
    monkeypatch.chdir(tmp_path / folder)
    for root in (Path(), tmp_path / folder):
        assert names_of(locate("data/*.csv", root), root) == ["data/a.csv", "data/b.csv"]
        assert names_of(locate("*/a.csv", root), root) == ["data/a.csv"]
    monkeypatch.chdir(tmp_path)
    assert names_of(locate("data/*.csv", Path(folder)), Path(folder)) == ["data/a.csv", "data/b.csv"]
    assert names_of(locate(str(tmp_path / "*/data/b.csv"), Path()), tmp_path) == [f"{folder}/data/b.csv"]


def test_every_problem_at_once(tmp_path: Path) -> None:
    fill(tmp_path, "a.xlsx", "empty/readme.md")
    with pytest.raises(InputError) as caught:
        locate(["a.xlsx", "nowhere.csv", "empty"], tmp_path)
    assert len(caught.value.problems) == 2  # the folder is not complained about on top of the names
    assert "does not exist" in str(caught.value)
    with pytest.raises(InputError, match="holds no file that is read"):
        locate("empty", tmp_path)


def test_texts_beside_tables_are_passed_over_and_told(tmp_path: Path) -> None:
    fill(tmp_path, "books/a/1.txt", "books/2.txt", "mixed/rows.csv", "mixed/README.txt")
    assert names_of(locate("books", tmp_path), tmp_path) == ["books/2.txt", "books/a/1.txt"]
    assert locate("mixed", tmp_path)[1] == ["not read, of another kind: mixed/README.txt"]
    for name in ("mixed", "mixed/*"):
        assert names_of(locate(name, tmp_path), tmp_path) == ["mixed/rows.csv"]
    both = ["mixed/rows.csv", "mixed/README.txt"]  # named by itself: meant
    assert names_of(locate(both, tmp_path), tmp_path) == sorted(both)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, "data/a.csv", "secret/b.csv")
    (tmp_path / "data/inside.csv").symlink_to("a.csv")
    assert names_of(locate("data", tmp_path), tmp_path) == ["data/a.csv"]  # the same file once
    (tmp_path / "data/out.csv").symlink_to("../secret/b.csv")
    (tmp_path / "data/folder").symlink_to("../secret")
    with pytest.raises(InputError) as caught:
        locate("data", tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["data/folder", "data/out.csv"]
    with pytest.raises(InputError, match="symbolic link"):
        locate("data/*.csv", tmp_path)
    assert names_of(locate("data/out.csv", tmp_path), tmp_path) == ["data/out.csv"]  # named itself: meant


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.csv", "b.csv")
    monkeypatch.setattr("modelyard.data.reading.locate.MAX_FILES", 1)
    with pytest.raises(InputError, match="the limit is 1"):
        locate("*.csv", tmp_path)


def test_more_than_three_skipped_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "d/a.csv", "d/1.txt", "d/2.txt", "d/3.txt", "d/4.txt")
    assert locate("d", tmp_path)[1][0].endswith("d/3.txt and 1 more")


def test_outside_the_root_the_path_is_absolute(tmp_path: Path) -> None:
    assert shown_path(tmp_path / "a.csv", tmp_path / "project") == (tmp_path / "a.csv").as_posix()


@pytest.mark.parametrize("pattern", ["d/**/*.jsonl", "d/**", "**/a.jsonl", "d/**.jsonl", "d/*"])
def test_links_that_lead_back_end_and_hidden_files_are_not_matched(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a.jsonl", ".hidden.jsonl"):
        (tmp_path / "d" / name).write_text("{}\n")
    for name in ("one", "two"):
        (tmp_path / "d" / name).symlink_to(".", target_is_directory=True)
    for where in (pattern, str(tmp_path / pattern)):
        found, _ = locate(where, tmp_path)
        assert [path.relative_to(tmp_path).as_posix() for path in found] == ["d/a.jsonl"]


def test_hidden_files_are_matched_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / ".hidden.jsonl").write_text("{}\n")
    found, _ = locate(".hid*.jsonl", tmp_path)
    assert [path.name for path in found] == [".hidden.jsonl"]
