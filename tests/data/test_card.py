"""The dataset card: what stands in it, and that no name in it becomes markup."""

import json
from pathlib import Path

import pytest
import yaml

from modelyard.data.check import check
from modelyard.data.reading.shapes import Shape
from modelyard.project.data import DataSection
from modelyard.project.gates import GatesSection

HOSTILE = "<script>alert(1)</script>`|**a**[x](javascript:1)"


def card_of(folder: Path, rows: list[dict[str, str]], shape: Shape, name: str = "rows.jsonl") -> str:
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    check(
        DataSection(train=name),
        project=HOSTILE,
        shape=shape,
        root=folder,
        prepared=folder / "prepared",
        reports=folder / "reports",
        gates=GatesSection(),
    )
    return (folder / "prepared/README.md").read_text(encoding="utf-8")


def test_the_head_names_the_splits_as_the_hub_reads_them(tmp_path: Path) -> None:
    rows = [{"text": f"The weather in city number {n} was fine all day long."} for n in range(400)]
    card = card_of(tmp_path, rows, Shape(name="text", columns={"text": "text"}))
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"{name}.parquet"} for name in ("train", "validation", "test")],
            }
        ],
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
    }
    assert "## Labels" not in body


def test_what_was_dropped_and_labels_are_counted(tmp_path: Path) -> None:
    rows = [{"text": f"a sentence about thing {n * 7919}", "label": HOSTILE if n % 2 else "b"} for n in range(100)]
    rows += [rows[0], {"text": "short", "label": "b"}]
    card = card_of(tmp_path, rows, Shape(name="text_label", columns={"text": "text", "label": "label"}))
    assert "102 rows read, 2 dropped" in card
    assert "| `duplicate_exact` | 1 | 0.98% | PASS |" in card
    assert "| `text_too_short` | 1 | 0.98% | PASS |" in card
    (line,) = [line for line in card.splitlines() if line.startswith("| b |")]
    assert sum(int(cell) for cell in line.split("|")[2:5]) == 50


@pytest.mark.parametrize("place", ["label", "file"])
def test_no_name_becomes_markup(tmp_path: Path, place: str) -> None:
    rows = [{"text": f"a sentence about thing {n * 7919}", "label": HOSTILE if n % 2 else "b"} for n in range(60)]
    name = "a`|<b>*.jsonl" if place == "file" else "rows.jsonl"
    card = card_of(tmp_path, rows, Shape(name="text_label", columns={"text": "text", "label": "label"}), name)
    outside = [part for line in card.splitlines() for part in line.split("`")[::2]]
    assert not any(mark in part for part in outside for mark in ("<script", "<b>", "[x](", "**a**"))
    tables = [line for line in card.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") in (3, 4, 5) for line in tables)
