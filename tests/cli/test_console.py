"""What a person reads: blocking verdicts first, passes grouped, the next step beside every no."""

import json
import logging
import os
import sys
import threading
from pathlib import Path

import pytest

from modelyard.cli import console
from modelyard.cli.console import heard_logs, progress_bar, show_closing, show_error, show_report, shown
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.report import Report
from modelyard.pipeline.closing import Closing, StageResult
from modelyard.pipeline.stages import Failure


def verdict(rule: str, scope: str, high: float, severity: str = "error") -> Verdict:
    interval = Interval(low=-0.001, estimate=0.0, high=high, n=500, unit="fraction", method="tango")
    return judge(interval, at_most(0.01), rule=rule, scope=scope, severity=severity, samples_needed=900)  # type: ignore[arg-type]


REPORT = Report(
    stage="release",
    project="test",
    verdicts=[
        verdict("slice_drop_max", "slice:a=1", 0.002),
        verdict("slice_drop_max", "slice:a=2", 0.009),
        verdict("drop_max", "overall", 0.02),
        verdict("test_wear", "overall", 0.03, "warning"),
    ],
    notes=["a note with [brackets] and 中文，标点"],
)


def test_a_report_for_a_person(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show_report(REPORT)
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "PASS" in line or "INCONCLUSIVE" in line]
    assert "drop_max" in lines[0]
    assert "test_wear" in lines[1]
    assert "2 scopes" in lines[2]
    assert "slice:a=2" in lines[2]  # the one nearest to its limit
    assert "at least 900 rows" in out
    assert "a note with [brackets] and 中文，标点" in out


def test_a_report_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(REPORT, as_json=True)
    assert Report.model_validate(json.loads(capsys.readouterr().out)) == REPORT


def test_a_log_is_told_at_once_what_begins_and_never_long_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SILENT_SECONDS", 0.05)
    said = ""
    with progress_bar("load torch") as progress:
        assert capsys.readouterr().err == "load torch\n"
        while "still at it: load torch\n" not in said:
            said += capsys.readouterr().err
        progress("train, loss 0.4", 3, 9)
        while "still at it: train, loss 0.4: 3 of 9\n" not in said:
            said += capsys.readouterr().err
    threads = [thread for thread in threading.enumerate() if thread.name == "progress"]
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_what_is_quick_says_nothing_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        for done in range(10):
            progress("read", done + 1, 10)
    assert capsys.readouterr().err == ""


def test_what_is_slow_says_a_line_now_and_then_and_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LINE_SECONDS", 0.0)
    with progress_bar() as progress:
        progress("read", 1, 0)
        progress("train, loss 0.4", 2, 2)
    assert capsys.readouterr().err == "read: 1\ntrain, loss 0.4: 2 of 2\n"


def test_what_is_slow_says_how_long_it_will_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with progress_bar() as progress:
        progress("read", 10, 100)  # what was done before it was told of counts for no pace
        for done, moment in ((30, 110.0), (60, 125.0), (100, 145.0)):
            now[0] = moment
            progress("read, 9 rows/s", done, 100)
        now[0] = 1_000.0
        progress("read, 9 rows/s", 0, 100)  # once more, long after
        now[0] = 1_010.0
        progress("read, 9 rows/s", 50, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "read, 9 rows/s: 30 of 100, 35.0 s left",
        "read, 9 rows/s: 60 of 100, 20.0 s left",
        "read, 9 rows/s: 100 of 100",
        "read, 9 rows/s: 50 of 100, 10.0 s left",
    ]


def test_what_is_quick_and_done_again_and_again_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with progress_bar() as progress:
        for _ in range(5):
            progress("evaluate", 30, 30)
            now[0] += 20.0
        progress("evaluate", 10, 30)  # a slow one
        now[0] += 20.0
        progress("evaluate", 30, 30)
        progress("evaluate", 30, 30)
    assert capsys.readouterr().err == "evaluate: 30 of 30\n"


def test_every_problem_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(InputError([Problem("one [red]is[/red] wrong", "mend it", "a.csv:3"), Problem("two", "mend that")]))
    err = capsys.readouterr().err
    assert "a.csv:3: one [red]is[/red] wrong" in err
    assert err.count("next: ") == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("好 \t tab\n", "好 \t tab\n"),
        ("\x1b[2Jx\x07\x9b", "\\x1b[2Jx\\x07\\x9b"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("a" * 12, "aaaaaaaaaa… (12 characters)"),
    ],
)
def test_what_a_file_holds_commands_no_terminal(text: str, expected: str) -> None:
    assert shown(text, 10) == expected


def test_the_end_of_a_run_that_makes_a_language_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # where it is called by its name
    monkeypatch.chdir(tmp_path)
    gained = judge(
        Interval(low=1.0, estimate=2.0, high=3.0, n=9, unit="nats", method="linearised"),
        at_most(0.0),
        rule="better_than_base",
        severity="warning",
        next_step="train less",
    )
    train = Report(stage="train", project="t", verdicts=[gained], notes=["perplexity on validation 2.11", "other"])
    stages = [StageResult("train", "ran", 1.0, {}, 1, ())]
    show_closing(Closing(stages, 0, None, None, None, False, folder=tmp_path, releases=False, trained=train))
    table, *lines = capsys.readouterr().out.strip().split("\n", 2)[1:]
    assert table.split() == ["train", "ran", "1.0", "s", "0", "0", "0", "1"]
    assert lines[0].splitlines() == [
        "model    model/, a Hugging Face folder",
        "found    perplexity on validation 2.11",
        "verdict  FAIL better_than_base: 2.00 nats (95% interval 1.00 to 3.00, n=9) lies outside the limit, at most "
        "0 nats; next: train less",
        "see it   modelyard report --html",
    ]
    own = Failure("own", 2)  # a stage after it
    show_closing(Closing(stages, 2, own, None, None, False, folder=tmp_path, releases=False, trained=train))
    said = capsys.readouterr().out
    assert "own ended with exit status 2; what it said stands above\nmodel    model/, a Hugging Face folder\n" in said


def test_the_end_of_a_run_that_made_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    show_closing(Closing([], 1, Failure("check", 1), None, None, False, releases=False))
    assert capsys.readouterr().out.endswith("no model was made\n")
    show_closing(Closing([], 1, Failure("check", 1), None, None, False))
    assert capsys.readouterr().out.endswith("no release was made\n")


@pytest.mark.parametrize("aloud", [True, False])
def test_logs_are_heard_or_not(capfd: pytest.CaptureFixture[str], aloud: bool) -> None:
    with heard_logs(aloud=aloud):
        logging.getLogger("modelyard.training").warning("it diverges")
    assert capfd.readouterr().err == ("it diverges\n" if aloud else "")
