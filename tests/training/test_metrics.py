"""The lines of a training: fresh, or kept up to where it goes on; what has no number, what cannot be written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from modelyard.errors import InputError
from modelyard.training.checkpoint_state import Saved
from modelyard.training.metrics import recorded


@dataclass(frozen=True)
class Step:
    step: int


def saved_after(step: int) -> Saved:
    return Saved(Path(), cast("Any", Step(step)))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_fresh_file_a_line_a_call_and_null_for_what_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "reports/metrics.jsonl"
    path.parent.mkdir()
    path.write_text("of an earlier training\n")
    with recorded(path, None) as record:
        record({"step": 1, "loss": float("nan"), "inner": {"norm": float("inf"), "text": "损失"}})
        assert lines(path) == [{"step": 1, "loss": None, "inner": {"norm": None, "text": "损失"}}]
        record({"step": 2})
    assert len(lines(path)) == 2


def test_where_it_goes_on_the_lines_until_there_stay(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written = [
        {"precision_seconds": {}},
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": 1.0},
        {"saved_after_step": 2},
        {"step": 2, "validation_loss": 1.5},  # evaluated after the save: it will be done again
        {"step": 3, "loss": 0.5},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in written) + '{"step": 4, "lo')
    with recorded(path, saved_after(2)) as record:
        record({"resumed_after_step": 2})
    assert lines(path) == [*written[:4], {"resumed_after_step": 2}]


@pytest.mark.parametrize(
    "left", [b"\0" * 40, b"\0" * 40 + b"\n", b'{"step": 2, "lo\0\0\0\n', b"\xff\xfe\n", b"2\n", b"[]\n"]
)
def test_what_a_power_cut_left_of_a_line_is_passed_over(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + left)
    with recorded(path, saved_after(2)) as record:
        record({"step": 3})
    assert lines(path) == [{"step": 1}, {"step": 3}]


def test_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    (tmp_path / "link").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(InputError, match="link is a symbolic link"), recorded(tmp_path / "link", None):
        pass
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    with pytest.raises(InputError, match="cannot be written") as caught, recorded(tmp_path, None):
        pass
    (problem,) = caught.value.problems
    assert "it goes on from the last checkpoint where there is one; or" in problem.next_step
    assert problem.next_step.endswith("choose a place you may write to with --reports")
