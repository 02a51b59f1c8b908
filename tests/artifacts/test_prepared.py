import errno
import shutil
from pathlib import Path

import polars as pl
import pytest

from modelyard.artifacts.prepared import read_prepared, scopes, write_frame
from modelyard.errors import InputError


def test_splits_keep_their_order_and_labels_their_index(tiny_prepared: Path) -> None:
    prepared = read_prepared(tiny_prepared)
    frame = prepared.split("test")
    assert frame.height == prepared.dataset.counts["test"] == 80
    assert frame["source"].to_list() == [f"rows.csv:{line}" for line in range(222, 302)]
    assert prepared.label_indices("test")[:4] == [0, 1, 0, 1]  # make_rows alternates bad and good


def test_a_changed_and_a_missing_split_are_named_together(tiny_prepared: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_prepared, tmp_path / "prepared"))
    (folder / "train.parquet").unlink()
    with (folder / "test.parquet").open("ab") as handle:
        handle.write(b"x")
    with pytest.raises(InputError) as caught:
        read_prepared(folder)
    assert [problem.message.split()[0] for problem in caught.value.problems] == ["train.parquet", "test.parquet"]


def test_scopes_are_every_slice_then_every_class() -> None:
    frame = pl.DataFrame({"label": ["good", "bad", "good"], "site": ["b", None, "a"], "year": [9, 9, 10]})
    assert [(name, rows.tolist()) for name, rows in scopes(frame, label="label", slices=["year", "site"])] == [
        ("slice:year=10", [False, False, True]),
        ("slice:year=9", [True, True, False]),
        ("slice:site=(none)", [False, True, False]),
        ("slice:site=a", [False, False, True]),
        ("slice:site=b", [True, False, False]),
        ("class:bad", [False, True, False]),
        ("class:good", [True, False, True]),
    ]


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no /dev/full, a file on a disk that is always full"
)
def test_a_full_disk_is_the_systems_own_error(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": ["a", "好"]})
    with pytest.raises(OSError) as caught:
        write_frame(frame, Path("/dev/full"))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")
    write_frame(frame, tmp_path / "rows.parquet")
    assert pl.read_parquet(tmp_path / "rows.parquet")["text"].to_list() == ["a", "好"]


def test_an_end_of_file_that_cannot_be_written_is_the_systems_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("parquet: File out of specification: Invalid thrift: transport error")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fails)
    with pytest.raises(OSError, match="transport error") as caught:
        write_frame(pl.DataFrame({"text": ["a"]}), tmp_path / "rows.parquet")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "rows.parquet"))
