import pytest

from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.reporting.numbers import amount, brief, cut, duration, limit_text, minus, printable, reason, shown, size


def interval(low: float, estimate: float, high: float, unit: str = "fraction", method: str = "tango") -> Interval:
    return Interval(low=low, estimate=estimate, high=high, n=4747, unit=unit, method=method)


def chinese(markup: str) -> str:
    return markup.partition('<span class="zh" lang="zh-CN">')[2].removesuffix("</span>")


def test_an_interval_in_the_unit_a_person_reads() -> None:
    numbers = shown(interval(-0.0038, -0.0011, 0.0016), at_most(0.01))
    assert (numbers.low, numbers.estimate, numbers.high, numbers.limit) == ("−0.38", "−0.11", "0.16", "1")
    assert (numbers.unit, numbers.scale) == ("points", 100.0)
    assert shown(interval(0.8, 0.9, 0.95, method="wilson")).unit == "%"
    assert shown(interval(0.80, 0.99996, 1.0, method="wilson")).estimate == "99.996"  # told from its end


@pytest.mark.parametrize(
    ("found", "limit", "said"),
    [
        (
            interval(-0.001, 0.0042, 0.0095),
            at_most(0.01),
            "0.42 个百分点（95% 区间 −0.10 至 0.95，n=4,747），在限值之内（不超过 1 个百分点）",
        ),
        (
            interval(0.02, 0.03, 0.04),
            at_most(0.01),
            "3.00 个百分点（95% 区间 2.00 至 4.00，n=4,747），在限值之外（不超过 1 个百分点）",
        ),
        (
            interval(0.7, 0.8, 0.9, method="wilson"),
            at_least(0.85),
            "80.00%（95% 区间 70.00 至 90.00，n=4,747），跨过限值（不低于 85%）",
        ),
        (Interval.exact(0.0, n=9, unit="rows"), at_most(0), "0 行，在限值之内（不超过 0 行）"),
        (Interval.exact(1.0, n=9, unit="labels"), at_least(2), "1 种标签，在限值之外（不低于 2 种标签）"),
        (
            interval(1, 2, 3, unit="ms", method="range"),
            at_most(5),
            "2.00 毫秒（1.00 至 3.00，n=4,747）：次数太少，得不到 95% 区间，无法与限值（不超过 5 毫秒）比较",
        ),
    ],
)
def test_the_chinese_reason_is_made_anew(found: Interval, limit: object, said: str) -> None:
    verdict = judge(found, limit, rule="r")  # type: ignore[arg-type]
    markup = reason(verdict)
    assert chinese(markup) == said
    assert minus(verdict.reason) in markup.replace("&#39;", "'")


def test_a_reason_without_an_interval_is_looked_up() -> None:
    verdict = Verdict(
        rule="compressed", interval=None, limit=None, outcome="PASS", reason="a is compressed; compression is optional"
    )
    assert chinese(reason(verdict)) == "a 已压缩；压缩设置为 optional"
    assert brief(verdict) == reason(verdict)


def test_the_brief_form_has_the_numbers_alone() -> None:
    verdict = judge(interval(-0.001, 0.0042, 0.0095), at_most(0.01), rule="r")
    assert "0.42 points (−0.10 to 0.95, n=4,747)" in brief(verdict)
    assert chinese(brief(verdict)) == "0.42 个百分点（−0.10 至 0.95，n=4,747）"


def test_amounts() -> None:
    assert amount("1", "points", "en") == "1 point"
    assert amount("1", "ms", "en") == "1 ms"
    assert amount("5", "%", "zh") == "5%"
    assert amount("5", "parsecs", "zh") == "5 parsecs"
    assert amount("2.5", "", "en") == "2.5"


def test_a_hostile_unit_is_escaped_once() -> None:
    found = Interval.exact(3.0, n=9, unit="<b>")
    assert "at most 5 &lt;b&gt;" in limit_text(at_most(5), found)


def test_sizes_and_times() -> None:
    assert [size(value) for value in (999, 1_500, 23_445_272, 2.5e9)] == ["999 B", "1.5 kB", "23.4 MB", "2.5 GB"]
    assert [chinese(duration(value)) for value in (0.73, 1888.75, 7260)] == ["0.7 秒", "31 分 28 秒", "2 小时 1 分"]
    assert "31 min 28 s" in duration(1888.75)


def test_texts_are_cut_and_freed_of_what_breaks_a_page() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcdef…"
    assert printable("a\x00b\x1b\x7f\tc\nd") == "a␀b␛␡\tc\nd"
    assert printable("\ud800ok") == "?ok"
    assert printable("a\u202eb\u2066c") == "a\ufffdb\ufffdc"


def test_a_minus_stands_only_before_a_number() -> None:
    assert minus("-0.5 (-1 to 2) of int8-static on 2026-11-25") == "−0.5 (−1 to 2) of int8-static on 2026-11-25"
