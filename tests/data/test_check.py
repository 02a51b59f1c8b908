"""`check` as a whole: verdicts, what is dropped, splits, the profile, and equal bytes for equal work."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from modelyard.artifacts.prepared import read_prepared
from modelyard.artifacts.reports import read_report, read_run_record
from modelyard.data.check import check
from modelyard.data.reading.shapes import Shape, recognise, recognise_rows
from modelyard.data.reading.table import first_columns, first_rows
from modelyard.errors import InputError
from modelyard.evidence.judge import exit_status
from modelyard.evidence.report import Report
from modelyard.project.data import DataSection, FieldsSection, RuleSection, UserRuleSection
from modelyard.project.gates import GatesSection
from modelyard.reporting.words import chinese_of

Rows = list[dict[str, str]]


def write(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def checked(folder: Path, out: Path | None = None, **data: object) -> Report:
    settings = DataSection(**{"train": "rows.csv", **data})
    columns = {"text": settings.fields.text, "label": settings.fields.label}
    return check(
        settings,
        project="test",
        shape=Shape(name="text_label", columns=columns),
        root=folder,
        prepared=None if out is None else out / "prepared",
        reports=None if out is None else out / "reports",
        gates=GatesSection(),
    )


def outcomes(report: Report) -> dict[str, str]:
    return {verdict.rule: verdict.outcome for verdict in report.verdicts if verdict.outcome != "PASS"}


def test_splits_drops_and_profile(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = rows_of(400)
    write(tmp_path / "rows.csv", [*rows, rows[0], {**rows[1], "label": "other"}, {**rows[2], "text": "short"}])
    report = checked(tmp_path, tmp_path / "out", slices=["site"])
    prepared = read_prepared(tmp_path / "out/prepared")
    # 403 rows: one copy, both rows of the conflict and the short one go
    assert sum(prepared.dataset.counts.values()) == 399
    gone = pl.read_parquet(tmp_path / "out/prepared/dropped.parquet")
    assert dict(gone.group_by("rule").len().iter_rows()) == {
        "duplicate_exact": 1,
        "label_conflict": 2,
        "text_too_short": 1,
    }
    assert {"text", "label", "site", "source", "row", "rule", "evidence"} <= set(gone.columns)
    texts = pl.concat([prepared.split(name)["text"] for name in ("train", "validation", "test")])  # type: ignore[arg-type]
    assert texts.n_unique() == 399
    baseline = json.loads((tmp_path / "out/prepared/baseline.json").read_text(encoding="utf-8"))
    assert baseline["rows"] == prepared.dataset.counts["train"]
    assert sum(baseline["labels"].values()) == pytest.approx(1.0)
    assert read_report(tmp_path / "out/reports/check.json") == report
    # about 100 test rows cannot pass a limit of one point: told before anyone trains, and not blocking
    assert outcomes(report)["slice_too_small"] == "INCONCLUSIVE"
    assert exit_status(report.verdicts) == 0


def test_equal_work_gives_equal_bytes(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    write(tmp_path / "rows.csv", rows_of(120))
    for name in ("one", "two"):
        checked(tmp_path, tmp_path / name)
    for path in ("prepared/train.parquet", "prepared/dataset.json", "prepared/baseline.json", "reports/check.json"):
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_half_duplicates_fail_where_that_is_an_error(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    write(tmp_path / "rows.csv", rows_of(120) * 2)
    report = checked(tmp_path, rules={"duplicate_exact": RuleSection(severity="error")})
    assert outcomes(report)["duplicate_exact"] == "FAIL"
    assert exit_status(report.verdicts) == 1


def test_one_label_fails(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    write(tmp_path / "rows.csv", [{**row, "label": "same"} for row in rows_of(60)])
    assert outcomes(checked(tmp_path))["label_count"] == "FAIL"


def test_labels_that_differ_by_case_are_named(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = [{**row, "label": row["label"].upper() if n % 3 else row["label"]} for n, row in enumerate(rows_of(120))]
    write(tmp_path / "rows.csv", rows)
    verdict = next(v for v in checked(tmp_path).verdicts if v.rule == "label_spelling")
    assert verdict.outcome == "FAIL"
    assert "GOOD" in verdict.reason + verdict.next_step


def read_texts(folder: Path, **data: object) -> tuple[Report, pl.DataFrame]:
    """The report, and all rows of the three splits in the order of their sources."""
    report = check(
        DataSection(**data),
        project="test",
        shape=Shape(name="text", columns={"text": "text"}),
        root=folder,
        prepared=folder / "prepared",
        reports=None,
        gates=GatesSection(),
    )
    prepared = read_prepared(folder / "prepared")
    splits = [prepared.split(name) for name in ("train", "validation", "test")]  # type: ignore[arg-type]
    return report, pl.concat(splits).sort("source")


def test_a_folder_of_texts_is_a_row_a_file(tmp_path: Path) -> None:
    texts = {
        "1.txt": b"A first document.\r\n\r\nIt has two paragraphs.\r\n",
        "a/2.txt": b"\xef\xbb\xbf" + b"The second one begins with a mark.",
        "a/3.txt": "第三个文件来自中文视窗系统，用的是旧的编码。\r\n第二行。".encode("gbk"),
        "b/c/4.txt": "第四个是双字节的统一码，也带着标记。".encode("utf-16"),
        "b/empty.txt": b"",
        **{f"more/{n}.txt": f"One more document, whose number is {n}.".encode() for n in range(16)},
    }
    for name, data in texts.items():
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_bytes(data)
    report, rows = read_texts(tmp_path, train="texts")
    assert rows.height == 20
    assert rows.head(4).select("source", "text").rows() == [
        ("texts/1.txt:1", "A first document.\n\nIt has two paragraphs."),
        ("texts/a/2.txt:1", "The second one begins with a mark."),
        ("texts/a/3.txt:1", "第三个文件来自中文视窗系统，用的是旧的编码。\n第二行。"),
        ("texts/b/c/4.txt:1", "第四个是双字节的统一码，也带着标记。"),
    ]
    gone = pl.read_parquet(tmp_path / "prepared/dropped.parquet")
    assert gone.select("source", "rule").rows() == [("texts/b/empty.txt:1", "text_empty")]
    assert not any("passages" in note or "cut" in note for note in report.notes)
    assert any("3.txt is not UTF-8: it was read as gb18030" in note for note in report.notes)


def test_texts_where_labels_are_wanted_are_refused_once(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / f"{n}.txt").write_text("a text without a label")
    with pytest.raises(InputError, match="a plain text has no column 'label': a ") as caught:
        checked(tmp_path, train="*.txt")
    assert [problem.where for problem in caught.value.problems] == ["0.txt"]
    assert caught.value.problems[0].next_step == (
        "name a table (CSV, TSV, JSON, JSONL or Parquet) that has 'text', 'label'; for texts alone set task: causal_lm"
    )


@pytest.mark.parametrize(
    ("shape", "asked", "columns", "step"),
    [
        ({"text": "text"}, {"slices": ["source"]}, "'source'", "remove 'source' from data.slices"),
        ({"text": "text"}, {"group": "customer"}, "'customer'", "remove data.group"),
        ({"text": "content"}, {}, "'content'", "remove text from data.fields"),
        ({"prompt": "q", "completion": "a"}, {}, "'q', 'a'", "set task: causal_lm without data.fields"),
        (
            {"text": "review", "label": "stars"},
            {},
            "'review', 'stars'",
            "remove text from data.fields, set task: causal_lm",
        ),
    ],
)
def test_what_a_text_lacks_is_removed_where_it_is_asked_for(
    tmp_path: Path, shape: dict[str, str], asked: dict[str, object], columns: str, step: str
) -> None:
    (tmp_path / "a.txt").write_text("a text and nothing beside it")
    with pytest.raises(InputError, match=f"a plain text has no column {columns}: ") as caught:
        check(
            DataSection(train="a.txt", **asked),
            project="test",
            shape=recognise(["text"], shape, "data.fields"),
            root=tmp_path,
            prepared=None,
            reports=None,
            gates=GatesSection(),
        )
    (problem,) = caught.value.problems
    has = columns if "text" not in shape.values() else f"'text', {columns}"
    assert (
        problem.next_step == f"name a table (CSV, TSV, JSON, JSONL or Parquet) that has {has}; for texts alone {step}"
    )


def test_a_rule_that_reads_what_a_text_lacks_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a row of a table", "lang": "en"}\n')
    (tmp_path / "b.txt").write_text("a text without a language")
    rules = {"english": UserRuleSection(keep="lang = 'en'")}
    with pytest.raises(InputError, match="a plain text has no column 'lang'") as caught:
        read_texts(tmp_path, train="a.jsonl", test="b.txt", user_rules=rules)
    assert caught.value.problems[0].next_step.endswith("remove the rules that read 'lang' from data.user_rules")


def test_one_text_is_cut_into_passages_and_so_is_one_that_is_very_long(tmp_path: Path) -> None:
    # 100 paragraphs of 1,000 characters: the blank line behind two of them is the first behind 2,000
    book = "\n\n".join(f"{n:03} {'abcdefghi ' * 99}end.".ljust(1_000, "x") for n in range(100))
    (tmp_path / "book.txt").write_text(book, encoding="utf-8")
    off = {"duplicate_near": RuleSection(severity="off"), "leak_near": RuleSection(severity="off")}
    report, rows = read_texts(tmp_path, train="book.txt", rules=off)
    assert rows.height == 50
    assert {"book.txt:1", "book.txt:5", "book.txt:197"} <= set(rows["source"])
    assert rows.filter(pl.col("source") == "book.txt:5")["text"][0].startswith("002 ")
    alone = "book.txt is the only text of train: its passages of up to 4,000 characters are the rows"
    assert alone in report.notes and chinese_of(alone)
    for n in range(20):
        (tmp_path / f"{n}.txt").write_text(f"A short document, the number of which is {n}.")
    (tmp_path / "long.txt").write_text(book.replace("abc", "Abc") * 3)
    report, rows = read_texts(tmp_path, train=["long.txt", "[0-9]*.txt"], rules=off)
    assert rows.height == 20 + 3  # 125 paragraphs are the first behind 125,000 characters
    cut = "texts of more than 250,000 characters are cut into several rows at paragraphs or sentences: 1, the first is "
    assert f"{cut}long.txt" in report.notes and chinese_of(f"{cut}long.txt")


def test_a_text_in_one_line_is_many_rows(tmp_path: Path) -> None:
    # sentences of 20 characters without a space, 1.2 million characters or 3.6 MB: 12,500 of them fill a row
    (tmp_path / "novel.txt").write_text("".join(f"第{n:06}句话说的是另一件事情啊啊。" for n in range(60_000)))
    for n in range(20):
        (tmp_path / f"{n}.txt").write_text(f"A short document, the number of which is {n}.")
    off = {"duplicate_near": RuleSection(severity="off"), "leak_near": RuleSection(severity="off")}
    report, rows = read_texts(tmp_path, train="*.txt", rules=off)
    pieces = rows.filter(pl.col("source") == "novel.txt:1")["text"]
    assert sorted(pieces.str.len_chars()) == [200_000, *[250_000] * 4]
    assert "text_too_long" not in outcomes(report)


def test_nothing_left_keeps_the_earlier_folder(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    write(tmp_path / "rows.csv", rows_of(120))
    checked(tmp_path, tmp_path / "out")
    before = (tmp_path / "out/prepared/dataset.json").read_bytes()
    (tmp_path / "rows.csv").write_text("text,label\n", encoding="utf-8")
    report = checked(tmp_path, tmp_path / "out")
    assert outcomes(report)["not_empty"] == "FAIL"
    assert (tmp_path / "out/prepared/dataset.json").read_bytes() == before


def test_groups_and_named_files(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = [{**row, "customer": str(number // 3)} for number, row in enumerate(rows_of(240))]
    write(tmp_path / "rows.csv", rows[:180])
    write(tmp_path / "held.csv", rows[180:])
    checked(tmp_path, tmp_path / "out", test="held.csv", group="customer")
    prepared = read_prepared(tmp_path / "out/prepared")
    assert prepared.dataset.counts["test"] == 60
    assert not set(prepared.split("train")["group"]) & set(prepared.split("validation")["group"])


def test_a_slice_called_like_one_of_our_columns(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = [{"text": row["text"], "label": row["label"], "source": row["site"]} for row in rows_of(120)]
    write(tmp_path / "rows.csv", rows)
    checked(tmp_path, tmp_path / "out", slices=["source"])
    prepared = read_prepared(tmp_path / "out/prepared")
    assert set(prepared.split("test")[prepared.dataset.slices[0]]) <= {"film", "phone"}
    assert prepared.split("test")["source"][0].startswith("rows.csv:")


@pytest.mark.parametrize(
    "name",
    ["id", "source", "text_type", "label_type", "group", "part", "row", "key", "split", "order", "rule", "evidence"],
)
def test_a_slice_called_like_any_column_of_ours(name: str, tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = [{"text": row["text"], "label": row["label"], name: row["site"]} for row in rows_of(120)]
    write(tmp_path / "rows.csv", rows)
    checked(tmp_path, tmp_path / "out", slices=[name])
    prepared = read_prepared(tmp_path / "out/prepared")
    test = prepared.split("test")
    truth = {row["text"]: row[name] for row in rows}
    assert test[prepared.dataset.slices[0]].to_list() == [truth[text] for text in test["text"]]
    assert sum(prepared.dataset.counts.values()) == 120


def test_slices_never_take_one_name(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = [
        {"text": row["text"], "label": row["label"], "source": row["site"], "source_column": "same"}
        for row in rows_of(120)
    ]
    write(tmp_path / "rows.csv", rows)
    checked(tmp_path, tmp_path / "out", slices=["source", "source_column"])
    prepared = read_prepared(tmp_path / "out/prepared")
    assert prepared.dataset.slices == ["source_column_column", "source_column"]
    assert set(prepared.split("train")["source_column_column"]) == {"film", "phone"}


def test_the_same_file_twice_and_unknown_rules_are_refused(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    write(tmp_path / "rows.csv", rows_of(60))
    with pytest.raises(InputError):
        checked(tmp_path, test="rows.csv")
    with pytest.raises(InputError):
        checked(tmp_path, fields=FieldsSection(text="body", label="label"))


def check_files(folder: Path, name: str, **data: object) -> Report:
    settings = DataSection(**{"train": name, **data})
    return check(
        settings,
        project="test",
        shape=recognise(first_columns(folder / name), {}, name),
        root=folder,
        prepared=folder / "out/prepared",
        reports=None,
        gates=GatesSection(),
    )


def test_conversations_become_lists_of_turns(tmp_path: Path) -> None:
    rows = [
        {
            "conversations": [
                {"from": "human", "value": f"第{n}个问题是什么？"},
                {"from": "gpt", "value": f"答案是{n}号。"},
            ]
        }
        for n in range(60)
    ]
    rows[7]["conversations"].append({"from": "gpt", "value": "again"})
    rows[8]["conversations"][1]["value"] = "key: AKIAIOSFODNN7EXAMPLQ, call me at 13812345678"
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    report = check_files(tmp_path, "c.jsonl")
    prepared = read_prepared(tmp_path / "out/prepared")
    assert (prepared.dataset.task, prepared.dataset.shape) == ("causal_lm", "messages")
    train = prepared.split("train")
    assert train.columns == ["id", "source", "messages", "group"]
    assert [turn["role"] for turn in train["messages"][0]] == ["user", "assistant"]
    gone = pl.read_parquet(tmp_path / "out/prepared/dropped.parquet")
    assert gone.select("source", "rule", "evidence").rows() == [
        ("c.jsonl:8", "row_malformed", "turns 2 and 3 are both by the assistant")
    ]
    flagged = pl.read_parquet(tmp_path / "out/prepared/flagged.parquet")
    assert flagged.select("source", "rule", "kind").rows() == [
        ("c.jsonl:9", "personal_data", "cn_mobile"),
        ("c.jsonl:9", "secret", "api_key"),
    ]
    assert "13812345678" not in report.model_dump_json() + str(flagged.to_dicts())
    found = outcomes(report)
    assert (found["secret"], found["row_malformed"]) == ("FAIL", "FAIL")
    assert exit_status(report.verdicts) == 1


def test_benchmark_questions_are_dropped_with_the_passage_that_shows_them(tmp_path: Path) -> None:
    rows = [{"text": f"这是第{n}条新闻，讲的是城市里第{n * 7}家书店的故事，读者很多。"} for n in range(80)]
    rows[40]["text"] = "练习：下列关于光合作用的说法中正确的是哪一项，请从叶绿体的结构说起？谢谢"
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    question = {"question": "下列关于光合作用的说法中，正确的是哪一项？请从叶绿体的结构说起。", "answer": "类囊体"}
    (tmp_path / "q.jsonl").write_text(json.dumps(question, ensure_ascii=False) + "\n", encoding="utf-8")
    report = check_files(tmp_path, "c.jsonl", benchmarks="q.jsonl")
    gone = pl.read_parquet(tmp_path / "out/prepared/dropped.parquet").filter(pl.col("rule") == "contamination")
    assert gone["source"].to_list() == ["c.jsonl:41"]
    assert "q.jsonl:1" in gone["evidence"][0] and "光合作用" in gone["evidence"][0]
    assert outcomes(report)["contamination"] == "FAIL"
    assert exit_status(report.verdicts) == 0  # a warning: the rows are out


def test_an_empty_setting_of_memory_is_derived_and_a_small_one_holds(
    tmp_path: Path, rows_of: Callable[[int], Rows]
) -> None:
    write(tmp_path / "rows.csv", rows_of(300))
    one = checked(tmp_path, tmp_path / "one")
    settings = DataSection(train="rows.csv")
    two = check(
        settings,
        project="test",
        shape=Shape(name="text_label", columns={"text": "text", "label": "label"}),
        root=tmp_path,
        prepared=tmp_path / "two/prepared",
        reports=tmp_path / "two/reports",
        gates=GatesSection(),
        memory_bytes=600 * 1024**2,
    )
    assert one == two
    assert read_run_record(tmp_path / "two/reports/check.run.json").memory_limit_bytes == 600 * 1024**2


def test_rules_of_the_users_own_drop_rows_after_all_others(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = [{**row, "stars": str(number % 7)} for number, row in enumerate(rows_of(140))]
    write(tmp_path / "rows.csv", [*rows, {**rows[0], "text": "short", "stars": "0"}])
    own = {
        "rated": UserRuleSection(keep="CAST(stars AS INT) BETWEEN 1 AND 5", budget=0.3),
        "not_too_new": UserRuleSection(keep="stars <> '5'", severity="warning"),
    }
    report = checked(tmp_path, tmp_path / "out", user_rules=own)
    gone = pl.read_parquet(tmp_path / "out/prepared/dropped.parquet")
    # of 140 rows 20 have each number of stars: 0 and 6 break the first rule, 5 the second, the short one no own rule
    assert dict(gone.group_by("rule").len().iter_rows()) == {"rated": 40, "not_too_new": 20, "text_too_short": 1}
    assert gone.filter(pl.col("rule") == "rated")["evidence"].unique().sort().to_list() == [
        "not true: CAST(stars AS INT) BETWEEN 1 AND 5; stars is '0'",
        "not true: CAST(stars AS INT) BETWEEN 1 AND 5; stars is '6'",
    ]
    found = {verdict.rule: (verdict.outcome, verdict.severity) for verdict in report.verdicts}
    assert found["rated"] == ("PASS", "error")
    assert found["not_too_new"] == ("FAIL", "warning")
    assert report.parameters["user_rules"] == {name: section.keep for name, section in own.items()}


def test_rules_of_the_users_own_in_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows go whether this process judges them or others do."""
    lines = [json.dumps({"text": f"a sentence with the number {n} in it", "n": n}) for n in range(2_000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = DataSection(train="rows.jsonl", user_rules={"even": UserRuleSection(keep="MOD(CAST(n AS INT), 2) = 0")})
    monkeypatch.setattr("modelyard.data.reading.survey.PIECE_BYTES", 20_000)
    monkeypatch.setattr("modelyard.data.mapping.PIECE_BYTES", 20_000)
    gone = []
    for inline in (10**9, 0):
        monkeypatch.setattr("modelyard.data.workers.INLINE_BYTES", inline)
        out = tmp_path / str(inline)
        check(
            data,
            project="test",
            shape=Shape(name="text", columns={"text": "text"}),
            root=tmp_path,
            prepared=out / "prepared",
            reports=out / "reports",
            gates=GatesSection(),
        )
        gone.append(pl.read_parquet(out / "prepared/dropped.parquet").filter(pl.col("rule") == "even"))
    assert gone[0].height == 1_000
    assert gone[0].equals(gone[1])


def test_a_rule_of_the_users_own_that_cannot_be(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    write(tmp_path / "rows.csv", rows_of(20))
    own = {
        "one": UserRuleSection(keep="lable = 'a'"),
        "two": UserRuleSection(keep="LEN(text) > 2"),
        "text_empty": UserRuleSection(keep="text <> ''"),
        "gopher_word_count": UserRuleSection(keep="text <> ''"),
    }
    with pytest.raises(InputError) as error:
        checked(tmp_path, user_rules=own)
    said = [f"{problem.where}: {problem.message}; {problem.next_step}" for problem in error.value.problems]
    assert len(said) == 4
    assert "did you mean label" in said[0]
    assert "write LENGTH(column)" in said[1]
    assert all("is taken" in line for line in said[2:])
    with pytest.raises(InputError, match=r"change it in data\.user_rules\.mine"):
        checked(
            tmp_path, user_rules={"mine": UserRuleSection(keep="text <> ''")}, rules={"mine": RuleSection(budget=0.5)}
        )


def test_a_column_of_a_users_rule_must_stand_in_every_file(tmp_path: Path, rows_of: Callable[[int], Rows]) -> None:
    rows = rows_of(40)
    write(tmp_path / "a.csv", [{**row, "stars": "4"} for row in rows[:20]])
    write(tmp_path / "b.csv", rows[20:])
    own = {"rated": UserRuleSection(keep="stars > '3'")}
    with pytest.raises(InputError, match=r"there is no column 'stars'"):
        checked(tmp_path, train=["a.csv", "b.csv"], user_rules=own)


def test_a_users_rule_over_columns_named_like_ours(tmp_path: Path) -> None:
    rows = [f"a sentence that is long enough {n},{n % 2},x" for n in range(60)]
    (tmp_path / "rows.csv").write_text("text,row,rule\n" + "\n".join(rows), encoding="utf-8")
    report = check(
        DataSection(train="rows.csv", user_rules={"own": UserRuleSection(keep="row = '1' AND rule = 'x'", budget=0.5)}),
        project="test",
        shape=Shape(name="text", columns={"text": "text"}),
        root=tmp_path,
        prepared=None,
        reports=None,
        gates=GatesSection(),
    )
    (dropped,) = [m.interval.estimate for m in report.measurements if m.name == "dropped_own"]
    assert dropped == 30


def several(folder: Path, rows: list[dict[str, object]], **data: object) -> tuple[Report, pl.DataFrame, pl.DataFrame]:
    """Check rows of several labels: the report, all rows prepared, all dropped."""
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    report = check(
        DataSection(**{"train": "rows.jsonl", **data}),
        project="test",
        shape=Shape(name="text_labels", columns={"text": "text", "label": "tags"}),
        root=folder,
        prepared=folder / "prepared",
        reports=folder / "reports",
        gates=GatesSection(),
    )
    splits = {name: pl.read_parquet(folder / f"prepared/{name}.parquet") for name in ("train", "validation", "test")}
    prepared = pl.concat([frame.with_columns(split=pl.lit(name)) for name, frame in splits.items()])
    return report, prepared, pl.read_parquet(folder / "prepared/dropped.parquet")


def test_rows_of_several_labels(tmp_path: Path) -> None:
    tags = [["b", "a", "a "], ["a"], [], ["c", "a"], "b"]
    rows: list[dict[str, object]] = [{"text": f"a sentence about {n * 7919}", "tags": tags[n % 5]} for n in range(100)]
    rows += [
        {"text": "a sentence about 0", "tags": ["a"]},  # the first row's text with another set of labels
        {"text": "a sentence about 7919", "tags": ["a", "a"]},  # the second row once more
        {"text": "its labels are missing", "tags": None},
        {"text": "one of its labels is no text", "tags": ["a", {"b": 1}]},
        {"text": "this list is as NumPy prints it", "tags": "['a' 'b']"},
        {"text": "half of a surrogate pair hides in it", "tags": '["\\ud800"]'},
        {"text": "and a NUL character in this one", "tags": '["a\\u0000b"]'},
        {"text": "one of its labels is far too long", "tags": ["a", "x" * 201]},
    ]
    report, prepared, gone = several(tmp_path, rows)
    assert dict(gone.group_by("rule").len().iter_rows()) == {
        "label_conflict": 2,
        "duplicate_exact": 1,
        "fields_present": 5,
        "label_too_long": 1,
    }
    assert gone.filter(pl.col("rule") == "fields_present")["evidence"].to_list() == [
        "there is no label",
        "the label is a list that holds more than texts and numbers",
        """the label is a list that cannot be read: write ["a", "b"], or texts alone as ['a', 'b']""",
        "the label is a list with half of a surrogate pair or a NUL character, which no text holds",
        "the label is a list with half of a surrogate pair or a NUL character, which no text holds",
    ]
    assert prepared["labels"].dtype == pl.List(pl.String)
    # of 100 rows the first went: 19 of [a, b], 20 of each other set
    assert dict(prepared["labels"].list.join("+").value_counts().iter_rows()) == {
        "a+b": 19,
        "a": 20,
        "": 20,
        "a+c": 20,
        "b": 20,
    }
    baseline = json.loads((tmp_path / "prepared/baseline.json").read_text(encoding="utf-8"))
    assert list(baseline["labels"]) == ["a", "b", "c"]
    found = {verdict.rule: verdict for verdict in report.verdicts}
    assert found["label_count"].interval.estimate == 3
    assert found["label_balance"].interval.estimate == pytest.approx(20 / 99)
    assert "label_suspect" not in found
    dataset = read_prepared(tmp_path / "prepared").dataset
    assert (dataset.task, dataset.shape, dataset.labels) == (
        "multi_label_classification",
        "text_labels",
        ["a", "b", "c"],
    )


def test_class_numbers_are_labels_and_rows_without_any_are_told(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": f"a sentence about {n * 7919}", "tags": [n % 3, 7]} for n in range(60)]
    (tmp_path / "numbers").mkdir()
    _, prepared, _ = several(tmp_path / "numbers", rows)
    assert set(prepared["labels"].explode()) == {"0", "1", "2", "7"}
    (tmp_path / "none").mkdir()
    report, _, _ = several(tmp_path / "none", [{**row, "tags": []} for row in rows])
    assert outcomes(report)["label_count"] == "FAIL"


def test_half_a_surrogate_pair_inside_a_conversation_is_a_finding(tmp_path: Path) -> None:
    cells = ['[{"role": "user", "content": "x\\ud800"}, {"role": "assistant", "content": "y"}]'] * 2
    rows = [{"messages": cell} for cell in cells]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    report = check(
        DataSection(train="rows.jsonl"),
        project="test",
        shape=Shape(name="messages", columns={"messages": "messages"}),
        root=tmp_path,
        prepared=None,
        reports=None,
        gates=GatesSection(),
    )
    assert outcomes(report)["text_is_string"] == "FAIL"


def test_a_rare_label_stands_in_every_split_whatever_stands_beside_it(tmp_path: Path) -> None:
    rows = [
        {
            "text": f"a sentence about {n * 7919}",
            "tags": ["common", f"tag {n % 50}", *(["rare"] if n % 200 == 7 else [])],
        }
        for n in range(2_000)
    ]
    _, prepared, _ = several(tmp_path, rows)
    rare = prepared.filter(pl.col("labels").list.contains("rare"))
    counts = dict(rare["split"].value_counts().iter_rows())
    assert all(
        abs(counts[name] - 10 * share) < 1 for name, share in {"train": 0.6, "validation": 0.15, "test": 0.25}.items()
    )


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ('["a", "b"]', "text_labels"),
        ("['a']", "text_labels"),
        ("[]", "text_labels"),
        ("a", "text_label"),
        ("[draft", "text_label"),
    ],
)
def test_several_labels_are_known_by_their_values(tmp_path: Path, cell: str, name: str) -> None:
    write(tmp_path / "rows.csv", [{"text": "a sentence that is long", "label": cell}])
    assert recognise_rows(first_rows(tmp_path / "rows.csv"), {}, "rows.csv").name == name


def test_questions_that_are_not_looked_for_are_counted_and_the_files_named(tmp_path: Path) -> None:
    rows = [{"text": f"a plain sentence number {n} about the weather of day {n}"} for n in range(60)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = ["what is gravity?", "which planet of the solar system has the most moons of all?"]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in questions))
    report = check_files(tmp_path, "c.jsonl", benchmarks=["q.jsonl"])
    facts = report.parameters["benchmarks"]
    assert (facts["questions"], facts["not_looked_for"]) == (2, 1)
    digest = hashlib.sha256((tmp_path / "q.jsonl").read_bytes()).hexdigest()
    assert facts["files"] == {"q.jsonl": f"sha256:{digest}"}
    assert any("1 of 2 benchmark questions are not looked for" in note and "q.jsonl:1" in note for note in report.notes)


def test_no_benchmark_named_is_none(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": f"a text of number {n}"}) + "\n" for n in range(60)))
    report = check_files(tmp_path, "c.jsonl", benchmarks=[])
    assert "contamination" not in {verdict.rule for verdict in report.verdicts}
