"""A signal in every window before the first step: the status of a shell, one error and no traceback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.cli.ending import told_by_signals
from modelyard.errors import Stopped

# Python runs a module of this name at its start: every word of a progress is said at once, and one of them holds on
CUSTOM = """
import os, sys, time
from contextlib import contextmanager
import modelyard.cli.console as console

@contextmanager
def saying(first=""):
    def progress(what, done, total):
        sys.stderr.write(what + "\\n")
        sys.stderr.flush()
        if what.startswith(os.environ["HOLD"]):
            time.sleep(60)
    sys.stderr.write(first + "\\n")
    sys.stderr.flush()
    yield progress

console.progress_bar = saying
"""
SETTINGS = {"epochs": 30, "tokens_per_batch": 200, "precision": "auto", "learning_rate": 0.001}
LOADING, TIMING = "load torch", "time the precisions"


@pytest.fixture
def language(tiny_decoder: Path, tmp_path: Path) -> Path:
    """A project whose training asks its base model, and times formats."""
    import polars as pl

    from modelyard.artifacts.files import digest_bytes, digest_file, write_json
    from modelyard.artifacts.prepared import MARK, Dataset, Source

    folder = tmp_path / "prepared"
    folder.mkdir()
    names = ("train", "validation", "test")
    for name in names:
        count = 60 if name == "train" else 4
        columns = {"id": [f"{name}{n}" for n in range(count)], "source": [f"{name}.jsonl:{n}" for n in range(count)]}
        columns |= {"text": [f"好 the film {n}" for n in range(count)]}
        pl.DataFrame(columns).with_columns(group=pl.lit(None, pl.String)).write_parquet(folder / f"{name}.parquet")
    dataset = Dataset(
        task="causal_lm",
        shape="text",
        labels=[],
        counts={"train": 60, "validation": 4, "test": 4},
        digests={name: digest_file(folder / f"{name}.parquet") for name in names},
        slices=[],
        seed=0,
        sources=[Source(path="rows.jsonl", digest=digest_bytes(b"rows"), rows=68)],
    )
    write_json(folder / MARK, dataset)
    (tmp_path / "modelyard.yaml").write_text(
        f"schema: 1\nproject: tiny\ntask: causal_lm\ndata: {{train: rows.jsonl}}\n"
        f"model: {{base: {json.dumps(str(tiny_decoder))}}}\ntrain: {json.dumps(SETTINGS)}\n"
    )
    return tmp_path


def ended(project: Path, word: str, number: signal.Signals, processes: int = 1) -> tuple[int, str]:
    """Status and words of a training that gets a signal when it says a word."""
    (project / "sitecustomize.py").write_text(CUSTOM)
    path = os.pathsep.join([str(project), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-P", "-m", "modelyard", "train", "--project", str(project)]
    command += ["--processes", str(processes)] if processes > 1 else []
    environment = os.environ | {"PYTHONPATH": path, "HOLD": word}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as going:
        assert going.stderr is not None
        said = ""
        for line in going.stderr:
            said += line
            if line.startswith(word):
                break
        going.send_signal(number)
        said += going.stderr.read()
        return going.wait(30), said


def check_end(status: int, said: str, number: signal.Signals) -> None:
    assert (status, "Traceback" in said) == (128 + number, False), said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and number.name in errors[0], said


def test_a_signal_while_torch_is_loaded(language: Path) -> None:
    check_end(*ended(language, LOADING, signal.SIGTERM), signal.SIGTERM)


@pytest.mark.system
@pytest.mark.parametrize(
    ("word", "number", "processes"),
    [
        (LOADING, signal.SIGINT, 1),
        ("tokenise train", signal.SIGTERM, 1),
        (TIMING, signal.SIGINT, 1),
        ("evaluate", signal.SIGTERM, 1),
        (LOADING, signal.SIGTERM, 2),
        (TIMING, signal.SIGINT, 2),
    ],
)
def test_a_signal_in_every_window_before_the_first_step(
    language: Path, word: str, number: signal.Signals, processes: int
) -> None:
    check_end(*ended(language, word, number, processes), number)
    assert sorted(path.name for path in language.iterdir() if path.is_dir()) in (["prepared"], ["prepared", "reports"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_block_whatever_is_made_of_it(number: signal.Signals) -> None:
    def wrapped(work: Callable[[], None]) -> None:
        try:
            work()
        except KeyboardInterrupt as error:
            raise RuntimeError("a library's own") from error

    before = signal.getsignal(number)
    with pytest.raises(Stopped) as caught, told_by_signals():
        wrapped(lambda: signal.raise_signal(number))
    assert caught.value.exit_status == 128 + number
    assert f"stopped by {number.name} while no step was under way" in str(caught.value)
    assert signal.getsignal(number) is before


def test_an_interrupt_that_is_lost_ends_it_all_the_same() -> None:
    code = """
import signal, time
from modelyard.cli import ending
ending.LATE_SECONDS = 0.2
class Lost:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
with ending.told_by_signals():
    Lost()
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 128 + signal.SIGTERM
    assert "Exception ignored in" in done.stderr  # Python's own word: the interrupt came to nothing
    assert "error: stopped by SIGTERM while no step was under way" in done.stderr


def test_an_error_of_its_own_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), told_by_signals():
        raise ValueError("mine")


def test_the_second_signal_does_what_it_would_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(Stopped), told_by_signals():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
