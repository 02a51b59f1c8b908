import shutil
from pathlib import Path

import pytest

from modelyard.artifacts.prepared import read_prepared
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
