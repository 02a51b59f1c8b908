"""Hostile input as a user meets it: each says what is wrong, what it broke and what to do, and leaves what stood.

Every item of the list (issue 3, part 4; its HTTP sentence is `serving/`'s), and the test that holds it, of this file
where no other is named:

| input | test |
|---|---|
| an empty file | test_what_is_no_table_is_refused[empty] |
| a UTF-16 file | test_other_encodings_are_read_and_told[utf-16] |
| a GBK file | test_other_encodings_are_read_and_told[gbk] |
| a Latin-1 file | test_other_encodings_are_read_and_told[latin-1] |
| a byte order mark | test_other_encodings_are_read_and_told[utf-8-sig] |
| ragged rows | test_what_is_no_table_is_refused[ragged] |
| an unclosed quote | test_what_is_no_table_is_refused[quote] |
| a broken JSONL line in the middle | test_a_broken_line_is_refused_or_left_out_and_counted |
| too many broken lines left out | test_more_bad_rows_than_the_budget_fail |
| a missing column | test_what_is_no_table_is_refused[column] |
| no text at all in the text column | test_what_is_no_table_is_refused[no-text] |
| non-string text | test_a_finding_names_what_is_wrong[non-string] |
| nested objects as text | test_a_finding_names_what_is_wrong[nested] |
| a single label | test_a_finding_names_what_is_wrong[single-label] |
| a label with one row | test_a_finding_names_what_is_wrong[one-row] |
| NaN labels in JSON | test_a_finding_names_what_is_wrong[json-nan] |
| NaN labels in Parquet | test_a_finding_names_what_is_wrong[parquet-nan] |
| labels called nan or NULL | test_a_finding_names_what_is_wrong[placeholder] |
| labels that differ by case | test_a_finding_names_what_is_wrong[case] |
| labels that differ by spaces | test_a_finding_names_what_is_wrong[spaces] |
| text and label swapped | test_a_finding_names_what_is_wrong[swapped] |
| rows of a megabyte | test_a_finding_names_what_is_wrong[megabyte] |
| NUL bytes | test_what_is_no_table_is_refused[nul] |
| many NUL bytes | test_what_is_no_table_is_refused[nuls] |
| lone surrogates | test_what_is_no_table_is_refused[surrogate] |
| lone surrogates as bytes | test_what_is_no_table_is_refused[surrogate-bytes] |
| a gzip cut short | test_what_is_no_table_is_refused[gzip] |
| a damaged Parquet file | test_a_damaged_parquet_file_ends_no_program |
| a workbook named CSV | test_what_is_no_table_is_refused[workbook] |
| another binary file named CSV | test_what_is_no_table_is_refused[random] |
| a workbook | test_a_workbook_is_told_by_init_too |
| a folder with one unreadable file | test_a_folder_with_one_unreadable_file |
| a terminal's commands in a label | test_nothing_in_a_file_commands_the_terminal |
| a model folder without tokenizer | test_a_base_model_that_is_not_whole[no-tokenizer] |
| a model folder with a pickle | test_a_base_model_that_is_not_whole[pickle] |
| a truncated safetensors header | test_a_base_model_that_is_not_whole[truncated] |
| a lying safetensors header | test_a_base_model_that_is_not_whole[lying-shape] |
| a trained model that was damaged | test_a_trained_model_that_is_not_whole |
| numbers that JSON has no word for | test_figures_that_are_not_finite_are_null |
| a YAML with a tab | test_settings_that_cannot_be_read[tab] |
| an anchor bomb | test_settings_that_cannot_be_read[bomb] |
| a wrong type | test_settings_that_cannot_be_read[type] |
| an output that exists | test_an_output_that_is_not_ours[exists] |
| an output that is not writable | test_an_output_that_is_not_ours[below-a-file] |
| an output on a read-only disk | test_a_read_only_disk |
| an output that is a symbolic link | test_an_output_that_is_not_ours[link] |
| a full disk | test_a_full_disk |
| files that may not grow | test_every_stage_survives_every_end[compress] |
| two runs at once | tests/pipeline/test_run.py::test_a_second_run_is_refused_while_one_is_going |
| two checks at once | test_two_checks_at_once |
| a clock set back | test_a_clock_set_back |
| file times and waivers in the future | test_dates_in_the_future |
| Ctrl-C and SIGKILL in check | test_every_stage_survives_every_end[check] |
| Ctrl-C and SIGKILL in train | test_every_stage_survives_every_end[train] |
| Ctrl-C and SIGKILL in compress | test_every_stage_survives_every_end[compress] |
| Ctrl-C and SIGKILL in audit | test_every_stage_survives_every_end[audit] |
| Ctrl-C and SIGKILL in release | test_every_stage_survives_every_end[release] |
| SIGKILL in run | tests/pipeline/test_run.py::test_kill_9_leaves_no_stage_behind_and_the_next_run_works |
| SIGKILL between renames | tests/artifacts/test_files.py::test_a_kill_between_two_renames_is_mended_by_the_next_one |
"""

