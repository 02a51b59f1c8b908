from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.compression.reference import Reference, read_reference, write_reference
from modelyard.errors import InputError


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    logits = np.array([[0.1, 0.7], [0.5, 0.5], [2.0, -1.0]], dtype=np.float32)
    write_reference(tmp_path, "test", Reference(["a", "b", "c"], logits, np.array([1, 1, 0])))
    read = read_reference(tmp_path, "test")
    assert read.ids == ["a", "b", "c"]
    np.testing.assert_array_equal(read.logits, logits)
    assert read.right.tolist() == [True, False, True]  # the first of equal maxima wins


@pytest.mark.parametrize(
    "content",
    [None, b"not parquet", {"id": ["a"]}, {"id": ["a"], "logits": [1.0], "label_index": [0]}],
)
def test_anything_else_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "reference" / "validation.parquet"
    path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        pl.DataFrame(content).write_parquet(path)
    with pytest.raises(InputError, match="reference answers cannot be read"):
        read_reference(tmp_path, "validation")
