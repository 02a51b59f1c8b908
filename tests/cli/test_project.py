"""`init`, `fetch`, `run`, `report`, `doctor`, `schema` as a person meets them."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.artifacts.prepared import read_prepared
from modelyard.artifacts.reports import write_report
from modelyard.cli import project as commands
from modelyard.cli.main import main
from modelyard.errors import Problem
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Report
from modelyard.pipeline import run as run_module
from modelyard.pipeline.closing import Closing, StageResult
from modelyard.pipeline.doctor import Findings
from modelyard.project.load import load_project
from modelyard.scaffold import base_models
from modelyard.scaffold.guess import Guess, Head

ROWS = [f"a rather long text of {number},{'ab'[number % 2]},{'xy'[number % 2]}" for number in range(40)]


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["body,queue,site", *ROWS]) + "\n")
    return path


def test_init_shows_what_it_guessed(data: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data.parent / "mine"
    assert call("init", str(folder), "--data", str(data), "--label", "queue", "--model", str(tiny_base)) == 0
    printed = capsys.readouterr().out
    assert "text   body  (by its name)" in printed
    assert "label  queue  (named by you)" in printed
    assert "slices none; could be: site (--slices)" in printed
    assert f"next   cd {folder} && modelyard run" in printed
    assert load_project(folder).settings.data.fields.text == "body"


def test_init_sees_conversations(tmp_path: Path, tiny_decoder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "chats.jsonl"
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
    rows.write_text(json.dumps({"conversations": turns}) + "\n")
    assert call("init", str(tmp_path / "tutor"), "--data", str(rows), "--model", str(tiny_decoder)) == 0
    assert "messages conversations  (by its name)" in capsys.readouterr().out
    assert load_project(tmp_path / "tutor").settings.task == "causal_lm"


def test_init_and_check_of_a_language_model_from_one_text(tmp_path: Path, tiny_decoder: Path) -> None:
    book, folder = tmp_path / "novel.txt", tmp_path / "writer"
    lines = (
        f"Chapter {n}. " + f"What happened on day {n * 7919} is told here at some length. " * 50 for n in range(40)
    )
    book.write_text("\n\n".join(lines), encoding="utf-8")
    assert call("init", str(folder), "--data", str(book), "--model", str(tiny_decoder)) == 0
    assert load_project(folder).settings.task == "causal_lm"
    assert call("check", "--project", str(folder), "--exit-zero") == 0
    assert read_prepared(folder / "prepared").dataset.shape == "text"


def test_init_sees_from_the_model_that_it_reads_one_text_and_writes_another(
    tmp_path: Path, tiny_pair_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, folder = tmp_path / "pairs.csv", tmp_path / "short"
    rows.write_text(
        "\ufeffsource_text,target_text\r\n"
        + "".join(f"第{n}篇：今天天气真好，我们去公园。,天气好{n}\r\n" for n in range(60)),
        encoding="utf-8",
    )
    assert call("init", str(folder), "--data", str(rows), "--model", str(tiny_pair_model)) == 0
    assert load_project(folder).settings.task == "seq2seq_lm"
    assert call("check", "--project", str(folder), "--exit-zero") == 0
    dataset = read_prepared(folder / "prepared").dataset
    assert (dataset.task, dataset.shape) == ("seq2seq_lm", "prompt_completion")
    settings = (folder / "modelyard.yaml").read_text().replace("completion: target_text", "text: target_text")
    (folder / "modelyard.yaml").write_text(settings.replace("prompt: source_text", "label: source_text"))
    capsys.readouterr()
    assert call("check", "--project", str(folder)) == 2
    assert "of the shape text_label: it needs a prompt and a completion" in capsys.readouterr().err


def test_init_of_pairs_without_a_model_or_without_pairs(
    tmp_path: Path, data: Path, tiny_pair_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "a", "completion": "b"}\n')
    assert call("init", str(tmp_path / "one"), "--data", str(pairs), "--task", "seq2seq_lm") == 2
    assert "no base model for seq2seq_lm can be fetched" in capsys.readouterr().err
    assert call("init", str(tmp_path / "two"), "--data", str(data), "--model", str(tiny_pair_model)) == 2
    assert "the columns ('body', 'queue', 'site') are no shape of rows that is known" in capsys.readouterr().err
    named = ["--fields", "text=body", "--model", str(tiny_pair_model)]
    assert call("init", str(tmp_path / "two"), "--data", str(data), *named) == 2
    assert "learns pairs, and the columns (body, queue, site) name none" in capsys.readouterr().err
    named = ["--fields", "prompt=body,completion=queue", "--model", str(tiny_pair_model)]
    assert call("init", str(tmp_path / "two"), "--data", str(data), *named) == 0
    fields = load_project(tmp_path / "two").settings.data.fields
    assert (fields.prompt, fields.completion) == ("body", "queue")
    labelled = ["--label", "queue", "--model", str(tiny_pair_model)]  # may be a classifier's base, too
    assert call("init", str(tmp_path / "three"), "--data", str(data), *labelled) == 0
    assert load_project(tmp_path / "three").settings.task == "classification"
    capsys.readouterr()
    wrong = ["--task", "causal_lm", "--text", "bdy"]
    assert call("init", str(tmp_path / "four"), "--data", str(data), *wrong) == 2
    assert "error: --text: the file has no column 'bdy'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "has", "step"),
    [
        (["--label", "queue"], "'queue'", "leave out --label"),
        (["--task", "classification"], "'label'", "train a language model: --task causal_lm"),
        (["--task", "seq2seq_lm"], "'prompt', 'completion'", "train a language model: --task causal_lm"),
        (["--fields", "prompt=q", "--group", "shop"], "'q', 'shop'", "leave out --fields, leave out --group"),
    ],
)
def test_init_says_what_a_text_lacks(
    options: list[str], has: str, step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "novel.txt"
    book.write_text("A text and nothing beside it.\n")
    assert call("init", str(tmp_path / "mine"), "--data", str(book), *options) == 2
    said = capsys.readouterr().err
    assert f"a plain text has no column {has}: a .txt file holds a text and nothing beside it" in said
    assert f"that has {has}; for texts alone {step}\n" in said


def test_init_of_a_text_whose_column_is_named(tmp_path: Path, tiny_decoder: Path) -> None:
    book = tmp_path / "novel.txt"
    book.write_text("A text and nothing beside it.\n")
    options = ["--data", str(book), "--text", "text", "--model", str(tiny_decoder)]
    assert call("init", str(tmp_path / "mine"), *options) == 0
    assert load_project(tmp_path / "mine").settings.task == "causal_lm"


def test_init_of_a_language_model_from_rows_with_labels(data: Path, tiny_decoder: Path) -> None:
    folder = data.parent / "mine"
    options = ["--task", "causal_lm", "--text", "body", "--model", str(tiny_decoder)]
    assert call("init", str(folder), "--data", str(data), *options) == 0
    assert call("check", "--project", str(folder), "--exit-zero") == 0
    assert read_prepared(folder / "prepared").dataset.shape == "text"


def test_init_check_and_train_of_several_labels_a_row(
    tmp_path: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"the {word} film {n}", "labels": [word, "film"]} for n in range(20) for word in ("good", "bad")]
    rows += [{"text": f"the story {n}", "labels": []} for n in range(20)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call("init", str(tmp_path / "mine"), "--data", str(data), "--model", str(tiny_base)) == 0
    assert "lists of 3 different" in capsys.readouterr().out
    settings = tmp_path / "mine/modelyard.yaml"
    settings.write_text(settings.read_text().replace("epochs: null", "epochs: 1").replace("auto", "fp32"))
    assert call("check", "--project", str(tmp_path / "mine")) == 0
    assert "slice_too_small" not in capsys.readouterr().out  # no gate will judge classes of several a row
    assert call("train", "--project", str(tmp_path / "mine")) == 0
    assert "· exact match on validation" in capsys.readouterr().out
    assert call("compress", "--project", str(tmp_path / "mine")) == 2
    assert "classifiers of one label a row" in " ".join(capsys.readouterr().err.split())


def test_init_takes_the_task_that_is_named(data: Path, tiny_base: Path) -> None:
    options = ["--label", "queue", "--task", "multi_label_classification", "--model", str(tiny_base)]
    assert call("init", str(data.parent / "mine"), "--data", str(data), *options) == 0
    assert load_project(data.parent / "mine").settings.task == "multi_label_classification"


def test_init_refuses_a_task_that_there_is_not(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("init", str(data.parent / "mine"), "--data", str(data), "--task", "translation") == 2
    assert "--task is 'translation'" in capsys.readouterr().err
    options = ["--task", "causal_lm", "--label", "queue"]
    assert call("init", str(data.parent / "mine"), "--data", str(data), *options) == 2
    assert "a language model learns texts, not labels" in capsys.readouterr().err


def test_init_with_everything_named(data: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--text", "body", "--label", "queue", "--slices", "site, ", "--group", "site", "--model", str(tiny_base)]
    assert call("init", str(data.parent / "mine"), "--data", str(data), *options) == 0
    settings = load_project(data.parent / "mine").settings
    assert (settings.data.slices, settings.data.group) == (["site"], "site")
    assert "slices site\n" in capsys.readouterr().out


def test_init_without_a_terminal_lists_the_columns(
    tmp_path: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("one,two\n" + "".join(f"t{n},u{n}\n" for n in range(20)))
    assert call("init", str(tmp_path / "mine"), "--data", str(tmp_path / "rows.csv"), "--model", str(tiny_base)) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the column of the text cannot be guessed" in said and "columns: one, two" in said
    assert "name it with --label COL" in said
    assert not (tmp_path / "mine").exists()


def test_init_asks_on_a_terminal(tmp_path: Path, tiny_base: Path) -> None:
    (tmp_path / "rows.csv").write_text("one,two,three\n" + "".join(f"text {n},text:{n},a\n" for n in range(20)))
    ours, theirs = pty.openpty()
    program = str(Path(sys.executable).parent / "modelyard")
    command = [program, "init", "mine", "--data", "rows.csv", "--label", "three", "--model", str(tiny_base)]
    going = subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, b"four\n1\n")  # no such column, then the first
    printed = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        printed += piece
    os.close(ours)
    assert going.wait(60) == 0, printed
    assert b"1  one: text 0" in printed
    assert load_project(tmp_path / "mine").settings.data.fields.text == "one"


def test_init_names_the_fetch_that_is_missing(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELYARD_CACHE", str(data.parent / "cache"))
    assert call("init", str(data.parent / "mine"), "--data", str(data), "--label", "queue") == 4
    assert "modelyard fetch minilm" in capsys.readouterr().err


def test_questions_take_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.typer, "prompt", lambda _: "b")
    head = Head(["a", "b"], [{"a": "x", "b": None}])
    assert commands._ask("text", Guess(None, "no idea"), head).column == "b"


def test_fetch_prints_the_size_first_and_works_once(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path))

    def fetch(name: str, cache: Path, _progress: object) -> Path:
        folder = shutil.copytree(tiny_base, cache / "models" / name)
        (folder / "base.json").write_text("{}")
        return folder

    monkeypatch.setattr(base_models, "fetch", fetch)
    assert call("fetch", "minilm") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "Downloads 83.5 MB" in first and "MIT" in first
    assert second == f"fetched {tmp_path / 'models' / 'minilm'}"
    assert call("fetch", "minilm") == 0
    assert "is in the cache already" in capsys.readouterr().out


def closing(status: int = 0) -> Closing:
    return Closing(
        [StageResult("check", "ran", 1.0, {"PASS": 1}, 2, ())], status, None, Path("release"), "sha256:1", True
    )


@pytest.mark.parametrize("status", [0, 1, 2, 3, 4])
def test_run_ends_with_the_status_of_the_run(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_module, "run", lambda *_, **__: closing(status))
    assert call("run") == status
    assert "modelyard serve release" in capsys.readouterr().out


def test_run_after_ctrl_c_says_what_stands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> Closing:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "run", interrupted)
    assert call("run") == 130
    assert "finished stages stand" in capsys.readouterr().err


def reports(folder: Path) -> Path:
    verdict = Verdict(rule="empty", interval=None, limit=None, outcome="PASS", reason="none found")
    for stage in ("zebra", "release", "check"):
        write_report(folder / "reports", Report(stage=stage, project="toy", verdicts=[verdict]))
    (folder / "reports" / "check.run.json").write_text("{}")
    return folder / "reports"


def test_reports_come_in_the_order_of_the_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = reports(tmp_path)
    for place in (folder, tmp_path):
        assert call("report", str(place), "--json") == 0
        assert [one["stage"] for one in json.loads(capsys.readouterr().out)] == ["check", "release", "zebra"]
    assert call("report", str(folder)) == 0
    assert "check: toy" in capsys.readouterr().out


def test_one_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", str(reports(tmp_path) / "release.json"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "release"


def test_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", str(tmp_path)) == 2
    assert "holds no report" in capsys.readouterr().err


def test_a_page_of_the_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = reports(tmp_path)
    (folder / "check.run.json").unlink()
    for place in (folder, tmp_path):
        assert call("report", str(place), "--html") == 0
        assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    other = tmp_path / "for-the-team.html"
    assert call("report", str(folder), "--html", "--output", str(other)) == 0
    assert other.read_text(encoding="utf-8") == (folder / "report.html").read_text(encoding="utf-8")
    assert "<title>toy · Modelyard</title>" in other.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--html", "--json"], "--html writes a page and --json prints JSON"),
        (["--output", "page.html"], "add --html"),
    ],
)
def test_options_of_a_page_that_do_not_fit(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", str(reports(tmp_path)), *options) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.html"))


def test_a_page_is_refused_where_something_else_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = reports(tmp_path)
    (folder / "check.run.json").unlink()
    (tmp_path / "data.csv").write_text("text,label")
    assert call("report", str(folder), "--html", "--output", str(tmp_path / "data.csv")) == 2
    assert "no report page of ours" in capsys.readouterr().err
    assert (tmp_path / "data.csv").read_text() == "text,label"


def test_doctor_is_4_where_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelyard.pipeline import doctor

    found = Findings({"git": "missing"}, [Problem("git", "apt install git")], [Problem("pip", "ensurepip")])
    monkeypatch.setattr(doctor, "examine", lambda _: found)
    assert call("doctor") == 4
    assert "missing      git: apt install git" in capsys.readouterr().out
    assert call("doctor", "--json") == 4
    assert json.loads(capsys.readouterr().out)["optional"] == [{"what": "pip", "install": "ensurepip"}]


def test_init_passes_over_rows_that_cannot_be_read_and_tells(
    data: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with data.open("a") as handle:
        handle.write("a,cell,too,many\n")
    assert (
        call("init", str(data.parent / "mine"), "--data", str(data), "--label", "queue", "--model", str(tiny_base)) == 0
    )
    printed = capsys.readouterr().out
    assert f"rows   1 cannot be read, the first is {data}:42: the row has 4 cells" in printed
    assert "skip_bad_rows: true" in printed
    assert load_project(data.parent / "mine").settings.data.skip_bad_rows is False
