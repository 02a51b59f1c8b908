import json
from pathlib import Path

import polars as pl
import pytest

from modelyard.cli.main import main
from modelyard.data.rules import RULES

WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "red",
    "green",
    "blue",
    "loud",
    "calm",
    "old",
    "new",
    "big",
]


def write_reviews(path: Path, count: int = 60) -> None:
    rows = [
        f"the {WORDS[n % 15]} phone number {n},{'bad' if n % 2 else 'good'},{'film' if n % 3 else 'phone'}"
        for n in range(count)
    ]
    path.write_text("\n".join(["review,stars,site", *rows, rows[0], ""]))


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    return int(ended.value.code or 0)


def test_alone_it_prints_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_reviews(tmp_path / "r.csv")
    assert call("r.csv", "--text", "review", "--label", "stars", "--slices", "site") == 0
    shown = capsys.readouterr().out
    assert "61 rows read, 1 dropped, 60 kept: train 36, validation 9, test 15" in shown
    assert "r.csv:62 (same text as r.csv:2)" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_alone_with_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_reviews(tmp_path / "r.csv")
    assert call("r.csv", "--text", "review", "--label", "stars", "--output", "out/prepared", "--json") == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "check"
    assert {path.name for path in (tmp_path / "out/prepared").iterdir()} == {
        "train.parquet", "validation.parquet", "test.parquet", "dropped.parquet", "flagged.parquet",
        "baseline.json", "dataset.json", "README.md",
    }  # fmt: skip
    assert (tmp_path / "out/reports/check.json").is_file()
    assert pl.read_parquet(tmp_path / "out/prepared/dropped.parquet")["rule"].to_list() == ["duplicate_exact"]


def test_exit_statuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"a text of number {n},same\n" for n in range(20)))
    assert call("one.csv") == 1
    assert call("one.csv", "--exit-zero") == 0
    assert call("one.csv", "--text", "txet") == 2
    assert "did you mean 'text'" in capsys.readouterr().err
    assert call("one.csv", "--text", "label", "--label", "label") == 2
    assert call("nowhere.csv") == 2


def test_what_could_not_be_prepared_fails_whatever_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.csv").write_text("text,label\n" + "".join(f"t{n},{n % 2}\n" for n in range(200)))
    assert call("short.csv", "--output", "out/prepared", "--exit-zero") == 1
    assert "nothing was prepared" in capsys.readouterr().out
    assert not (tmp_path / "out/prepared").exists()
    assert call("short.csv", "--exit-zero") == 0  # nothing was to be written
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"two/{name}.txt").write_text(f"A document of its own, which is called {name}.\n")
    (tmp_path / "modelyard.yaml").write_text(
        "schema: 1\nproject: p\ntask: causal_lm\ndata:\n  train: two\n  rules: {not_empty: {severity: warning}}\n"
    )
    for option in ([], ["--exit-zero"]):
        assert call(*option) == 1
        assert "no row is left for validation" in capsys.readouterr().out
    assert (tmp_path / "reports/check.json").is_file() and not (tmp_path / "prepared").exists()


def test_in_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reviews(tmp_path / "r.csv")
    (tmp_path / "modelyard.yaml").write_text(
        "schema: 1\nproject: mine\ndata:\n  train: r.csv\n  fields: {text: review, label: stars}\nmodel: {base: m}\n"
    )
    assert call("--project", str(tmp_path)) == 0
    assert "mine" in capsys.readouterr().out
    assert (tmp_path / "prepared/dataset.json").is_file()
    assert (tmp_path / "reports/check.run.json").is_file()


def test_every_rule_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--rules") == 0
    shown = capsys.readouterr().out
    assert len(RULES) == 24
    assert all(rule.name in shown for rule in RULES)


def test_in_a_project_its_own_rules_are_listed_as_it_judges_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "modelyard.yaml").write_text(
        "schema: 1\nproject: mine\ntask: causal_lm\ndata:\n  train: r.jsonl\n  filters: [c4]\n"
        "  rules: {text_empty: {budget: 0.25}, secret: {severity: 'off'}}\n"
        "  user_rules: {no_drafts: {keep: \"status <> '[bold]draft'\", budget: 0.1, severity: warning}}\n"
    )
    assert call("--rules", "--project", str(tmp_path)) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line[:1].strip()}
    assert "allowed here" in rows["rule"]
    assert "at most 0.25 fraction" in rows["text_empty"]
    assert "at most 0.1 fraction" in rows["no_drafts"]
    assert "warning" in rows["no_drafts"]
    assert "status <> '[bold]draft'" in rows["no_drafts"]  # shown as written, not as markup
    assert any(name.startswith("c4_") for name in rows)
    assert "secret" not in rows
    assert not {"label_balance", "contamination"} & rows.keys()  # no labels, no benchmarks


@pytest.mark.parametrize(
    ("options", "lacks", "step"),
    [
        (["--label", "stars"], "'stars'", "leave out --label"),
        (["--text", "body", "--label", "stars"], "'body', 'stars'", "leave out --text, leave out --label"),
        (["--fields", "prompt=q,completion=a"], "'q', 'a'", "leave out --fields"),
        (["--slices", "site,text", "--group", "shop"], "'site', 'shop'", "leave out --slices, leave out --group"),
    ],
)
def test_what_a_text_lacks_is_left_out_of_the_options(
    options: list[str],
    lacks: str,
    step: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("A text and nothing beside it.\n")
    assert call("book.txt", *options) == 2
    said = capsys.readouterr().err
    assert f"book.txt: a plain text has no column {lacks}: a .txt file holds a text and nothing beside it" in said
    assert "name a table (CSV, TSV, JSON, JSONL or Parquet) that has " in said
    assert f"; for texts alone {step}\n" in said


def test_a_text_beside_a_table_of_labels_and_one_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"a text of number {n},{n % 2}\n" for n in range(9)))
    (tmp_path / "book.txt").write_text("A text and nothing beside it.\n")
    assert call("a.csv", "book.txt") == 2
    assert "that has 'text', 'label'; for texts alone name them without the tables" in capsys.readouterr().err
    (tmp_path / "book.txt").write_bytes(
        b"\x89PNG\r\n\x1a\n\x00\x00"
    )  # what is wrong with it is not that it has no label
    assert call("book.txt") == 2
    assert "not a table of text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "has", "step"),
    [
        ("task: classification\ndata:\n", "'text', 'label'", "set task: causal_lm"),
        ("task: seq2seq_lm\ndata:\n", "'prompt', 'completion'", "set task: causal_lm without data.fields"),
        (
            "task: seq2seq_lm\ndata:\n  fields: {completion: a}\n",
            "'prompt', 'a'",
            "set task: causal_lm without data.fields",
        ),
        ("task: causal_lm\ndata:\n  fields: {prompt: q}\n", "'q'", "remove prompt from data.fields"),
    ],
)
def test_a_text_in_a_project_whose_task_needs_more(
    settings: str, has: str, step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "book.txt").write_text("A text and nothing beside it.\n")
    (tmp_path / "modelyard.yaml").write_text(
        f"schema: 1\nproject: p\n{settings}  train: book.txt\nmodel: {{base: m}}\n"
    )
    assert call("--project", str(tmp_path)) == 2
    assert f"(CSV, TSV, JSON, JSONL or Parquet) that has {has}; for texts alone {step}\n" in capsys.readouterr().err
