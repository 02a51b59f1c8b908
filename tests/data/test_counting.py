"""What the meeting counts."""

from pathlib import Path
from typing import Any

import pytest

from modelyard.data import counting, placing
from modelyard.data.meeting import Connection
from modelyard.data.split import shares_of
from modelyard.errors import InputError


def test_a_column_of_texts_is_no_column_of_classes(
    connection: Connection, load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MAX_VALUES", 3)
    load(connection, tmp_path, [(f"text of number {n}", f"label {n}", "train", None) for n in range(40)])
    placing.place_rows(connection, tmp_path, shares=shares_of(0.2, 0.2), seed=1, grouped=False)
    with pytest.raises(InputError, match="more than 3 different values"):
        counting.split_counts(connection, [])
