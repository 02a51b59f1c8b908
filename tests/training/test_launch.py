"""Several processes started: what each knows, whose status and words are heard, and that none outlives the others."""

import signal
import subprocess
import sys
import time

import pytest

from modelyard.training import launch as launching
from modelyard.training.launch import PARENT, launch

WAITS = "import time; time.sleep(60)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_each_knows_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", PARENT)
    code = f"import os, sys; sys.stderr.write(str([os.environ[n] for n in {names!r}]) + '\\n'); print('said')"
    assert launch(python(code), 3) == 0
    heard = capfd.readouterr()
    assert heard.out == "said\n"  # of the first alone
    place, rest = heard.err.split("']")[0].split("', '")[:4], heard.err.count("[")
    assert (place, rest) == (["['0", "0", "3", "127.0.0.1"], 1)


def test_what_torchrun_set_around_it_is_not_theirs(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in (left | {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "x"}).items():
        monkeypatch.setenv(name, value)
    code = (
        "import os, sys; from modelyard.training.place import own_place\n"
        "if own_place() != (int(os.environ['RANK']), int(os.environ['RANK']), 2, 2): sys.exit(1)\n"
        "if any(name.startswith('TORCHELASTIC') for name in os.environ): sys.exit(2)"
    )
    assert launch(python(code), 2) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("rank", "said"), [(0, "zero fails\n"), (2, "two fails\n")])
def test_the_first_that_fails_is_heard_and_ends_the_others(
    rank: int, said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "GRACE_SECONDS", 0.2)
    word = ("zero", "one", "two")[rank]
    code = f"import os, sys, time\nif os.environ['RANK'] == '{rank}': sys.exit('{word} fails')\ntime.sleep(60)"
    start = time.monotonic()
    assert launch(python(code), 3) == 1
    assert time.monotonic() - start < 50
    assert capfd.readouterr().err == said


def test_what_all_say_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert launch(python("import sys; sys.stderr.write('the same\\n'); sys.exit(2)"), 3) == 2
    assert capfd.readouterr().err == "the same\n"


def test_a_signal_goes_to_all_and_the_status_is_a_shells() -> None:
    code = (
        "import sys; from modelyard.training.launch import launch; "
        f"sys.exit(launch([sys.executable, '-c', 'print(1, flush=True); {WAITS}'], 2))"
    )
    with subprocess.Popen(python(code), stdout=subprocess.PIPE) as going:
        assert going.stdout is not None
        going.stdout.readline()
        time.sleep(0.5)  # for the other one, whose words nobody hears
        going.send_signal(signal.SIGTERM)
        assert going.wait(30) == 128 + signal.SIGTERM
