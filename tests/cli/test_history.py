import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelyard.cli.history import show_history, sparkline
from modelyard.data.change.history import Point, append
from modelyard.data.rules import chosen_rules
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.report import Report

RULES = chosen_rules({})
DAY = datetime(2026, 11, 1, tzinfo=UTC)


def audit(duplicates: float, labels: int = 3) -> Report:
    verdicts = [RULES["duplicate_exact"].verdict(duplicates, n=1000), RULES["label_count"].verdict(labels, n=1000)]
    verdicts.append(RULES["not_empty"].verdict(1, n=1000, scope="split:test"))
    return Report(stage="check", project="评论", verdicts=verdicts)


def points(values: list[float], **limit: float) -> list[Point]:
    bound = at_most(limit["most"]) if "most" in limit else at_least(limit["least"])
    return [
        Point(when=DAY, commit=None, outcome="PASS", interval=Interval.exact(value, n=9, unit="rows"), limit=bound)
        for value in values
    ]


def test_bars_reach_up_to_the_limit() -> None:
    assert sparkline(points([0, 0.1, 0.5, 0.99, 1.0], most=1.0)) == "▁▁▅██"
    assert sparkline(points([0.5, 1.5], most=1.0)) == "▅!"  # beyond it
    assert sparkline(points([0, 0], most=0.0)) == "▁▁"
    assert sparkline(points([10, 5, 1], least=2)) == "█▅!"
    assert len(sparkline(points([1.0] * 100, most=2))) == 24


def test_a_table_that_needs_no_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (share, labels) in enumerate([(0.1, 4), (0.19, 4), (0.25, 3)]):
        append(tmp_path, audit(share, labels), DAY + timedelta(days=number))
    show_history(tmp_path, False)
    shown = capsys.readouterr().out
    assert "check: 评论, 3 audits, 2026-11-01 to 2026-11-03" in shown
    assert "✘ FAIL duplicate_exact ▅█! 10.00% 25.00% ≤ 20%" in " ".join(shown.split())
    assert "not_empty split:test" in shown and "1 row" in shown and "1 rows" not in shown
    assert (
        "worsened most since the audit before (2026-11-02): duplicate_exact, 19.00% to 25.00%, "
        "6.00 points worse (95% interval 2.37 to 9.61)"
    ) in shown
    assert "worsened most since the first audit (2026-11-01): duplicate_exact, 10.00% to 25.00%, 15.00" in shown


def test_what_may_be_chance_and_what_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path, audit(0.1, 4), DAY)
    show_history(tmp_path, False)
    assert "this is the first audit: the next one has something to compare with" in capsys.readouterr().out
    append(tmp_path, audit(0.101, 4), DAY + timedelta(days=1))
    show_history(tmp_path, False)
    assert "0.10 points worse (95% interval -2.55 to 2.75), which may be chance" in capsys.readouterr().out
    append(tmp_path, audit(0.09, 3), DAY + timedelta(days=2))
    show_history(tmp_path, False)
    assert (
        "worsened most since the audit before (2026-11-02): label_count, 4 labels to 3 labels\n"
        in capsys.readouterr().out
    )


def test_nothing_worsened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path, audit(0.2), DAY)
    append(tmp_path, audit(0.1), DAY + timedelta(days=1))
    show_history(tmp_path, False)
    shown = capsys.readouterr().out
    assert "nothing worsened since the audit before" in shown and "nothing worsened since the first audit" in shown


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path, audit(0.1), DAY)
    show_history(tmp_path, True)
    found = json.loads(capsys.readouterr().out)
    assert found["audits"] == 1 and found["trends"][0]["rule"] == "duplicate_exact"
