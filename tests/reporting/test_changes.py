from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelyard.data.change.compare import DISTRIBUTIONS
from modelyard.data.change.history import append, show
from modelyard.data.change.measures import MEASURES
from modelyard.data.rules import chosen_rules
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Report
from modelyard.reporting.changes import MAX_COLUMNS, change_view, history_view
from modelyard.reporting.words import has

NUMBER: dict[str, Any] = {
    "column": "price", "kind": "number", "edges": [0.0, 1.0, 2.0], "old": [0.2, 0.8], "new": [0.5, 0.5],
    "gap": [1.0, 0.2, 0.5],
}  # fmt: skip
KINDS: dict[str, Any] = {
    "column": "text.script", "kind": "category", "names": ["han", "<b>"], "old": [0.9996, 0.0004], "new": [1.0, 0.0],
    "hidden": 3,
}  # fmt: skip
RULES = chosen_rules({})
DAY = datetime(2026, 11, 1, tzinfo=UTC)


def compared(*drawn: object) -> Report:
    interval = Interval(low=0.2, estimate=0.3, high=0.4, n=100, unit="fraction", method="kolmogorov")
    verdicts = [judge(interval, at_most(0.1), rule="ks", scope="column:price")]
    return Report(stage="compare", project="a -> b", parameters={DISTRIBUTIONS: list(drawn)}, verdicts=verdicts)


def test_both_distributions_of_each_column() -> None:
    price, script = change_view(compared(NUMBER, KINDS)).columns
    assert "column <bdi>price</bdi>" in price.name and price.outcomes == [("FAIL", "✘", "ks")]
    assert 'class="curve second"' in price.drawing and price.kinds == []
    assert "Up to 1: 20.0% of OLD, 50.0% of NEW." in price.gap and "不超过 1：旧数据 20.0%，新数据 50.0%。" in price.gap
    assert "文本：主要文字" in script.name and script.drawing == ""
    assert [(kind.name, kind.old, kind.new) for kind in script.kinds] == [
        ("han", "100.0%", "100.0%"), ("<b>", "<0.1%", "0.0%"),
    ]  # fmt: skip
    assert script.hidden == 3


@pytest.mark.parametrize(
    "broken",
    [
        {"edges": [0.0, 1.0]},
        {"edges": [1.0, 1.0, 1.0]},
        {"new": [1.0]},
        {"gap": []},
        {"kind": "category"},
        {"old": [float("nan"), 1.0]},
        {"old": []},
        {"more": 1},
    ],
)
def test_what_cannot_be_drawn_is_not(broken: dict[str, Any]) -> None:
    assert change_view(compared({**NUMBER, **broken})).columns == []
    assert change_view(compared("x")).columns == []
    assert change_view(Report(stage="compare", project="p")).columns == []


def test_many_columns_are_cut() -> None:
    found = change_view(compared(*[NUMBER] * (MAX_COLUMNS + 2)))
    assert (len(found.columns), found.hidden) == (MAX_COLUMNS, 2)
    many = {**KINDS, "names": ["x"] * 30, "old": [0.1] * 30, "new": [0.1] * 30}
    (column,) = change_view(compared(many)).columns
    assert (len(column.kinds), column.hidden) == (24, 9)


def audit(duplicates: float, scarcest: float, labels: int) -> Report:
    values = {"duplicate_exact": duplicates, "label_balance": scarcest, "label_count": labels}
    verdicts = [RULES[name].verdict(value, n=1000) for name, value in values.items()]
    verdicts.append(RULES["not_empty"].verdict(10, n=1000, scope="split:test"))
    return Report(stage="check", project="p", verdicts=verdicts)


def kept(folder: Path, *audits: Report) -> None:
    for number, report in enumerate(audits):
        append(folder, report, DAY + timedelta(days=number))


def test_trends_and_the_rule_that_worsened(tmp_path: Path) -> None:
    kept(tmp_path, audit(0.1, 0.3, 3), audit(0.19, 0.3, 3), audit(0.25, 0.4, 2))
    found = history_view(show(tmp_path))
    assert (found.audits, found.first, found.last, found.skipped) == (3, "2026-11-01", "2026-11-03", False)
    last, first = found.worst
    assert "Worsened most since the audit before (2026-11-02): duplicate_exact, " in last
    assert "6.00 points worse, 95% interval 2.37 to 9.61" in last
    assert "与首次（2026-11-01）相比变差最多：duplicate_exact" in first and "变差 15.00 个百分点" in first
    duplicates, balance, count, split = found.trends
    assert (duplicates.outcome, duplicates.mark, duplicates.scope) == ("FAIL", "✘", "")
    assert "10.00 points better, 95% interval 5.82 to 14.13" in balance.change
    assert count.change == "" and "labels" in count.last
    assert "测试集" in split.scope and "<svg" in split.drawing


def test_chance_and_what_did_not_move(tmp_path: Path) -> None:
    kept(tmp_path, audit(0.1, 0.3, 3), audit(0.101, 0.3, 3))
    duplicates, balance, _, _ = history_view(show(tmp_path)).trends
    assert "95% interval −2.55 to 2.75" in duplicates.change and "may be chance" in duplicates.change
    assert "unchanged" in balance.change


def test_nothing_worsened_and_the_first_audit(tmp_path: Path) -> None:
    kept(tmp_path, audit(0.2, 0.3, 3))
    assert history_view(show(tmp_path)).worst == [] and history_view(show(tmp_path)).trends[0].change == ""
    append(tmp_path, audit(0.1, 0.3, 3), DAY + timedelta(days=1))
    last, first = history_view(show(tmp_path)).worst
    assert "Nothing worsened since the audit before." in last and "与首次相比，没有变差的规则。" in first


def test_what_is_counted_worsens_without_an_interval(tmp_path: Path) -> None:
    kept(tmp_path, audit(0.1, 0.3, 4), audit(0.1, 0.3, 3))
    last, _ = history_view(show(tmp_path)).worst
    assert "label_count" in last and "interval" not in last


def test_every_measure_has_its_words() -> None:
    assert [measure.name for measure in MEASURES if not has(f"rule.{measure.name}")] == []
    assert len(MEASURES) == 7
