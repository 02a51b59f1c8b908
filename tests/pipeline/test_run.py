"""`run` with the real DVC, on stages that take no time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.artifacts.files import write_text
from modelyard.errors import InputError
from modelyard.pipeline.run import _dvc_problem, _Relay, run
from modelyard.pipeline.stages import Event, Failure

STAGE = """
import json, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
name, folder = sys.argv[1:3]
orders = json.loads(pathlib.Path("orders.json").read_text()).get(name, {})
print(f"{name} says hello")
print(f"{name} mutters, terminal {sys.stderr.isatty()}", file=sys.stderr)
pathlib.Path(f"{name}.started").write_text(str(time.time()))
time.sleep(orders.get("sleep", 0))
if "crash" in orders:
    sys.exit(orders["crash"])
pathlib.Path(folder).mkdir(exist_ok=True)
pathlib.Path(folder, "made").write_text(json.dumps(orders))
pathlib.Path("reports").mkdir(exist_ok=True)
outcome = orders.get("outcome", "PASS")
verdict = {"rule": "drop_max", "interval": None, "limit": None, "outcome": outcome, "reason": "as ordered",
           "next_step": "" if outcome == "PASS" else "order another outcome"}
report = {"schema": 1, "stage": name, "project": "toy", "verdicts": [verdict]}
pathlib.Path(f"reports/{name}.json").write_text(json.dumps(report))
if name == "last":
    sys.exit({"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[outcome])
"""
PIPELINE = """
stages:
  first:
    cmd: python stage.py first one
    deps: [data, stage.py]
    params: [{modelyard.yaml: [data]}]
    outs:
      - one: {persist: true}
      - reports/first.json: {cache: false, persist: true}
  last:
    cmd: python stage.py last two
    deps: [one, reports/first.json, .modelyard/machine.json]
    params: [{modelyard.yaml: [compress, gates.drop_max]}]
    outs:
      - two: {persist: true}
      - reports/last.json: {cache: false, persist: true}
"""
SETTINGS = """
schema: 1
project: toy
data: {train: data/rows.csv}
model: {base: base}
compress: {goal: fastest}
gates: {drop_max: 0.01}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A DVC project of two stages whose outcomes `order` decides."""
    folder = tmp_path / "toy"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "rows.csv").write_text("text,label\na,b\n")
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "modelyard.yaml").write_text(SETTINGS)
    order(folder)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    return folder


def order(folder: Path, **stages: dict[str, object]) -> None:
    """Say what the stages shall do; `stage.py` is touched in its content so that they run again."""
    (folder / "orders.json").write_text(json.dumps(stages))
    (folder / "data" / "rows.csv").write_text(f"text,label\n{json.dumps(stages)!r},b\n")


def watched() -> tuple[list[Event], Callable[[Event], None]]:
    events: list[Event] = []
    return events, events.append


def states(project: Path) -> list[tuple[str, str]]:
    return [(stage.name, stage.state) for stage in run(project, lambda _: None).stages]


def test_first_run_then_unchanged_then_only_what_an_edit_touches(project: Path) -> None:
    events, view = watched()
    closing = run(project, view)
    assert closing.status == 0
    kinds = [(event.kind, event.stage) for event in events if event.kind != "output"]
    assert kinds == [("started", "first"), ("ended", "first"), ("started", "last"), ("ended", "last")]
    output = [(event.stage, event.text) for event in events if event.text]
    assert output == [("first", "first says hello"), ("last", "last says hello")]
    assert [stage.outcomes for stage in closing.stages] == [{"PASS": 1}, {"PASS": 1}]

    assert states(project) == [("first", "unchanged"), ("last", "unchanged")]
    write_text(project / "modelyard.yaml", SETTINGS.replace("fastest", "smallest"))
    assert states(project) == [("first", "unchanged"), ("last", "ran")]


@pytest.mark.parametrize(("outcome", "status"), [("FAIL", 1), ("INCONCLUSIVE", 3)])
def test_the_exit_status_comes_from_the_reports(project: Path, outcome: str, status: int) -> None:
    order(project, first={"outcome": outcome})
    closing = run(project, lambda _: None)
    assert closing.status == status
    assert closing.stages[0].outcomes == {outcome: 1}
    assert closing.stages[0].reasons == ("drop_max (overall): as ordered; next: order another outcome",)


@pytest.mark.parametrize(("outcome", "status"), [("FAIL", 1), ("INCONCLUSIVE", 3)])
def test_a_gate_stage_refuses(project: Path, outcome: str, status: int) -> None:
    order(project, last={"outcome": outcome})
    closing = run(project, lambda _: None)
    assert (closing.status, closing.stages[1].state) == (status, "refused")
    assert closing.failure is not None and closing.failure.stage == "last"


def test_a_failed_gate_wins_over_an_inconclusive_one(project: Path) -> None:
    order(project, first={"outcome": "FAIL"}, last={"outcome": "INCONCLUSIVE"})
    assert run(project, lambda _: None).status == 1


@pytest.mark.parametrize(("crash", "status"), [(2, 2), (4, 4), (77, 2)])
def test_a_stage_that_ends_with_an_error_passes_its_status_on(project: Path, crash: int, status: int) -> None:
    order(project, first={"crash": crash})
    closing = run(project, lambda _: None)
    assert closing.status == status
    assert [stage.state for stage in closing.stages] == ["failed", "not reached"]


def test_a_failing_stage_leaves_what_stood_before(project: Path) -> None:
    run(project, lambda _: None)
    made = (project / "one" / "made").read_text()
    order(project, first={"crash": 2})
    assert run(project, lambda _: None).status == 2
    assert (project / "one" / "made").read_text() == made
    assert (project / "reports" / "first.json").is_file()


def test_the_stages_own_words_reach_stderr_and_dvcs_do_not(
    project: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    order(project, first={"crash": 2})
    run(project, lambda _: None)
    errors = capfdbinary.readouterr().err
    assert b"first mutters" in errors and b"ERROR" not in errors


@pytest.mark.parametrize("terminal", [True, False])
def test_stages_get_a_terminal_where_there_is_one(
    project: Path, terminal: bool, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    order(project, last={"crash": 2})
    assert run(project, lambda _: None, terminal=terminal).status == 2
    errors = capfdbinary.readouterr().err
    # nothing of DVC's own: no bar, no error line
    assert errors.replace(b"\r", b"").splitlines() == [
        f"{name} mutters, terminal {terminal}".encode() for name in ("first", "last")
    ]


@pytest.mark.parametrize(
    ("errors", "said", "advice"),
    [
        ("ERROR: Unable to acquire lock", "Unable to acquire lock", "wait until the other DVC command ends"),
        ("ERROR: [Errno 28] No space left on device", "No space left", "free some space"),
        ("ERROR: output 'x' does not exist", "does not exist", "dvc checkout"),
        ("ERROR: a\n  b", "gave up at the stage first: a b", "dvc repro -v"),
        ("", "it ended with status 255 and said nothing", "dvc repro -v"),
    ],
)
def test_what_dvc_gave_up_on_comes_with_advice(errors: str, said: str, advice: str, tmp_path: Path) -> None:
    problem = _dvc_problem(errors, Failure("first", None), 255, tmp_path)
    assert said in problem.message and advice in problem.next_step


def test_missing_data_is_named_in_dvcs_words(project: Path) -> None:
    write_text(project / "dvc.yaml", PIPELINE.replace("stage.py]", "stage.py, nowhere]"))
    with pytest.raises(InputError, match="nowhere"):
        run(project, lambda _: None)


def test_a_folder_without_dvc_is_refused(project: Path) -> None:
    (project / ".dvc").rename(project / "elsewhere")
    with pytest.raises(InputError, match=r"no \.dvc folder"):
        run(project, lambda _: None)


def start(project: Path) -> "subprocess.Popen[bytes]":
    code = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from modelyard.cli.main import main
        main(["run", "--project", sys.argv[1]])
        """
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(project)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=project.parent
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stages_alive(project: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == project:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_kill_9_leaves_no_stage_behind_and_the_next_run_works(project: Path) -> None:
    order(project, last={"sleep": 60})
    going = start(project)
    wait_for((project / "last.started").exists)
    assert stages_alive(project)
    going.kill()
    going.communicate()
    wait_for(lambda: not stages_alive(project))
    order(project)
    assert run(project, lambda _: None).status == 0


def test_a_second_run_is_refused_while_one_is_going(project: Path) -> None:
    order(project, first={"sleep": 60})
    going = start(project)
    try:
        wait_for((project / "first.started").exists)
        with pytest.raises(InputError, match="another `modelyard run` is going"):
            run(project, lambda _: None)
    finally:
        going.send_signal(signal.SIGINT)
        _, errors = going.communicate(timeout=30)
    assert going.returncode == 130
    said = (b"stopping: first ends what it cannot leave", b"stopped: finished stages stand")
    assert [errors.count(words) for words in said] == [1, 1] and b"Traceback" not in errors
    assert errors.index(said[0]) < errors.index(said[1])
    wait_for(lambda: not stages_alive(project))
    order(project)
    assert run(project, lambda _: None).status == 0


def test_it_works_where_git_variables_point_elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", os.devnull)
    assert run(project, lambda _: None).status == 0


def test_a_bars_codes_go_on_at_once_and_dvcs_error_waits() -> None:
    reading, writing = os.pipe()
    relay = _Relay(reading)
    relay._write = lambda data: passed.append(data)  # type: ignore[method-assign]
    passed: list[bytes] = []
    relay.start()
    wipe = b"\x1b[?25h\r\x1b[1A\x1b[2K"  # what rich sends when a bar is wiped: no line end follows
    os.write(writing, wipe)
    relay.drain()
    assert b"".join(passed) == wipe
    os.write(writing, b"\x1b[31mERR")
    relay.drain()
    assert b"".join(passed) == wipe  # may be an error: held until its line ends
    os.write(writing, b"AND so on")
    relay.drain()
    assert b"".join(passed) == wipe + b"\x1b[31mERRAND so on"
    os.close(writing)
    relay.join(10)
