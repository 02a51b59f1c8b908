"""Audits made by hand, so that what worsened is known; differences pinned to Newcombe's formula in statsmodels."""

import json
import multiprocessing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from modelyard.data.change import history
from modelyard.data.change.history import append, history_file, show
from modelyard.data.rules import chosen_rules
from modelyard.errors import InputError
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.report import Measurement, Report

RULES = chosen_rules({})
DAY = datetime(2026, 11, 1, 12, tzinfo=UTC)


def audit(duplicates: int, conflicts: int = 10, n: int = 1000, scarcest: int = 100, labels: int = 3) -> Report:
    verdicts = [
        RULES["duplicate_exact"].verdict(duplicates / n, n=n),
        RULES["label_conflict"].verdict(conflicts / n, n=n),
        RULES["label_balance"].verdict(scarcest / n, n=n),
        RULES["label_count"].verdict(labels, n=n),
        RULES["not_empty"].verdict(n, n=n, scope="split:test"),
        RULES["label_balance"].verdict(0.5, n=n, scope="class:a"),  # of one class: not kept
        Verdict(rule="evidence", interval=None, limit=None, outcome="PASS", reason="no number"),
    ]
    rows = Measurement(name="rows_read", interval=Interval.exact(n, n=n, unit="rows"))
    return Report(
        stage="check", project="reviews", inputs={"train": "sha256:1"}, verdicts=verdicts, measurements=[rows]
    )


def keep(reports: Path, *audits: Report) -> None:
    for number, report in enumerate(audits):
        assert append(reports, report, DAY + timedelta(days=number))


def test_one_line_for_each_audit(tmp_path: Path) -> None:
    keep(tmp_path, audit(10), audit(20))
    lines = [json.loads(line) for line in history_file(tmp_path).read_text(encoding="utf-8").splitlines()]
    assert [line["when"] for line in lines] == ["2026-11-01T12:00:00Z", "2026-11-02T12:00:00Z"]
    assert lines[0]["schema"] == 1 and lines[0]["commit"] is None and lines[0]["inputs"] == {"train": "sha256:1"}
    assert lines[0]["counts"] == {"rows_read": 1000}
    assert [(rule["rule"], rule["scope"]) for rule in lines[0]["rules"]] == [
        ("duplicate_exact", "overall"), ("label_conflict", "overall"), ("label_balance", "overall"),
        ("label_count", "overall"), ("not_empty", "split:test"),
    ]  # fmt: skip


def test_the_same_report_twice_in_a_row_adds_nothing(tmp_path: Path) -> None:
    assert append(tmp_path, audit(10), DAY)
    assert not append(tmp_path, audit(10), DAY + timedelta(days=1))
    assert append(tmp_path, audit(20), DAY + timedelta(days=2))
    assert append(tmp_path, audit(10), DAY + timedelta(days=3))  # but again after another one
    assert show(tmp_path).audits == 3


def test_dates_are_in_utc(tmp_path: Path) -> None:
    append(tmp_path, audit(10), datetime(2026, 11, 1, 1, tzinfo=timezone(timedelta(hours=8))))
    assert show(tmp_path).first == datetime(2026, 10, 31, 17, tzinfo=UTC)


def test_what_worsened_most_with_its_interval(tmp_path: Path) -> None:
    keep(tmp_path, audit(10, 20), audit(100, 20), audit(110, 45))
    found = show(tmp_path)
    assert found.worsened_last is not None and found.worsened_first is not None
    # since the last: conflicts rose by half of their budget of 5%, duplicates by a twentieth of their 20%
    assert found.worsened_last.rule == "label_conflict"
    change = found.worsened_last.since_last
    assert change is not None and change.interval is not None
    assert (change.before, change.after, change.worse) == pytest.approx((0.02, 0.045, 0.025))
    expected = confint_proportions_2indep(45, 1000, 20, 1000, method="newcomb")
    assert (change.interval.low, change.interval.high) == pytest.approx(expected)
    assert change.certain and change.since == DAY + timedelta(days=1)
    # both fell by no outcome; conflicts 2.5 of 5 points, duplicates 10 of 20: the same share, but conflicts rose less
    assert found.worsened_first.since_first is not None
    assert found.worsened_first.rule in ("label_conflict", "duplicate_exact")


def test_an_outcome_that_fell_goes_first(tmp_path: Path) -> None:
    keep(tmp_path, audit(190, 10), audit(210, 40))
    found = show(tmp_path)
    assert found.worsened_last is not None and found.worsened_last.rule == "duplicate_exact"  # PASS to FAIL
    assert found.worsened_last.since_last is not None and found.worsened_last.since_last.steps == 2


