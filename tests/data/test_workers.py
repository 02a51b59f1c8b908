"""Who maps: the same files whatever the number of workers, and what is told when one dies."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from modelyard.data import mapping, workers
from modelyard.data.features import NARROW_SCHEMA, Plan
from modelyard.data.mapping import Bundle, Mapped, Part, Task, bundles
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


def map_all(work: Sequence[Bundle], task: Task, most: int) -> list[Mapped]:
    files = [part.surveyed.plain for bundle in work for part in bundle.parts]
    with workers.started(task, files, most) as ready:
        assert len(ready) == (most if most > 1 else 0)
        return workers.map_bundles(work, task, ready, silent)


def mapped(folder: Path, processes: int, monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    monkeypatch.setattr(workers, "INLINE_BYTES", 0)
    monkeypatch.setattr(workers, "PIECE_BYTES", 1)
    monkeypatch.setattr(mapping, "PIECE_BYTES", 100)
    scratch = folder / f"scratch-{processes}"
    scratch.mkdir()
    work = bundles(parts(folder, 5))
    assert len(work) > 1
    found = map_all(work, Task(PLAN, scratch), processes)
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
    monkeypatch.setattr(workers, "INLINE_BYTES", 0)
    monkeypatch.setattr(workers, "PIECE_BYTES", 1)
    made = parts(tmp_path, 2)
    (tmp_path / "1.csv").unlink()
    with pytest.raises(InputError, match=r"1\.csv cannot be used: No such file"):
        map_all(bundles(made), Task(PLAN, tmp_path), 2)


def test_a_worker_that_dies_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "INLINE_BYTES", 0)
    monkeypatch.setattr(workers, "PIECE_BYTES", 1)
    monkeypatch.setattr(workers, "_start_worker", lambda *_: _dead_process())
    with pytest.raises(InputError, match=r"the process that read 0\.csv, 1\.csv ended with signal 9"):
        map_all(bundles(parts(tmp_path, 2)), Task(PLAN, tmp_path), 2)


def _dead_process() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")


def test_a_few_mib_start_no_worker(tmp_path: Path) -> None:
    made = parts(tmp_path, 2)
    with workers.started(Task(PLAN, tmp_path), [part.surveyed.plain for part in made], 2) as ready:
        assert ready == []


def test_workers_end_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be looked through must not leave processes behind."""
    monkeypatch.setattr(workers, "INLINE_BYTES", 0)
    monkeypatch.setattr(workers, "PIECE_BYTES", 1)
    kept: list[subprocess.Popen[str]] = []
    with pytest.raises(RuntimeError), workers.started(Task(PLAN, tmp_path), [Path("gone.csv")] * 3000, 2) as ready:
        kept += ready
        raise RuntimeError
    assert [worker.returncode for worker in kept] == [-9, -9]
