"""Several processes against one: the same losses and weights; a death, a signal and another number of processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.reports import ANSWERS_FILE, METRICS_FILE, reports_folder
from modelyard.project.load import parse_settings
from modelyard.training import resume_test as proof
from modelyard.training.checkpoint_folder import checkpoints_of, saved_steps
from modelyard.training.group import Group, _let_go, joined
from modelyard.training.resume_test import Work

STEPS = 50
UNDER_KILL = 24
"""Steps of a training each of which is saved."""
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder without dropout: every process draws its own."""
    folder = Path(shutil.copytree(tiny_base, tmp_path_factory.mktemp("still") / "base"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def project_of(place: Path, base: Path, prepared: Path, *, task: str = "classification", **train: Any) -> Path:
    place.mkdir()
    settings = {
        "schema": 1,
        "project": "tiny",
        "task": task,
        "data": {"train": "rows.csv"},
        "model": {"base": str(base)},
        "train": {"learning_rate": 3e-3, "epochs": 6, "tokens_per_batch": 200, "precision": "fp32", **train},
    }
    (place / "modelyard.yaml").write_text(json.dumps(settings))
    (place / "prepared").symlink_to(prepared)
    return place


def start(project: Path, processes: int) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).parent / "modelyard"), "train", "--project", str(project)]
    return subprocess.Popen(
        [*command, "--processes", str(processes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def run(project: Path, processes: int) -> str:
    with start(project, processes) as going:
        output, errors = going.communicate(timeout=300)
    assert going.returncode == 0, errors
    return output


def losses(project: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (reports_folder(project) / METRICS_FILE).read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def padding(project: Path) -> float:
    """Its share of the places of the whole plan."""
    report = json.loads((project / "reports/train.json").read_text())
    found = next(one for one in report["measurements"] if one["name"] == "padding_share")
    return float(found["interval"]["estimate"])


def assert_alike(one: Path, other: Path, *, least: int = STEPS) -> None:
    steps, again = losses(one), losses(other)
    assert len(steps) >= least
    assert [step for step, _ in steps] == [step for step, _ in again]
    np.testing.assert_allclose([loss for _, loss in again], [loss for _, loss in steps], atol=TOLERANCE)
    weights, found = (load_file(project / "model/model.safetensors") for project in (one, other))
    assert weights.keys() == found.keys()
    # what is added to every key alike changes no attention: that gradient is rounding, which Adam makes a whole step of
    for name in (name for name in weights if not name.endswith("key.bias")):
        np.testing.assert_allclose(found[name], weights[name], atol=TOLERANCE, err_msg=name)


@pytest.fixture(scope="module")
def alone(base: Path, tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = project_of(tmp_path_factory.mktemp("alone") / "project", base, tiny_prepared)
    run(project, 1)
    return project


@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.system)])
def test_several_processes_train_as_one_does(
    alone: Path, base: Path, tiny_prepared: Path, tmp_path: Path, processes: int, sharded: bool
) -> None:
    project = project_of(tmp_path / "project", base, tiny_prepared, sharded=sharded)
    assert "train: tiny" in run(project, processes)
    assert_alike(alone, project)
    # each pads its rows to the longest of its own
    assert padding(project) < padding(alone)
    assert sorted(path.name for path in project.iterdir()) == ["model", "modelyard.yaml", "prepared", "reports"]
    found, expected = ({path.name: path for path in (place / "model").iterdir()} for place in (project, alone))
    assert found.keys() == expected.keys()
    assert found["config.json"].read_bytes() == expected["config.json"].read_bytes()


SHARDED: dict[str, Any] = {"sharded": True}
LORA: dict[str, Any] = {"lora_rank": 4}


@pytest.mark.system
@pytest.mark.parametrize(
    ("task", "base", "trains"),
    [
        ("causal_lm", "tiny_decoder", [{}, SHARDED, {"activation_checkpointing": True, **SHARDED}]),
        ("causal_lm", "tiny_decoder", [LORA, LORA | SHARDED, {"activation_checkpointing": True, **LORA, **SHARDED}]),
        ("seq2seq_lm", "tiny_pair_model", [SHARDED]),
    ],
    ids=["weights", "lora", "sequence to sequence"],
)
def test_a_language_model_too(
    request: pytest.FixtureRequest,
    prepare_language: Callable[..., Path],
    tmp_path: Path,
    task: str,
    base: str,
    trains: list[dict[str, Any]],
) -> None:
    """Rows of unlike length: the tokens of a batch are counted over all processes. The output layers are tied."""
    rows = [{"prompt": f"{n} {n}", "completion": " good" * (1 + n % 7)} for n in range(90)]
    folder, prepared = request.getfixturevalue(base), prepare_language("prompt_completion", rows, task=task)

    def train(name: str, processes: int, settings: dict[str, Any]) -> Path:
        steps = {"epochs": 8, "tokens_per_batch": 80}
        project = project_of(tmp_path / name, folder, prepared, task=task, **steps, **settings)
        run(project, processes)
        return project

    one = train("one", 1, {name: value for name, value in trains[0].items() if name == "lora_rank"})
    for number, settings in enumerate(trains):
        several = train(f"two-{number}", 2, settings)
        assert_alike(one, several)
        written = [json.loads(line) for line in (one / "reports" / ANSWERS_FILE).read_text().splitlines()]
        assert len(written) > 1
        again = [json.loads(line) for line in (several / "reports" / ANSWERS_FILE).read_text().splitlines()]
        assert again == written


def wait_for_steps(project: Path, count: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if (project / "reports" / METRICS_FILE).is_file() and len(losses(project)) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("no step was taken")


def ranks(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(number) for number in listed]


@pytest.mark.system
@pytest.mark.parametrize(
    ("number", "status", "said", "sharded"),
    [
        (signal.SIGTERM, 143, "which is saved in model.checkpoints", False),
        (signal.SIGKILL, 137, "error: process 1 of 2 was ended by SIGKILL", False),
        (signal.SIGTERM, 143, "which is saved in model.checkpoints", True),
        (signal.SIGKILL, 137, "error: process 1 of 2 was ended by SIGKILL", True),
    ],
)
def test_one_process_that_ends_ends_all_and_another_number_goes_on(
    alone: Path,
    base: Path,
    tiny_prepared: Path,
    tmp_path: Path,
    number: signal.Signals,
    status: int,
    said: str,
    sharded: bool,
) -> None:
    project = project_of(tmp_path / "project", base, tiny_prepared, sharded=sharded)
    stop_after_five_steps(project, number, status, said)
    assert (project / "model.checkpoints").exists() == (number == signal.SIGTERM)
    run(project, 1)
    assert_alike(alone, project)


@pytest.mark.parametrize(("before", "after"), [(2, 1), pytest.param(1, 2, marks=pytest.mark.system)])
def test_after_kill_9_another_number_goes_on_from_the_last_save(
    base: Path, tiny_prepared: Path, tmp_path: Path, before: int, after: int
) -> None:
    """Every step is saved, as half a minute after the first would be."""
    project = project_of(tmp_path / "project", base, tiny_prepared)
    settings = parse_settings((project / "modelyard.yaml").read_text())
    work = Work(settings, project, tiny_prepared, UNDER_KILL, tmp_path / "work", before, 8_192)
    whole = replace(work, folder=tmp_path / "whole", processes=1)
    assert not proof._run(whole)
    assert proof._run(work, signal.SIGKILL, 5, 0.0, before - 1)
    saved = saved_steps(checkpoints_of(work.model))[0]
    assert 4 <= saved < work.steps - 1
    assert not work.model.exists()
    proof._run(replace(work, processes=after))
    assert_alike(whole.folder, work.folder, least=UNDER_KILL)
    assert f'"resumed_after_step": {saved}}}' in (work.folder / METRICS_FILE).read_text()
    assert f"{before} processes, now {after}" in (work.folder / "train.json").read_text()


@pytest.mark.system
@pytest.mark.parametrize("processes", [2, 4])
def test_what_was_begun_whole_goes_on_sharded(
    alone: Path, base: Path, tiny_prepared: Path, tmp_path: Path, processes: int
) -> None:
    project = project_of(tmp_path / "project", base, tiny_prepared)
    stop_after_five_steps(project, signal.SIGTERM, 143, "which is saved in model.checkpoints")
    settings = json.loads((project / "modelyard.yaml").read_text())
    settings["train"]["sharded"] = True
    (project / "modelyard.yaml").write_text(json.dumps(settings))
    run(project, processes)
    assert_alike(alone, project)
    assert "whole, now sharded" in (project / "reports/train.json").read_text()


@pytest.mark.system
@pytest.mark.parametrize("processes", [1, 2])
def test_sharded_lora_goes_on_in_any_number_of_processes(
    base: Path, tiny_prepared: Path, tmp_path: Path, processes: int
) -> None:
    """Of a classifier, whose new head is trained whole; with the other number of processes it is trained anew."""
    one, other = (project_of(tmp_path / name, base, tiny_prepared, **LORA, **SHARDED) for name in ("one", "other"))
    run(one, 3 - processes)
    stop_after_five_steps(other, signal.SIGTERM, 143, "which is saved in model.checkpoints")
    run(other, processes)
    assert_alike(one, other)
    for project in (one, other):
        verdicts = json.loads((project / "reports/train.json").read_text())["verdicts"]
        assert [one["outcome"] for one in verdicts if one["rule"] == "lora_merge_parity"] == ["PASS"]


def on_two_machines(project: Path) -> "list[subprocess.Popen[str]]":
    """What docs/training.md starts on each of two machines, here both on this one."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    agent += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1"]
    return [
        subprocess.Popen(
            [*agent, "-m", "modelyard", "train", "--project", str(project)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]


def ended(agents: "list[subprocess.Popen[str]]") -> tuple[list[int], list[str]]:
    """The statuses of both and all that they said."""
    try:
        said = ["".join(agent.communicate(timeout=240)) for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    return [agent.returncode for agent in agents], said


@pytest.mark.system
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
def test_two_machines_train_as_two_processes_do(base: Path, tiny_prepared: Path, tmp_path: Path, sharded: bool) -> None:
    """Bit for bit."""
    one, other = (project_of(tmp_path / name, base, tiny_prepared, sharded=sharded) for name in ("one", "other"))
    run(one, 2)
    statuses, said = ended(on_two_machines(other))
    assert statuses == [0, 0], said
    assert "".join(said).count("train: tiny") == 1
    assert digest_folder(other / "model") == digest_folder(one / "model")
    assert losses(other) == losses(one)


def still_running(processes: list[int]) -> list[int]:
    """Those that go on for another minute; whoever took over one that has ended may not have noticed yet."""
    ends = time.monotonic() + 60
    while left := [process for process in processes if runs(process)]:
        if time.monotonic() > ends:
            break
        time.sleep(0.1)
    return left


def runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.system
@pytest.mark.parametrize(("who", "machine"), [("process", 1), ("agent", 0)])
def test_a_machine_that_is_lost_ends_the_other_and_the_next_run_goes_on(
    alone: Path, base: Path, tiny_prepared: Path, tmp_path: Path, who: str, machine: int
) -> None:
    project = project_of(tmp_path / "project", base, tiny_prepared)
    stop_after_five_steps(project, signal.SIGTERM, 143, "which is saved in model.checkpoints")
    before = len(losses(project))
    agents = on_two_machines(project)
    wait_for_steps(project, before + 5)
    processes = [process for agent in agents for process in ranks(agent.pid)]
    os.kill(processes[machine] if who == "process" else agents[machine].pid, signal.SIGKILL)
    statuses, said = ended(agents)
    assert statuses[1 - machine] == 1, said
    assert statuses[machine] == (1 if who == "process" else -signal.SIGKILL)
    # the other process says that it is lost, or its torchrun misses the store that it met at first, and ends it
    assert "lost the others" in said[1 - machine] or "C10d store" in said[1 - machine]
    assert still_running(processes) == []
    statuses, said = ended(on_two_machines(project))
    assert statuses == [0, 0], said
    assert "resumed_after_step" in (project / "reports" / METRICS_FILE).read_text()
    assert_alike(alone, project)


def stop_after_five_steps(project: Path, number: signal.Signals, status: int, said: str) -> None:
    with start(project, 2) as going:
        wait_for_steps(project, 5)
        os.kill(ranks(going.pid)[1], number)
        _, errors = going.communicate(timeout=120)
    assert (going.returncode, said in errors, "Traceback" in errors) == (status, True, False), errors


def test_alone_nothing_is_sent() -> None:
    with joined() as group:
        assert group == Group()
    assert (group.share([1, 2, 3]), group.most(2.0, 3.0), group.gather("a"), group.from_first(4)) == (
        [1, 2, 3],
        [2.0, 3.0],
        ["a"],
        4,
    )
    values: Any = np.array([1.0])
    assert group.sums(values) is values


def test_an_error_holds_nothing_that_refers_to_the_group() -> None:
    class Held:
        """As a model does, in a circle."""

        def __init__(self) -> None:
            self.itself = self

    seen = []

    def fail() -> None:
        held = Held()
        seen.append(weakref.ref(held))
        raise ValueError

    def fail_again() -> None:
        try:
            fail()
        except ValueError as error:
            raise RuntimeError from error

    with pytest.raises(RuntimeError) as caught:
        fail_again()
    assert seen[0]() is not None
    _let_go(caught.value)
    assert seen[0]() is None


def test_every_row_of_a_batch_has_one_process() -> None:
    batch = list(range(7))
    shares = [Group(rank, 3).share(batch) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]
