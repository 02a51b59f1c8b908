import os
from pathlib import Path

import pytest

from modelyard.serving.threads import engine_threads, usable_cores


@pytest.mark.parametrize(
    ("text", "bound", "cores"),
    [
        ("max 100000", 8, 8),
        ("200000 100000", 8, 2),
        ("150000 100000", 8, 2),  # one and a half: two threads may run at once
        ("10000 100000", 8, 1),
        ("1600000 100000", 8, 8),
        ("", 8, 8),
        ("0 0", 8, 8),
        ("what", 8, 8),
    ],
)
def test_a_containers_quota_counts(
    text: str, bound: int, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(bound)), raising=False)
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path / "cpu.max") == cores
    assert usable_cores(tmp_path / "nowhere") == bound


def test_from_three_cores_on_the_event_loop_keeps_one() -> None:
    assert [engine_threads(cores) for cores in (1, 2, 3, 4, 64)] == [1, 2, 2, 3, 63]
