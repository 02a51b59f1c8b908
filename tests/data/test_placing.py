"""Where rows go: by their texts and a seed, stratified by label, groups whole."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from modelyard.data import counting, meeting, placing
from modelyard.data.mapping import wide_name
from modelyard.data.meeting import Connection
from modelyard.data.split import shares_of


def placed(connection: Connection) -> dict[str, str]:
    query = "SELECT wide.{}, placed.split FROM placed JOIN rows USING (row) JOIN wide USING (piece, place)"
    return dict(connection.execute(query.format(wide_name("text"))).fetchall())


def test_places_depend_on_texts_and_seed_alone(load: Any, tmp_path: Path) -> None:
    texts = [(f"text of number {n}", "ab"[n % 2]) for n in range(200)]
    found = []
    for number, order in enumerate((texts, texts[::-1])):
        folder = tmp_path / str(number)
        folder.mkdir()
        with meeting.open_meeting(folder, memory_bytes=200 * 1024**2, threads=2) as opened:
            load(opened, folder, [(text, label, "train", None) for text, label in order])
            placing.place_rows(opened, folder, shares=shares_of(0.15, 0.25), seed=7, grouped=False)
            found.append(placed(opened))
            counts = counting.split_counts(opened, ["site"])
    assert found[0] == found[1]
    assert {name: one.labels for name, one in counts.items()} == {
        "train": {"a": 60, "b": 60},
        "validation": {"a": 15, "b": 15},
        "test": {"a": 25, "b": 25},
    }
    assert counts["test"].slices == {"site": {"film": 50}}

    def hashed(text: str) -> str:
        ident = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        return hashlib.sha256(f"7\n{ident}".encode()).hexdigest()

    # of each label the first 60 in the order of SHA-256 over seed and id are train
    own = sorted((text for text, label in texts if label == "a"), key=hashed)
    assert {text for text in own[:60]} == {text for text in own if found[0][text] == "train"}


@pytest.mark.parametrize("greedy", [200_000, 5])
def test_groups_stay_whole(
    greedy: int, connection: Connection, load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "GREEDY_GROUPS", greedy)
    rows = [(f"text of number {n}", "a", "train", f"g{n % 60}" if n % 3 else None) for n in range(600)]
    load(connection, tmp_path, rows)
    placing.place_rows(connection, tmp_path, shares=shares_of(0.2, 0.2), seed=1, grouped=True)
    home = placed(connection)
    splits: dict[str, set[str]] = {}
    for text, _, _, group in rows:
        if group:
            splits.setdefault(group, set()).add(home[text])
    assert all(len(one) == 1 for one in splits.values())
    assert len(home) == 600
    assert 0.1 < sum(split == "test" for split in home.values()) / 600 < 0.3
