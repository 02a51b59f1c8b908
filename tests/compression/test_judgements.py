import errno
import os
from pathlib import Path

import pytest

from modelyard.compression import judgements
from modelyard.compression.judgements import FILE, Judgement, judge_wear, record_judgements
from modelyard.errors import InputError


def of(test: str, artefact: str) -> Judgement:
    return Judgement(test=test, artefact=artefact, candidate="小")


def test_the_same_artefact_counts_once_and_another_test_split_begins_anew(tmp_path: Path) -> None:
    assert record_judgements(tmp_path, []) == 0
    assert not (tmp_path / FILE).exists()
    assert record_judgements(tmp_path, [of("t", "a"), of("t", "a")]) == 1
    assert record_judgements(tmp_path, [of("t", "a"), of("t", "b")]) == 2
    assert record_judgements(tmp_path, [of("other", "a")]) == 1
    assert record_judgements(tmp_path, [of("t", "c")]) == 3
    lines = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert lines[0] == '{"test": "t", "artefact": "a", "candidate": "小"}'


@pytest.mark.parametrize(("artefacts", "bound", "outcome"), [(1, 0.025, "PASS"), (2, 0.05, "PASS"), (3, 0.075, "FAIL")])
def test_five_percent_is_two_artefacts(artefacts: int, bound: float, outcome: str) -> None:
    verdict = judge_wear(artefacts, 1000)
    assert verdict.interval is not None
    assert verdict.interval.estimate == pytest.approx(bound)
    assert (verdict.outcome, verdict.severity, verdict.blocks) == (outcome, "warning", False)
    assert judge_wear(100, 1000).interval.high == 1.0  # type: ignore[union-attr]


def test_a_disk_that_fills_up_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_judgements(tmp_path, [of("t", "a")])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        record_judgements(tmp_path, [of("t", "b")])
    monkeypatch.undo()
    assert record_judgements(tmp_path, [of("t", "c")]) == 2


def test_a_broken_line_and_a_place_that_cannot_be_written_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_judgements(tmp_path, [of("t", "a")])
    with (tmp_path / FILE).open("a") as handle:
        handle.write("{}\n")
    with pytest.raises(InputError, match="jsonl:2"):
        record_judgements(tmp_path, [of("t", "b")])
    monkeypatch.setattr(judgements, "MAX_BYTES", 3)
    with pytest.raises(InputError, match="larger than"):
        record_judgements(tmp_path, [of("t", "b")])
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        record_judgements(tmp_path / "file", [of("t", "b")])
