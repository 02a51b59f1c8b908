"""Two data sets made so that what changed is known: by hand, in English and in Chinese."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from modelyard.artifacts.files import digest_file, write_json
from modelyard.artifacts.prepared import SPLITS, Dataset
from modelyard.data.change import compare as change
from modelyard.data.change.compare import DISTRIBUTIONS, compare
from modelyard.data.check import check
from modelyard.data.profile import baseline_of
from modelyard.data.reading.shapes import Shape
from modelyard.errors import InputError
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Report
from modelyard.project.data import DataSection, RuleSection
from modelyard.project.gates import GatesSection
from modelyard.reporting.words import chinese_of

WORDS = {
    "en": ["room", "clean", "breakfast", "late", "street", "quiet", "friendly", "price", "again", "never"],
    "zh": ["房间", "干净", "早餐", "太晚", "地铁", "安静", "热情", "价格", "再来", "不会"],
}


def rows(count: int, seed: int, *, language: str = "en", good: float = 0.5, words: int = 6) -> list[dict[str, object]]:
    choose = random.Random(seed)
    space = " " if language == "en" else ""
    return [
        {
            "text": space.join([*choose.choices(WORDS[language], k=words), str(choose.randrange(10**6))]),
            "label": "good" if choose.random() < good else "bad",
            "site": choose.choice(["film", "phone"]),
            "price": round(choose.gauss(20, 4), 1),
        }
        for _ in range(count)
    ]


Write = Callable[[str, list[dict[str, object]]], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def csv(name: str, content: list[dict[str, object]]) -> str:
        pl.DataFrame(content).write_csv(tmp_path / name)
        return name

    return csv


def of(report: Report, rule: str, scope: str) -> Verdict:
    (found,) = (verdict for verdict in report.verdicts if (verdict.rule, verdict.scope) == (rule, scope))
    return found


def check_sentences(report: Report) -> None:
    """Every sentence that a person reads has its Chinese."""
    said = [*report.notes, *(verdict.next_step for verdict in report.verdicts if verdict.next_step)]
    assert said and [text for text in said if chinese_of(text) is None] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_changed(write: Write, tmp_path: Path, language: str) -> None:
    old, new = write("a.csv", rows(3000, 1, language=language)), write("b.csv", rows(3000, 2, language=language))
    report = compare(old, new, root=tmp_path)
    assert "FAIL" not in {verdict.outcome for verdict in report.verdicts}
    assert {verdict.scope for verdict in report.verdicts} == {
        *(f"column:text.{name}" for name in ("characters", "digits", "punctuation", "spaces", "script")),
        "column:text", "column:label", "column:site", "column:price",
    }  # fmt: skip
    assert (report.stage, report.project) == ("compare", "a.csv -> b.csv")
    assert report == compare(old, new, root=tmp_path)  # equal work, equal report
    assert json.loads(report.model_dump_json())["parameters"]["ks_max"] == 0.1
    check_sentences(report)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_change_is_found_where_it_was_made(write: Write, tmp_path: Path, language: str) -> None:
    old = write("a.csv", rows(2000, 1, language=language))
    new = rows(2000, 2, language=language, good=0.8, words=9)
    for number, row in enumerate(new):
        row["price"] = float(str(row["price"])) + 4
        if number % 2:
            row["text"] = f"ERROR {row['text']} reboot" if language == "en" else f"新华社电 {row['text']} 国务院"
        if number % 4 == 0:
            row["site"] = "shop"
    report = compare(old, write("b.csv", new), root=tmp_path)
    for rule, scope in (
        ("ks", "text.characters"), ("psi", "label"), ("psi", "site"), ("ks", "price"), ("wasserstein", "price"),
        ("text_classifier", "text"),
    ):  # fmt: skip
        assert of(report, rule, f"column:{scope}").outcome == "FAIL", rule
    assert of(report, "psi", "column:text.script").outcome == "PASS"
    assert "'shop' 0.0% → 25.0%" in of(report, "psi", "column:site").next_step
    assert any(note.startswith("texts of NEW that look least like OLD: b.csv:") for note in report.notes)
    check_sentences(report)


def test_too_few_rows_say_how_many_would_do(write: Write, tmp_path: Path) -> None:
    report = compare(write("a.csv", rows(60, 1)), write("b.csv", rows(60, 2)), root=tmp_path)
    found = of(report, "ks", "column:price")
    assert (found.outcome, found.next_step) == ("INCONCLUSIVE", "compare at least 1,182 rows of each side")
    assert of(report, "text_classifier", "column:text").samples_needed == 780
    check_sentences(report)


def test_rows_that_were_kept_removed_added_and_relabelled(write: Write, tmp_path: Path) -> None:
    old = rows(40, 1)
    new = [dict(row) for row in old[10:]] + rows(5, 2)
    new[0]["label"] = "bad" if new[0]["label"] == "good" else "good"
    new[1]["text"] = f"  {str(new[1]['text']).upper()} "  # the same text after normalisation
    report = compare(write("a.csv", old), write("b.csv", new), root=tmp_path)
    assert "40 different texts in OLD, 35 in NEW: 30 in both, 10 removed, 5 added" in report.notes
    assert "removed, the first of 10: a.csv:2, a.csv:3, a.csv:4" in report.notes
    assert "added, the first of 5: b.csv:32, b.csv:33, b.csv:34" in report.notes
    relabelled = of(report, "relabelled", "column:label")
    assert relabelled.interval is not None and relabelled.interval.estimate == pytest.approx(1 / 35)
    assert (relabelled.outcome, relabelled.severity) == ("PASS", "warning")
    measured = {item.name: item.interval for item in report.measurements if item.name.startswith("texts_")}
    assert measured["texts_kept"].estimate == 0.75 and measured["texts_added"].method == "count"
    check_sentences(report)


def test_columns_that_differ_are_named(write: Write, tmp_path: Path) -> None:
    old = [{**row, "order": number, "colour": "red"} for number, row in enumerate(rows(50, 1))]
    new = [{**row, "order": number, "size": "xl"} for number, row in enumerate(rows(50, 2))]
    for row in new[:5]:
        row["label"] = "neutral"
    report = compare(write("a.csv", old), write("b.csv", new), root=tmp_path)
    assert "'order' is not compared: each row has a number of its own" in report.notes
    assert "columns that only OLD has: 'colour'" in report.notes
    assert "columns that only NEW has: 'size'" in report.notes
    assert "labels that only NEW has: 'neutral' (5 rows)" in report.notes
    check_sentences(report)


def test_files_without_a_label(write: Write, tmp_path: Path) -> None:
    bare = [{"body": row["text"]} for row in rows(30, 1)]
    report = compare(write("a.csv", bare), write("b.csv", bare), root=tmp_path, text="body")
    assert "column:label" not in {verdict.scope for verdict in report.verdicts}
    with pytest.raises(InputError, match=r"a.csv: there is no column 'stars'. Next: columns here: 'body'"):
        compare("a.csv", "b.csv", root=tmp_path, text="body", label="stars")
    with pytest.raises(InputError) as raised:
        compare("a.csv", "nowhere.csv", root=tmp_path)
    assert len(raised.value.problems) == 2  # of both sides at once
    with pytest.raises(InputError, match="--text and --label both name 'body'"):
        compare("a.csv", "b.csv", root=tmp_path, text="body", label="body")


def test_columns_that_have_our_names(write: Write, tmp_path: Path) -> None:
    odd = [
        {"review": row["text"], "stars": row["label"], "text": row["site"], "label": row["site"], "text_column": "x"}
        for row in rows(200, 1)
    ]
    report = compare(write("a.csv", odd), write("b.csv", odd), root=tmp_path, text="review", label="stars")
    scopes = {verdict.scope for verdict in report.verdicts}
    assert {"column:text_column_column", "column:label_column", "column:label"} <= scopes


def test_a_large_set_is_sampled(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "MOST_ROWS", 100)
    report = compare(write("a.csv", rows(150, 1)), write("b.csv", rows(90, 2)), root=tmp_path)
    assert "distributions are those of a random sample of 100 rows of OLD" in report.notes
    assert not any("rows of NEW" in note for note in report.notes)
    assert of(report, "ks", "column:price").interval.n == 90  # type: ignore[union-attr]
    assert {item.subject: item.interval.estimate for item in report.measurements if item.name == "rows"} == {
        "OLD": 150, "NEW": 90,
    }  # fmt: skip
    check_sentences(report)


def test_a_prepared_folder_against_itself_and_a_file(tiny_prepared: Path, write: Write, tmp_path: Path) -> None:
    report = compare(str(tiny_prepared), str(tiny_prepared), root=tmp_path)
    assert "300 different texts in OLD, 300 in NEW: 300 in both, 0 removed, 0 added" in report.notes
    assert of(report, "psi", "column:label").interval.estimate == 0.0  # type: ignore[union-attr]
    assert report.inputs["old"] == report.inputs["new"]
    mixed = compare(str(tiny_prepared), write("b.csv", rows(300, 1)), root=tmp_path)
    assert of(mixed, "text_classifier", "column:text").outcome == "FAIL"


def test_a_baseline_on_the_old_side(write: Write, tmp_path: Path) -> None:
    train = pl.DataFrame(rows(3000, 1))
    write_json(tmp_path / "baseline.json", baseline_of(train, ["site"]))
    same = compare("baseline.json", write("b.csv", rows(3000, 2)), root=tmp_path)
    assert {(verdict.rule, verdict.scope.removeprefix("column:"), verdict.outcome) for verdict in same.verdicts} == {
        ("ks", "text.characters", "PASS"), ("psi", "text.characters", "PASS"),
        ("psi", "label", "PASS"), ("chi_squared", "label", "PASS"),
        ("psi", "site", "PASS"), ("chi_squared", "site", "PASS"),
        ("psi", "text.script", "PASS"), ("chi_squared", "text.script", "PASS"),
    }  # fmt: skip
    moved = compare("baseline.json", write("c.csv", rows(3000, 2, good=0.9, words=9)), root=tmp_path)
    assert of(moved, "psi", "column:label").outcome == "FAIL"
    assert of(moved, "ks", "column:text.characters").outcome == "FAIL"
    drawn = [one["column"] for one in moved.parameters[DISTRIBUTIONS]]
    assert drawn == ["text.characters", "label", "text.script", "site"]
    check_sentences(moved)


def test_a_baseline_of_before_row_scripts_and_with_other_columns(write: Write, tmp_path: Path) -> None:
    old = baseline_of(pl.DataFrame(rows(50, 1)), ["site"]).model_dump(by_alias=True)
    del old["row_scripts"]
    old["slices"]["shop"] = {"x": 1.0}
    (tmp_path / "old.json").write_text(json.dumps(old))
    bare = [{"text": row["text"], "site": row["site"]} for row in rows(50, 2)]
    report = compare("old.json", write("b.csv", bare), root=tmp_path)
    assert {verdict.scope for verdict in report.verdicts} == {"column:text.characters", "column:site"}
    assert {"columns that only OLD has: 'shop'", "'label' is not compared: it has no value on one side"} <= {
        *report.notes
    }
    check_sentences(report)


def test_broken_baselines(write: Write, tmp_path: Path) -> None:
    new = write("b.csv", rows(10, 2))
    good = baseline_of(pl.DataFrame(rows(50, 1)), []).model_dump(by_alias=True)
    (tmp_path / "baseline.json").write_text(json.dumps({**good, "rows": 0}))
    with pytest.raises(InputError, match="is the profile of no row"):
        compare("baseline.json", new, root=tmp_path)
    good["length_characters"]["counts"].pop()
    (tmp_path / "baseline.json").write_text(json.dumps(good))
    report = compare("baseline.json", new, root=tmp_path)
    assert "'text.characters' is not compared: the baseline's histogram is broken" in report.notes
    check_sentences(report)
    with pytest.raises(InputError, match=r"NEW is a baseline, baseline\.json, which holds no rows"):
        compare(new, "baseline.json", root=tmp_path)


def test_rows_without_a_text(write: Write, tmp_path: Path) -> None:
    content = rows(40, 1)
    content[3]["text"] = None
    report = compare(write("a.csv", content), write("b.csv", rows(40, 2)), root=tmp_path)
    assert "39 different texts in OLD, 40 in NEW: 0 in both, 39 removed, 40 added" in report.notes
    missing = of(report, "missing", "column:text").interval
    assert missing is not None and missing.estimate == pytest.approx(-1 / 40)
    (tmp_path / "c.csv").write_text("text,label\n,x\n,y\n")
    with pytest.raises(InputError, match=r"c.csv holds no row with a text"):
        compare("a.csv", "c.csv", root=tmp_path)


def test_one_row_of_each(write: Write, tmp_path: Path) -> None:
    report = compare(write("a.csv", rows(1, 1)), write("b.csv", rows(1, 2)), root=tmp_path)
    found = of(report, "text_classifier", "column:text")
    assert (found.outcome, found.samples_needed) == ("INCONCLUSIVE", 780)
    assert chinese_of(found.reason)
    check_sentences(report)


def test_limits_and_reports(write: Write, tmp_path: Path) -> None:
    old, new = write("a.csv", rows(2000, 1)), write("b.csv", rows(2000, 2, good=0.8))
    report = compare(old, new, root=tmp_path, limits={"psi": 5.0}, reports=tmp_path / "out")
    assert of(report, "psi", "column:label").outcome == "PASS"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"compare.json", "compare.run.json"}
    with pytest.raises(InputError, match="'pis' is not measured"):
        compare(old, new, root=tmp_path, limits={"pis": 1.0})


@pytest.mark.parametrize(
    ("shape", "row", "text", "label"),
    [
        ("text", {"text": "{}"}, "{}", None),
        ("text_labels", {"text": "{}", "labels": ["a", "b"]}, "{}", '["a", "b"]'),
        ("prompt_completion", {"prompt": "{}", "completion": "x"}, "{}\nx", None),
        ("preference", {"prompt": "{}", "chosen": "x", "rejected": "y"}, "{}\nx", None),
        (
            "messages",
            {"messages": [{"role": "user", "content": "{}", "tool_calls": None}, {"role": "a", "content": None}]},
            "{}\n",
            None,
        ),
    ],
)
def test_prepared_rows_of_every_shape(
    tmp_path: Path, shape: str, row: dict[str, object], text: str, label: str | None
) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    filled = json.dumps(row)
    frame = pl.DataFrame([json.loads(filled.replace("{}", f"number {n}")) for n in range(40)], infer_schema_length=None)
    frame = frame.with_columns(id=pl.lit("i"), source=pl.lit("s"), group=pl.lit(None, pl.String))
    for split in SPLITS:
        frame.write_parquet(folder / f"{split}.parquet")
    digests = {split: digest_file(folder / f"{split}.parquet") for split in SPLITS}
    counts = dict.fromkeys(SPLITS, 40)
    write_json(
        folder / "dataset.json",
        Dataset(task="t", shape=shape, labels=[], counts=counts, digests=digests, slices=[], seed=0, sources=[]),
    )
    opened = change.open_data("prepared", tmp_path, text="text", label=None, progress=lambda *_: None)
    assert opened.frame["text"][3] == text.format("number 3")
    assert opened.frame["label"][0] == label
    report = compare("prepared", "prepared", root=tmp_path)
    assert "FAIL" not in {verdict.outcome for verdict in report.verdicts}


def test_sets_of_labels_are_the_same_prepared_raw_and_in_the_baseline(tmp_path: Path) -> None:
    sets = [["a", "b"], ["b"], [], ["a, b"]]
    lines = [json.dumps({"text": f"a sentence about thing {n * 7919}", "label": sets[n % 4]}) for n in range(2_000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    check(
        DataSection(train="rows.jsonl", rules={"duplicate_near": RuleSection(severity="off")}),
        project="test",
        shape=Shape(name="text_labels", columns={"text": "text", "label": "label"}),
        root=tmp_path,
        prepared=tmp_path / "prepared",
        reports=None,
        gates=GatesSection(),
    )
    report = compare("prepared", "rows.jsonl", root=tmp_path)
    assert of(report, "relabelled", "column:label").interval.estimate == 0
    for old, new in (("prepared", "rows.jsonl"), ("prepared/baseline.json", "prepared")):
        found = [verdict.outcome for verdict in compare(old, new, root=tmp_path).verdicts if "label" in verdict.scope]
        assert found and set(found) == {"PASS"}, (old, found)