def test_a_least_worsens_downwards(tmp_path: Path) -> None:
    keep(tmp_path, audit(10, scarcest=100), audit(10, scarcest=20))
    found = show(tmp_path)
    assert found.worsened_last is not None and found.worsened_last.rule == "label_balance"
    change = found.worsened_last.since_last
    assert change is not None and change.interval is not None and change.worse == pytest.approx(0.08)
    low, high = confint_proportions_2indep(20, 1000, 100, 1000, method="newcomb")
    assert (change.interval.low, change.interval.high) == pytest.approx((-high, -low))


def test_chance_is_told_from_change(tmp_path: Path) -> None:
    keep(tmp_path, audit(100, 10), audit(104, 10))
    (trend, *_) = show(tmp_path).trends
    assert trend.since_last is not None and trend.since_last.worsened and not trend.since_last.certain


def test_counts_have_no_interval(tmp_path: Path) -> None:
    keep(tmp_path, audit(10, labels=5), audit(10, labels=4))
    found = show(tmp_path).worsened_last
    assert found is not None and found.rule == "label_count"
    assert found.since_last is not None and found.since_last.interval is None and found.since_last.certain


def test_nothing_worsened(tmp_path: Path) -> None:
    keep(tmp_path, audit(20), audit(10))
    found = show(tmp_path)
    assert (found.worsened_last, found.worsened_first) == (None, None)


def test_the_first_audit_has_nothing_to_compare_with(tmp_path: Path) -> None:
    keep(tmp_path, audit(20))
    found = show(tmp_path)
    assert found.audits == 1 and all(trend.since_last is None for trend in found.trends)
    assert (found.worsened_last, found.project) == (None, "reviews")


def test_a_rule_that_came_later_and_shares_that_are_no_counts(tmp_path: Path) -> None:
    early, late = audit(10), audit(20)
    late.verdicts.append(RULES["text_empty"].verdict(0.01, n=1000))
    bare = Interval(low=0.1, estimate=0.2, high=0.3, n=10, unit="fraction", method="tango")
    for report, interval in ((early, bare), (late, bare.model_copy(update={"estimate": 0.25}))):
        report.verdicts.append(judge(interval, at_most(0.5), rule="drop"))
    odd = Interval.exact(0.3333, n=10, unit="fraction")  # of a weighted count
    for report in (early, late):
        report.verdicts.append(judge(odd, at_least(0.1), rule="weighted"))
    keep(tmp_path, early, late)
    trends = {trend.rule: trend for trend in show(tmp_path).trends if trend.scope == "overall"}
    assert trends["text_empty"].since_last is None and len(trends["text_empty"].points) == 1
    for rule in ("drop", "weighted"):
        change = trends[rule].since_last
        assert change is not None and change.interval is None


def test_a_line_broken_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    keep(tmp_path, audit(10))
    path = history_file(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"schema": 1, "when": "2026-')
    found = show(tmp_path)
    assert found.audits == 1
    assert found.notes == ["lines of check.jsonl that cannot be read were passed over: 2"]
    assert append(tmp_path, audit(20), DAY + timedelta(days=1))  # on a line of its own
    assert show(tmp_path).audits == 2
    assert show(tmp_path).trends[0].points[-1].interval.estimate == 0.02


def test_lines_of_others(tmp_path: Path) -> None:
    keep(tmp_path, audit(10))
    path = history_file(tmp_path)
    path.write_bytes(b"\n\xff\n[]\n" + path.read_bytes() + b'{"schema": 2}\n' + b"x\n" * 9)
    found = show(tmp_path)
    assert found.audits == 1
    assert found.notes == ["lines of check.jsonl that cannot be read were passed over: 2, 3, 5, 6, 7 and 7 more"]


def test_no_audit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no audit in .*check\.jsonl\. Next: run `modelyard check`"):
        show(tmp_path)
    history_file(tmp_path).parent.mkdir()
    history_file(tmp_path).write_text("")
    with pytest.raises(InputError, match="there is no audit"):
        show(tmp_path)


def test_a_full_file_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, audit(10), audit(20))
    monkeypatch.setattr(history, "MAX_BYTES", history_file(tmp_path).stat().st_size + 100)
    assert append(tmp_path, audit(30), DAY + timedelta(days=2))
    assert {path.name for path in history_file(tmp_path).parent.iterdir()} == {
        "check.jsonl", "check-to-20261102T120000.jsonl",
    }  # fmt: skip
    assert show(tmp_path).audits == 1
    monkeypatch.setattr(history, "MAX_BYTES", 10)
    with pytest.raises(InputError, match=r"is larger than 32 MiB\. Next: move it away"):
        show(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("a file")
    with pytest.raises(InputError, match=r"check.jsonl cannot be written: .*\. Next: allow writing there"):
        append(tmp_path, audit(10), DAY)


def _keep_many(folder: Path, seed: int) -> None:
    for number in range(10):
        append(folder, audit(number, conflicts=seed), DAY)


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_keep_many, args=(tmp_path, seed)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    found = show(tmp_path)
    assert found.audits == 20 and found.notes == []
