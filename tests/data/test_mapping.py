"""The map step: the same files whatever the number of processes, and what is told when one dies."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from modelyard.data import mapping
from modelyard.data.features import NARROW_SCHEMA, Plan
from modelyard.data.mapping import Part, Task, bundles, field_name, map_bundles, wide_name
from modelyard.data.reading.shapes import Shape
from modelyard.data.reading.survey import Cut, Surveyed
from modelyard.errors import InputError
from modelyard.progress import silent

SHAPE = Shape(name="text_label", columns={"text": "text", "label": "label"})
PLAN = Plan(shape=SHAPE, slices={"Site": "Site"}, rules=("text_too_short", "fields_present"))


def parts(folder: Path, files: int) -> list[Part]:
    made = []
    for number in range(files):
        path = folder / f"{number}.csv"
        path.write_text(f"text,label,Site\nlong enough {number},a,film\nshort,b,\n", encoding="utf-8")
        size = path.stat().st_size
        cut = Cut(0, size, 1)
        surveyed = Surveyed(path.name, path, "csv", "sha256:0", "utf-8", False, (cut,), size)
        made.append(Part(file=number, surveyed=surveyed, cut=cut, split="train"))
    return made


def mapped(folder: Path, processes: int, monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    monkeypatch.setattr(mapping, "INLINE_BYTES", 0)
    monkeypatch.setattr(mapping, "PIECE_BYTES", 100)
    scratch = folder / f"scratch-{processes}"
    scratch.mkdir()
    work = bundles(parts(folder, 5))
    assert len(work) > 1
    found = map_bundles(work, Task(PLAN, scratch), processes=processes, progress=silent)
    assert sum(one.rows for one in found) == 10
    return [pl.read_parquet(path) for path in sorted(scratch.glob("*.parquet"))]


def test_processes_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, together = (mapped(tmp_path, processes, monkeypatch) for processes in (1, 2))
    assert len(alone) == len(together)
    for one, other in zip(alone, together, strict=True):
        assert one.equals(other)
    narrow = alone[0]
    assert set(NARROW_SCHEMA) - {"row"} <= set(narrow.columns)
    assert narrow["rule"].to_list()[:2] == [None, "text_too_short"]
    assert narrow["evidence"].to_list()[:2] == [None, "5 characters, the least is 10"]
    assert narrow[mapping.slice_name("Site")].to_list()[:2] == ["film", "(none)"]


def test_a_file_that_is_gone_is_told_by_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "INLINE_BYTES", 0)
    made = parts(tmp_path, 2)
    (tmp_path / "1.csv").unlink()
    with pytest.raises(InputError, match=r"1\.csv cannot be used: No such file"):
        map_bundles(bundles(made), Task(PLAN, tmp_path), processes=2, progress=silent)


def test_a_worker_that_dies_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "INLINE_BYTES", 0)
    monkeypatch.setattr(mapping, "_start_worker", lambda *_: _dead_process())
    with pytest.raises(InputError, match=r"the process that read 0\.csv, 1\.csv ended with signal 9"):
        map_bundles(bundles(parts(tmp_path, 2)), Task(PLAN, tmp_path), processes=2, progress=silent)


def _dead_process() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")


def test_names_that_differ_by_case_alone_stay_apart() -> None:
    names = ["Text", "text", "正文", "place", "\x01raw", 'a"b']
    assert [field_name(wide_name(name)) for name in names] == names
    assert len({wide_name(name).casefold() for name in names}) == len(names)


def test_many_small_files_go_in_bundles_of_so_many(tmp_path: Path) -> None:
    """A bundle of 100,000 files would be one process's work, and their frames gigabytes."""
    made = parts(tmp_path, 1)
    work = bundles([made[0]] * (2 * mapping.BUNDLE_PARTS + 1))
    assert [len(bundle.parts) for bundle in work] == [mapping.BUNDLE_PARTS, mapping.BUNDLE_PARTS, 1]


def test_ranges_of_parquet_rows_count_as_large_as_their_share_of_the_file(tmp_path: Path) -> None:
    cuts = (Cut(0, 900, 1), Cut(900, 1_000, 901))
    surveyed = Surveyed("a.parquet", tmp_path / "a.parquet", "parquet", "sha256:0", "", False, cuts, 4_000_000)
    empty = Surveyed("b.parquet", tmp_path / "b.parquet", "parquet", "sha256:0", "", False, (Cut(0, 0, 1),), 500)
    made = [Part(file=0, surveyed=file, cut=cut, split="train") for file in (surveyed, empty) for cut in file.cuts]
    # three times as large in memory as on disk
    assert [(len(bundle.parts), bundle.size_bytes) for bundle in bundles(made)] == [(1, 10_800_000), (2, 1_200_000)]
