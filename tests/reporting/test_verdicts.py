from xml.etree import ElementTree

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.reporting.verdicts import FOLDED, MAX_ROWS, MAX_STANDING, arrange, room, scope_text, subject_text


def verdict(low: float, high: float, *, scope: str = "overall", rule: str = "r", **more: str) -> Verdict:
    found = Interval(low=low, estimate=(low + high) / 2, high=high, n=9, unit="ratio", method="wilson")
    return judge(found, at_most(10), rule=rule, scope=scope, **more)  # type: ignore[arg-type]


def bar(drawing: str) -> tuple[float, float]:
    (line,) = [part for part in ElementTree.fromstring(drawing).iter() if part.get("class") == "span"]
    return float(line.get("x1") or 0), float(line.get("x2") or 0)


def test_what_stands_in_the_way_comes_first() -> None:
    found = arrange(
        [
            verdict(1, 2),
            verdict(9, 11, rule="unsure"),
            verdict(11, 12, rule="warned", severity="warning"),
            verdict(11, 12, rule="failed"),
            verdict(11, 12, rule="chooses", kind="candidate"),
        ]
    )
    assert [row.verdict.rule for row in found.standing] == ["failed", "unsure", "chooses", "warned"]
    assert [row.mark for row in found.standing] == ["✘", "?", "✘", "✘"]
    assert found.counts == {"PASS": 1, "INCONCLUSIVE": 1, "FAIL": 3}
    assert [row.verdict.rule for row in found.singles] == ["r"] and found.groups == []


def test_a_rule_shares_one_scale_whatever_the_outcome() -> None:
    found = arrange([verdict(0, 5, scope="a"), verdict(5, 10, scope="b"), verdict(0, 20, scope="c")])
    drawings = {row.verdict.scope: row.plain for row in [*found.standing, *found.groups[0].rows]}
    assert bar(drawings["a"]) == (0, 56.6)  # 240 px are 0 to 20 and 6% of room: 11.32 px each
    assert bar(drawings["b"]) == (56.6, 113.21)
    assert bar(drawings["c"]) == (0, 226.42)


def test_the_nearest_to_its_limit_comes_first_and_many_are_folded() -> None:
    few = arrange([verdict(0, number, scope=f"s{number}") for number in (1, 9, 5)])
    assert [row.verdict.scope for row in few.groups[0].rows] == ["s9", "s5", "s1"]
    assert not few.groups[0].folded
    assert "at most 10" in few.groups[0].limit
    many = arrange([verdict(0, number, scope=f"s{number}") for number in range(FOLDED + 1)])
    assert many.groups[0].folded


def test_subjects_and_rules_are_groups_of_their_own() -> None:
    found = arrange([verdict(0, 1, scope=scope, subject=subject) for subject in "ab" for scope in "xy"])
    assert [(group.total, group.rows[0].subject) for group in found.groups] == [
        (2, "<bdi>a</bdi>"),
        (2, "<bdi>b</bdi>"),
    ]


def test_long_lists_are_cut_and_say_so() -> None:
    passed = arrange([verdict(0, 1, scope=f"s{number}") for number in range(500)])
    assert (len(passed.groups[0].rows), passed.groups[0].total) == (MAX_ROWS, 500)
    failed = arrange([verdict(11, 12, scope=f"s{number}") for number in range(500)])
    assert (len(failed.standing), failed.standing_total) == (MAX_STANDING, 500)
    groups = arrange([verdict(0, 1, scope=scope, rule=f"r{number}") for number in range(60) for scope in "ab"])
    assert (len(groups.groups), groups.hidden) == (40, 20)


def test_a_verdict_without_an_interval_has_no_drawing() -> None:
    there = Verdict(rule="evidence", interval=None, limit=None, outcome="PASS", reason="it stands")
    (row,) = arrange([there]).singles
    assert row.drawing == row.plain == "" and room(there) == float("inf")
    assert arrange([there, there]).groups[0].limit == ""


def test_unknown_rules_have_no_title() -> None:
    assert arrange([verdict(0, 1)]).singles[0].title == ""
    assert "Accuracy lost" in arrange([verdict(0, 1, rule="drop_max")]).singles[0].title


def test_columns_and_features_in_both_languages() -> None:
    assert "列 <bdi>price</bdi>" in scope_text("column:price")
    assert "文本：字符数" in scope_text("column:text.characters") and "texts: characters" in scope_text(
        "column:text.characters"
    )


def test_scopes_in_both_languages() -> None:
    assert "切片 <bdi>site = film</bdi>" in scope_text("slice:site=film")
    assert "class <bdi>&lt;b&gt;</bdi>" in scope_text("class:<b>")
    assert "总体" in scope_text("overall")
    assert scope_text("my own <scope>") == "<bdi>my own &lt;scope&gt;</bdi>"
    assert scope_text("class:") == "<bdi>class:</bdi>"
    assert "test split" in scope_text("split:test") and "测试集" in scope_text("split:test")
    assert "数据集 <bdi>mine</bdi>" in scope_text("split:mine")


def test_subjects_in_both_languages() -> None:
    assert "<bdi>&lt;int8&gt;</bdi> on test" in subject_text("<int8> on test")
    assert "<bdi>int8</bdi>，验证集" in subject_text("int8 on validation")
    assert "训练集" in subject_text("train")
    assert subject_text("based on trust") == "<bdi>based on trust</bdi>"
    assert subject_text("") == ""