import contextlib
import csv
import gzip
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.prepared import read_prepared
from modelyard.artifacts.reports import read_report, read_run_record
from modelyard.cli.main import main
from modelyard.evidence.judge import Verdict

Rows = list[dict[str, str]]
FOLDERS = {"check": "prepared", "train": "model", "compress": "candidates", "release": "release"}
STAGES = ("check", "train", "compress", "audit", "release")
SETTINGS = """schema: 1
project: hostile
data: {train: data/rows.csv}
model: {base: base}
train: {epochs: 2, precision: fp32, learning_rate: 0.003}
gates: {drop_max: 0.3, slice_drop_max: 0.6}
release: {trusted_keys: [keys/team.pub]}
"""


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def as_csv(rows: Rows) -> str:
    lines = io.StringIO()
    writer = csv.DictWriter(lines, ["text", "label"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return lines.getvalue()


def as_jsonl(rows: list[Any]) -> str:
    """One line per row; a string stands as it is."""
    return "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


def state(folder: Path) -> dict[str, object]:
    """What stood: the digest of every stage's folder, and every report."""
    found: dict[str, object] = {
        name: digest_folder(folder / name) for name in FOLDERS.values() if (folder / name).exists()
    }
    for path in sorted((folder / "reports").glob("*.json")) if (folder / "reports").is_dir() else ():
        if not path.name.endswith(".run.json"):
            found[path.name] = path.read_bytes()
    hidden = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
    return found | {"left": hidden}


@pytest.fixture(scope="module")
def rows(rows_of: Callable[[int], Rows]) -> Rows:
    return rows_of(160)


@pytest.fixture(scope="module")
def standing(rows: Rows, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that `check` has been through."""
    folder = tmp_path_factory.mktemp("hostile") / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "data/rows.csv").write_text(as_csv(rows), encoding="utf-8")
    (folder / "modelyard.yaml").write_text(SETTINGS, encoding="utf-8")
    shutil.copytree(tiny_base, folder / "base")
    assert call("keys", "new", "--directory", folder / "keys") == 0
    assert call("check", "--project", folder) == 0
    return folder


@pytest.fixture
def project(standing: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(standing, tmp_path / "project"))


def put(project: Path, name: str, content: str | bytes) -> None:
    """Make a file the project's only data."""
    (project / "data/rows.csv").unlink()
    (project / "data" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = (project / "modelyard.yaml").read_text(encoding="utf-8")
    (project / "modelyard.yaml").write_text(settings.replace("rows.csv", name), encoding="utf-8")


def refused(project: Path, capsys: pytest.CaptureFixture[str], *command: object) -> str:
    """Run a command that must end with exit status 2, a next step and nothing changed; returns what it said."""
    before = state(project)
    capsys.readouterr()
    assert call(*command) == 2
    printed, said = capsys.readouterr()
    assert "error: " in said and "next: " in said, said
    assert "Traceback" not in said + printed
    assert len(said) < 10_000
    assert state(project) == before
    return said


def workbook() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", random.Random(0).randbytes(200_000))
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return packed.getvalue()


CHINESE = "".join(f"这部电影真的很好看，演员表演出色，第{number}次看,好评\n" for number in range(20))
NO_TABLE: dict[str, tuple[str, Callable[[Rows], str | bytes], str, str]] = {
    "empty": ("x.csv", lambda _: "", "data/x.csv: ", "the file is empty"),
    "ragged": ("x.csv", lambda rows: as_csv(rows) + "a,b,c\nd\n", "data/x.csv:163: ", "has 1 cells, the header 2"),
    "quote": ("x.csv", lambda rows: as_csv(rows) + '"open,good\nmore,bad\n', "data/x.csv:162: ", "is never closed"),
    "column": ("x.csv", lambda rows: as_csv(rows).replace("text,", "Txt,", 1), "data/x.csv:1: ", "did you mean 'Txt'"),
    "no-text": ("x.jsonl", lambda _: '{"text": 3, "label": "a"}\n', "data/x.jsonl: ", "the first is a number"),
    "nul": ("x.csv", lambda rows: as_csv(rows) + "a nul\0 byte,good\n", "data/x.csv:162: ", "a NUL byte"),
    "nuls": ("x.csv", lambda rows: as_csv(rows) + "a\0b,good\n" * 99, "data/x.csv: ", "99 of its 261 lines hold bytes"),
    "surrogate": (
        "x.jsonl",
        lambda rows: as_jsonl([*rows, '{"text": "\\ud800", "label": "good"}']),
        "data/x.jsonl:161: ",
        "half of a surrogate pair",
    ),
    "surrogate-bytes": (
        "x.csv",
        lambda rows: (as_csv(rows) + CHINESE).encode() + b"cut \xed\xa0\x80,good\n",
        "data/x.csv:182: ",
        "the byte 0xed, which does not fit the encoding of the rest",
    ),
    "gzip": (
        "x.csv.gz",
        lambda rows: gzip.compress(as_csv(rows).encode())[:-9],
        "data/x.csv.gz: ",
        "cut off or damaged",
    ),
    "workbook": ("x.csv", lambda _: workbook(), "data/x.csv: ", "it is an Excel workbook (.xlsx), not a table of text"),
    "random": ("x.csv", lambda _: random.Random(0).randbytes(100_000), "data/x.csv: ", "it is a binary file"),
}


@pytest.mark.parametrize("case", NO_TABLE)
def test_what_is_no_table_is_refused(case: str, project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    name, make, where, words = NO_TABLE[case]
    put(project, name, make(rows))
    said = refused(project, capsys, "check", "--project", project)
    assert where in said and words in said, said
    assert said.count("error: ") <= 3, said


@pytest.mark.parametrize("ending", ["xlsx", "csv"])
def test_a_workbook_is_told_by_init_too(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"x.{ending}").write_bytes(workbook())
    said = refused(tmp_path, capsys, "init", tmp_path / "mine", "--data", tmp_path / f"x.{ending}")
    assert "it is an Excel workbook (.xlsx), not a table of text" in said
    assert "next: save it as CSV UTF-8" in said
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "gbk", "latin-1", "utf-8-sig"])
def test_other_encodings_are_read_and_told(
    encoding: str, project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {
        row["text"] if encoding != "latin-1" else f"{row['text'][:8]} Käse für Größe {n}" for n, row in enumerate(rows)
    }
    if encoding == "latin-1":
        wanted = {
            text for text in wanted if text.isascii() or text.encode("latin-1", "ignore").decode("latin-1") == text
        }
    texts = sorted(wanted)
    put(
        project,
        "x.csv",
        as_csv([{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts)]).encode(encoding),
    )
    assert call("check", "--project", project) == 0
    prepared = read_prepared(project / "prepared")
    read = [text for split in ("train", "validation", "test") for text in prepared.split(split)["text"]]  # type: ignore[arg-type]
    assert sorted(read) == texts
    told = "is not UTF-8: it was read as" in capsys.readouterr().out
    assert told == (encoding in ("gbk", "latin-1"))


def with_labels(rows: Rows, *labels: str) -> str:
    return as_csv([{**row, "label": labels[number % len(labels)]} for number, row in enumerate(rows)])


def parquet(rows: Rows) -> bytes:
    packed = io.BytesIO()
    labels = [float("nan") if number % 10 == 0 else float(number % 2) for number in range(len(rows))]
    pl.DataFrame({"text": [row["text"] for row in rows], "label": labels}).write_parquet(packed)
    return packed.getvalue()


FINDINGS: dict[str, tuple[str, Callable[[Rows], str | bytes], str, str, int]] = {
    "non-string": (
        "x.jsonl",
        lambda rows: as_jsonl([*rows, {"text": 7, "label": "good"}]),
        "text_is_string",
        "x.jsonl:161 (the text is a number)",
        1,
    ),
    "nested": (
        "x.jsonl",
        lambda rows: as_jsonl([*rows, {"text": {"a": [1]}, "label": "good"}]),
        "text_is_string",
        "x.jsonl:161 (the text is an object)",
        1,
    ),
    "single-label": ("x.csv", lambda rows: with_labels(rows, "same"), "label_count", "1 label lies outside", 1),
    "one-row": (
        "x.csv",
        lambda rows: as_csv([*rows, {"text": "a text of one label", "label": "rare"}]),
        "label_in_every_split",
        "'rare' (1 rows) is missing from",
        1,
    ),
    "json-nan": (
        "x.jsonl",
        lambda rows: as_jsonl([*rows, *['{"text": "a row without a label", "label": NaN}'] * 3]),
        "fields_present",
        "x.jsonl:161 (there is no label)",
        1,
    ),
    "parquet-nan": ("x.parquet", parquet, "fields_present", "x.parquet:1 (there is no label)", 1),
    "placeholder": (
        "x.csv",
        lambda rows: with_labels(rows, "good", "bad", "nan", "NULL", "N/A"),
        "label_placeholder",
        "'nan' (32 rows)",
        0,
    ),
    "case": (
        "x.csv",
        lambda rows: with_labels(rows, "good", "Good", "bad"),
        "label_spelling",
        "'Good' (53 rows) and 'good' (54 rows)",
        1,
    ),
    "spaces": (
        "x.csv",
        lambda rows: with_labels(rows, "good", "good ", "bad"),
        "label_spelling",
        "'good' (54 rows) and 'good ' (53 rows)",
        1,
    ),
    "swapped": (
        "x.csv",
        lambda rows: as_csv([{"text": row["label"], "label": row["text"] * 9} for row in rows]),
        "label_too_long",
        "are not swapped",
        1,
    ),
    "megabyte": (
        "x.csv",
        lambda rows: as_csv([*rows, *[{"text": f"{n} {'long ' * 300_000}", "label": "good"} for n in range(3)]]),
        "text_too_long",
        "bytes, the most is 1048576",
        1,
    ),
}


@pytest.mark.parametrize("case", FINDINGS)
def test_a_finding_names_what_is_wrong(
    case: str, project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make, rule, words, status = FINDINGS[case]
    put(project, name, make(rows))
    capsys.readouterr()
    assert call("check", "--project", project) == status
    printed, said = capsys.readouterr()
    found = failed(project, rule)
    assert found.next_step and (found.severity == "error") == (status == 1)
    report = read_report(project / "reports/check.json")
    assert any(words in text for text in [found.reason, found.next_step, *report.notes]), report
    assert "Traceback" not in said
    assert len(printed) < 20_000
    if case != "placeholder" and (project / "prepared").exists():
        assert not {"nan", "NaN"} & set(read_prepared(project / "prepared").dataset.labels)


def failed(project: Path, rule: str) -> Verdict:
    (found,) = [verdict for verdict in read_report(project / "reports/check.json").verdicts if verdict.rule == rule]
    assert found.outcome == "FAIL"
    return found


def test_a_broken_line_is_refused_or_left_out_and_counted(
    project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    put(project, "x.jsonl", as_jsonl([*rows[:80], '{"text": "half a li', *rows[80:]]))
    said = refused(project, capsys, "check", "--project", project)
    assert "data/x.jsonl:81: not JSON: Unterminated string starting at column 10" in said
    assert "data.skip_bad_rows: true" in said
    assert "--skip-bad-rows is for FILES" in refused(project, capsys, "check", "--project", project, "--skip-bad-rows")
    said = refused(project, capsys, "check", "--project", project, "--text", "review", "--benchmark", "exam.csv")
    assert "--text is for FILES" in said
    assert "set data.fields.text in modelyard.yaml" in said
    assert "--benchmark is for FILES" in said

    settings = (project / "modelyard.yaml").read_text(encoding="utf-8")
    skipping = settings.replace("x.jsonl}", "x.jsonl, skip_bad_rows: true}")
    (project / "modelyard.yaml").write_text(skipping, encoding="utf-8")
    assert call("check", "--project", project) == 0
    assert "row_unreadable dropped 1 rows, first: data/x.jsonl:81 (not JSON" in capsys.readouterr().out
    assert sum(read_prepared(project / "prepared").dataset.counts.values()) == len(rows)
    (row,) = pl.read_parquet(project / "prepared/dropped.parquet").to_dicts()
    assert (row["source"], row["rule"], row["raw"]) == ("data/x.jsonl:81", "row_unreadable", '{"text": "half a li')

    assert call("check", project / "data/x.jsonl") == 2
    assert call("check", project / "data/x.jsonl", "--skip-bad-rows") == 0


BAD_ROWS: dict[str, tuple[str, Callable[[Rows], str | bytes], list[str]]] = {
    "csv": (
        "x.csv",
        lambda rows: as_csv(rows) + 'a,b,c\n"x"y,good\nnul \0,good\n',
        ["a,b,c", '"x"y,good', "nul \0,good"],
    ),
    "bytes": (
        "x.csv",
        lambda rows: (as_csv(rows) + CHINESE).encode() + b"cut \xe5\xa5,good\n",
        ["cut \\xe5\\xa5,good"],
    ),
    "gbk": ("x.csv", lambda rows: (as_csv(rows) + CHINESE + "ragged\n").encode("gbk"), ["ragged"]),
    "json": ("x.json", lambda rows: json.dumps([*rows, 3, {"text": "\ud800"}]), ["3", '{"text": "\\ud800"}']),
    "parquet": ("x.parquet", lambda rows: nul_parquet(rows), ['{"text": "nul \\u0000", "label": "good"}']),
}


def nul_parquet(rows: Rows) -> bytes:
    packed = io.BytesIO()
    texts = [*(row["text"] for row in rows), "nul \0"]
    pl.DataFrame({"text": texts, "label": [*(row["label"] for row in rows), "good"]}).write_parquet(packed)
    return packed.getvalue()


@pytest.mark.parametrize("case", BAD_ROWS)
def test_every_format_leaves_its_bad_rows_out(
    case: str, tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make, raw = BAD_ROWS[case]
    content = make(rows)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert call("check", tmp_path / name) == 2
    call("check", tmp_path / name, "--skip-bad-rows", "--output", tmp_path / "out/prepared")
    gone = pl.read_parquet(tmp_path / "out/prepared/dropped.parquet").filter(pl.col("rule") == "row_unreadable")
    assert gone["raw"].to_list() == raw
    assert "Traceback" not in capsys.readouterr().err


def test_more_bad_rows_than_the_budget_fail(tmp_path: Path, rows: Rows) -> None:
    (tmp_path / "x.jsonl").write_text(as_jsonl([*rows, "{", "{"]), encoding="utf-8")  # 2 of 162: 1.2%, at most 1%
    assert call("check", tmp_path / "x.jsonl", "--skip-bad-rows", "--output", tmp_path / "out/prepared") == 1
    (found,) = [v for v in read_report(tmp_path / "out/reports/check.json").verdicts if v.rule == "row_unreadable"]
    assert (found.outcome, found.severity) == ("FAIL", "error")


def test_not_one_row_that_can_be_read_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.jsonl").write_text("{\n" * 5, encoding="utf-8")
    assert call("check", tmp_path / "x.jsonl", "--skip-bad-rows", "--slices", "site", "--group", "who") == 1
    assert "5 rows read, 5 dropped, 0 kept" in capsys.readouterr().out


def test_a_quote_that_swallows_rows_is_never_left_out(
    tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    text = as_csv(rows[:5]) + '"open,good\n' + as_csv(rows[5:])
    for end in ("", '"closed",good\n'):
        (tmp_path / "x.csv").write_text(text + end, encoding="utf-8")
        assert call("check", tmp_path / "x.csv", "--skip-bad-rows") == 2
        assert "x.csv:7: " in capsys.readouterr().err


def test_a_head_is_read_past_a_bad_row(tmp_path: Path, rows: Rows) -> None:
    from modelyard.scaffold.head import read_head

    (tmp_path / "x.jsonl").write_text(as_jsonl(["{", *rows]), encoding="utf-8")
    assert read_head(tmp_path / "x.jsonl").rows[0]["text"] == rows[0]["text"]


def test_a_damaged_parquet_file_ends_no_program(tmp_path: Path, rows: Rows, capfd: pytest.CaptureFixture[str]) -> None:
    whole = parquet(rows)
    broken = 0
    for seed in range(8):
        choose = random.Random(seed)
        damaged = bytearray(whole)
        for _ in range(3):  # in the footer, which says how much memory to take
            damaged[choose.randrange(len(whole) - 600, len(whole) - 8)] = choose.randrange(256)
        (tmp_path / "x.parquet").write_bytes(damaged)
        status = call("check", tmp_path / "x.parquet")
        said = capfd.readouterr().err
        assert status in (1, 2) and "panicked" not in said and "Traceback" not in said
        broken += status == 2
    assert broken >= 4


def no_link(path: Path) -> None:
    path.symlink_to("nowhere.csv")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (lambda path: os.mkfifo(path), "is a pipe or a device"),
    "dangling": (no_link, "is a symbolic link to nothing"),
    "loop": (loop, "is a symbolic link to nothing"),
    "folder": (lambda path: path.mkdir(), "is a folder with the name of a data file"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_folder_with_one_unreadable_file(case: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = UNREADABLE[case]
    make(project / "data/x.csv")
    settings = (project / "modelyard.yaml").read_text(encoding="utf-8").replace("data/rows.csv", '"data/*.csv"')
    (project / "modelyard.yaml").write_text(settings, encoding="utf-8")
    said = refused(project, capsys, "check", "--project", project)
    assert "data/x.csv: " in said and words in said


@pytest.mark.parametrize("what", ["file", "folder", "name"])
def test_places_that_may_not_be_read(
    what: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "data/inner").mkdir()
    named = project / "data"
    if what == "file":
        monkeypatch.setattr(Path, "open", forbid(Path.open, "rows.csv"))
    elif what == "folder":
        monkeypatch.setattr(os, "scandir", forbid(os.scandir, "inner"))
    else:
        named = project / ("x" * 300 + ".csv")
    said = refused(project, capsys, "check", named)
    assert ("File name too long" if what == "name" else "Permission denied") in said


def forbid(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    """What a mode does to everybody but root."""

    def forbidden(path: Any, *arguments: Any, **options: Any) -> Any:
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    return forbidden


def test_nothing_in_a_file_commands_the_terminal(project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    put(project, "x.csv", with_labels(rows, "good", "\x1b]0;title\x07\x1b[2Jbad", "\u202eflipped"))
    call("check", "--project", project)
    printed = capsys.readouterr().out
    assert "\\x1b" in printed and "\\u202e" in printed
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", printed)
    (project / "data/x.csv").write_text("te\x1b[2Jxt,label\na,b\n", encoding="utf-8")
    assert "\x1b" not in refused(project, capsys, "check", "--project", project)


def header(content: object, body: int) -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text + bytes(body)


def lie(model: Path) -> None:
    tensor = {"dtype": "F32", "shape": [1000, 1000], "data_offsets": [0, 4]}  # 4 MB, it says, in 4 bytes
    (model / "model.safetensors").write_bytes(header({"bert.embeddings.word_embeddings.weight": tensor}, 4))


def cut(model: Path) -> None:
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:200])


def claim(model: Path) -> None:
    (model / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")


def pipe(model: Path) -> None:
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")


BROKEN_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-tokenizer": (lambda model: (model / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "broken-tokenizer": (lambda model: (model / "tokenizer.json").write_text("{}"), "tokenizer.json cannot be read"),
    "no-config": (lambda model: (model / "config.json").unlink(), "config.json is missing"),
    "pickle": (lambda model: (model / "pytorch_model.bin").write_bytes(b"\x80\x04."), "may hold pickled objects"),
    "truncated": (cut, "is not a whole safetensors file"),
    "lying-length": (claim, "is not a whole safetensors file"),
    "lying-shape": (lie, "is not a whole safetensors file"),
    "pipe": (pipe, "is not a whole safetensors file"),
}


@pytest.mark.parametrize("case", BROKEN_MODELS)
def test_a_base_model_that_is_not_whole(case: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage, words = BROKEN_MODELS[case]
    damage(project / "base")
    assert words in refused(project, capsys, "train", "--project", project)


@pytest.mark.parametrize("case", ["no-tokenizer", "pickle", "lying-shape"])
def test_a_trained_model_that_is_not_whole(
    case: str, project: Path, tiny_classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_classifier, project / "model")
    damage, words = BROKEN_MODELS[case]
    damage(project / "model")
    assert words in refused(project, capsys, "compress", "--project", project)


def test_figures_that_are_not_finite_are_null(tmp_path: Path) -> None:
    from modelyard.training.metrics import recorded

    with recorded(tmp_path / "m.jsonl", None) as record:
        record({"loss": float("nan"), "precision_seconds": {"bf16": float("inf"), "fp32": 1.5}})
    assert json.loads((tmp_path / "m.jsonl").read_text(), parse_constant=pytest.fail) == {
        "loss": None,
        "precision_seconds": {"bf16": None, "fp32": 1.5},
    }


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN_SETTINGS = {
    "tab": (SETTINGS.replace("data: {train", "data:\n\ttrain: {x"), 4, "indent with spaces, not tabs"),
    "bomb": (SETTINGS + BOMB, 9, "the alias *a is not read here"),
    "type": (SETTINGS.replace("epochs: 2", "epochs: [2]"), 5, "train.epochs"),
    "key": (SETTINGS.replace("data: {train", "data: {trian"), 3, "did you mean"),
    "waiver": (SETTINGS.replace("gates: {", "gates: {waivers: [{rule: x, by: me, on: soon, reason: y}], "), 6, "soon"),
}


@pytest.mark.parametrize("case", BROKEN_SETTINGS)
@pytest.mark.parametrize("command", ["check", "train"])
def test_settings_that_cannot_be_read(
    case: str, command: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, line, words = BROKEN_SETTINGS[case]
    (project / "modelyard.yaml").write_text(text, encoding="utf-8")
    said = refused(project, capsys, command, "--project", project)
    assert f"modelyard.yaml:{line}: " in said and words in said, said


def test_settings_that_are_a_pipe(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "modelyard.yaml").unlink()
    os.mkfifo(project / "modelyard.yaml")
    assert "is a pipe or a device" in refused(project, capsys, "check", "--project", project)


def foreign(output: Path) -> None:
    output.mkdir()
    (output / "thesis.txt").write_text("precious")


def linked(output: Path) -> None:
    (output.parent / "elsewhere").mkdir()
    output.symlink_to("elsewhere")


OUTPUTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "exists": ("out", foreign, "Modelyard did not make it"),
    "file": ("out", lambda output: output.write_text("precious"), "is a file"),
    "link": ("out", linked, "is a symbolic link"),
    "below-a-file": ("file/out", lambda output: output.parent.write_text("precious"), "cannot be written"),
    "reports-file": ("reports-file", lambda output: output.write_text("precious"), "cannot be written"),
}


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("stage", FOLDERS)
def test_an_output_that_is_not_ours(
    stage: str, case: str, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make, words = OUTPUTS[case]
    output = tmp_path / name
    make(output)
    before = contents(tmp_path)
    places = ["--reports", output] if case == "reports-file" else ["--output", output]
    assert words in refused(project, capsys, stage, "--project", project, *places)
    assert contents(tmp_path) == before


def contents(folder: Path) -> list[tuple[str, bytes | None]]:
    return sorted((str(path), path.read_bytes() if path.is_file() else None) for path in folder.rglob("*"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount; RLIMIT_FSIZE stands for it in test_every_stage_survives_every_end")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk(disk: Path, project: Path, rows: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    check = ["check", project / "data/rows.csv", "--output", disk / "prepared"]
    assert call(*check) == 0
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    (project / "data/rows.csv").write_text(as_csv(rows[:100]), encoding="utf-8")
    assert "the disk is full" in refused(disk, capsys, *check)
    (disk / "filler").unlink()
    assert call(*check) == 0
    assert sum(read_prepared(disk / "prepared").dataset.counts.values()) == 100


def test_a_read_only_disk(disk: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for stage in ("check", "train"):
        said = refused(project, capsys, stage, "--project", project, "--output", disk / "out")
        assert "Read-only file system" in said and "--output" in said


def test_two_checks_at_once(project: Path) -> None:
    shutil.rmtree(project / "prepared")
    command = [sys.executable, "-m", "modelyard.cli.main", "check", "--project", project]
    going = [
        subprocess.Popen([sys.executable, "-c", START, *map(str, command[3:])], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [one.wait(60) for one in going] == [0, 0]
    assert read_prepared(project / "prepared").dataset.counts
    assert state(project)["left"] == []


START = "import sys; from modelyard.cli.main import main; main(sys.argv[1:])"


def test_a_clock_set_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        calls = 0

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            cls.calls += 1
            return datetime(2026, 11, 25, tzinfo=UTC) - timedelta(hours=cls.calls)

    monkeypatch.setattr("modelyard.artifacts.reports.datetime", Clock)
    before = state(project)
    assert call("check", "--project", project) == 0
    record = read_run_record(project / "reports/check.run.json")
    assert record.end < record.start  # told as it was
    assert record.wall_seconds > 0  # by the clock that nobody sets
    assert state(project) == before


def test_dates_in_the_future(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = state(project)
    waiver = "gates: {waivers: [{rule: drop_max, by: Li, on: 2999-01-01, reason: none}], "
    (project / "modelyard.yaml").write_text(SETTINGS.replace("gates: {", waiver), encoding="utf-8")
    for path in [*project.rglob("*"), project]:
        os.utime(path, (4e9, 4e9))
    assert call("check", "--project", project) == 0
    assert state(project) == before
    assert capsys.readouterr().err == ""


# One process loads the heavy libraries and is forked for every run: a stage is killed a moment after it began, not
# after the seconds that it takes to load them. It must have no second thread then, which polars, openvino (with nncf)
# and onnxruntime start when they are loaded.
ZYGOTE = """
import contextlib, json, os, resource, shutil, signal, sys
import onnxscript, scipy.stats, torch._dynamo
import torch.onnx._internal.exporter._core, transformers.models.bert.modeling_bert
assert len(os.listdir("/proc/self/task")) == 1
project, silence = sys.argv[1], os.open(os.devnull, os.O_WRONLY)

def prepare(hooked):
    from modelyard.cli import auditing, compression, data, releasing, training
    from modelyard.compression import candidates, ladder
    for module in (data, training, compression, auditing, releasing):
        module.progress_bar = hooked
    # four processes that load an engine each, 8 s
    ladder.measure_memory = lambda _, made, rows, progress: dict.fromkeys((one.name for one in made), 0)
    # what the first run exported: equal work gives equal bytes, and takes 3 s each time
    export, kept = candidates.export_onnx, project + "/exported.onnx"
    def export_once(model, into):
        if os.path.exists(kept):
            shutil.copyfile(kept, into / "model.onnx")
            return ["model.onnx"]
        made = export(model, into)
        shutil.copyfile(into / "model.onnx", kept)
        return made
    candidates.export_onnx = export_once

def run(stage, number, at, limit):
    calls = 0
    @contextlib.contextmanager
    def hooked(first=""):
        def progress(what, done, total):
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), number)
        yield progress
    prepare(hooked)
    from modelyard.cli.main import main
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        main([stage, "--project", project])
    except SystemExit as end:
        return int(end.code or 0), calls

for line in sys.stdin:
    stage, number, at, limit = json.loads(line)
    reading, writing = os.pipe()
    listening, errors = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(silence, 1)
        os.dup2(errors, 2)
        signal.alarm(120)
        status, calls = run(stage, number, at, limit)
        os.write(writing, json.dumps(calls).encode())
        os._exit(status)
    os.close(writing)
    os.close(errors)
    with open(reading) as told, open(listening) as complaints:
        calls, said = told.read(), complaints.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, json.loads(calls or "0"), said]), flush=True)
"""
Zygote = Callable[..., tuple[int, int, str]]


@pytest.fixture(scope="module")
def whole(standing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that every stage has been through, for `zygote`."""
    return Path(shutil.copytree(standing, tmp_path_factory.mktemp("whole") / "project"))


@pytest.fixture(scope="module")
def zygote(whole: Path) -> Iterator[Zygote]:
    """Runs a stage in `whole`: exit status, times it told its progress, what it said on stderr."""
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
    command = [sys.executable, "-c", ZYGOTE, str(whole)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as going:
        assert going.stdin is not None and going.stdout is not None
        question, answer = going.stdin, going.stdout

        def run(stage: str, number: int = 0, at: int = 0, limit: int = 0) -> tuple[int, int, str]:
            question.write(json.dumps([stage, number, at, limit]) + "\n")
            question.flush()
            status, calls, said = json.loads(answer.readline())
            return status, calls, said

        yield run
        question.close()


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_survives_every_end(stage: str, whole: Path, zygote: Zygote) -> None:
    for earlier in STAGES[: STAGES.index(stage)]:
        if not (whole / f"reports/{earlier}.json").is_file():  # this test runs alone, or in another order
            assert zygote(earlier)[0] == 0
    status, calls, said = zygote(stage)
    assert (status, said) == (0, "")
    before = state(whole)
    assert f"{stage}.json" in before
    assert stage == "audit" or FOLDERS[stage] in before  # which leaves no folder
    # Ctrl-C last: training is saved by it, and what is left of it tells its progress less often
    for number, share in [(signal.SIGKILL, 0.02), (signal.SIGKILL, 0.9), (signal.SIGINT, 0.5)]:
        status, _, said = zygote(stage, int(number), max(1, round(calls * share)))
        assert status == (130 if number == signal.SIGINT else -number)
        assert "Traceback" not in said
        after = state(whole)
        after["left"] = before["left"]  # what a killed process could not tidy
        assert after == before, (stage, number, share)
    status, _, said = zygote(stage, limit=2048)
    assert status == 2, said
    assert "cannot be written: " in said and "Traceback" not in said
    assert {**state(whole), "left": []} == before
    assert zygote(stage)[0] == 0
    assert state(whole)["left"] == []


def test_the_table_is_whole() -> None:
    assert __doc__ is not None
    table = re.findall(r"^\| (.+?) \| (\S+) \|$", __doc__, flags=re.MULTILINE)
    assert len(table) - 1 == 59
    ids = {
        *NO_TABLE,
        *FINDINGS,
        *BROKEN_MODELS,
        *BROKEN_SETTINGS,
        *OUTPUTS,
        *STAGES,
        "utf-16",
        "gbk",
        "latin-1",
        "utf-8-sig",
    }
    root = Path(__file__).parents[1]
    for item, name in table[1:]:
        place, _, test = name.rpartition("::")
        function, _, case = test.removesuffix("]").partition("[")
        source = (root / place if place else Path(__file__)).read_text(encoding="utf-8")
        assert f"\ndef {function}(" in source, item
        assert not case or case in ids, item
