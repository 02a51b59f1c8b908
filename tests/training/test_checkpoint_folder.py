"""The newest whole checkpoint is found, another training's is refused, what is of no use makes room."""

import dataclasses
import errno
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from modelyard.errors import InputError
from modelyard.training.batches import Rows
from modelyard.training.checkpoint import save
from modelyard.training.checkpoint_folder import (
    LOCK,
    checkpoints_of,
    held,
    newest,
    remove_all,
    remove_step,
    saved_steps,
)
from modelyard.training.checkpoint_state import About, Course
from modelyard.training.step import Learner, take_step

Write = Callable[..., None]
Facts = dict[str, Any]


def test_two_stay_and_the_newest_is_taken(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    (tmp_path / "step-notes").mkdir()
    for step in (9, 10, 100):
        write(tmp_path, learner, step)
    assert saved_steps(tmp_path) == [100, 10]
    saved = newest(tmp_path, facts)
    assert saved is not None and saved.state.step == 100
    remove_all(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-notes"]
    assert newest(tmp_path / "none", facts) is None


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors", "random.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_a_damaged_one_is_passed_over_with_a_warning(
    tmp_path: Path,
    learner: Learner,
    train_rows: Rows,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: str,
    write: Write,
    facts: Facts,
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    write(tmp_path, learner, 2)
    path = tmp_path / "step-000000002" / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[0] ^= 0xFF if damage == "flipped" else 0
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with caplog.at_level(logging.WARNING):
        saved = newest(tmp_path, facts)
    assert saved is not None and saved.state.step == 1
    assert "step-000000002 is passed over" in caplog.text and name in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [({"schema": 2}, "state.json has schema 2, this Modelyard reads 1"), ({"optimiser": "adam"}, "optimiser: Extra")],
)
def test_one_of_another_version_is_refused_and_stays(
    tmp_path: Path, learner: Learner, train_rows: Rows, change: dict[str, Any], said: str, write: Write, facts: Facts
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    path = tmp_path / "step-000000001/state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=said):
        newest(tmp_path, facts)
    assert saved_steps(tmp_path) == [1]


@pytest.mark.parametrize("lacks", ["tokens_per_forward", "tokens_per_forward_reason", "sharded", "processor", "device"])
def test_so_is_one_that_says_less(
    tmp_path: Path, learner: Learner, train_rows: Rows, lacks: str, write: Write, facts: Facts
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    path = tmp_path / "step-000000001/state.json"
    state = json.loads(path.read_text())
    del state[lacks]
    path.write_text(json.dumps(state))
    with pytest.raises(InputError, match=rf"{lacks}: .*Next: go on with the Modelyard that wrote it, or remove"):
        newest(tmp_path, facts)
    assert saved_steps(tmp_path) == [1]


def test_another_trainings_is_refused_with_all_that_differs(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    with pytest.raises(InputError) as caught:
        newest(tmp_path, {"seed": 4, "learning_rate": 1e-3, "labels": ["bad", "good", "ugly"]})
    messages = [problem.message for problem in caught.value.problems]
    assert [message.partition(": ")[2] for message in messages] == [
        "seed was 3, is 4",
        "labels was ['bad', 'good'], is ['bad', 'good', 'ugly']",
    ]
    assert f"remove {tmp_path} to begin anew" in caught.value.problems[0].next_step
    assert saved_steps(tmp_path) == [1]


@pytest.mark.parametrize(
    ("saved", "torch_then", "said", "then"),
    [
        (
            {"plan": "sha256:a", "seed": 4},  # with another version a rate that nobody set may be another one, too
            "1.0",
            rf"seed was 4, is 3 \(torch 1.0, now {re.escape(torch.__version__)}\)$",
            "set it back to go on from there, or",
        ),
        (
            {"plan": "sha256:a"},
            None,
            "of the same training with other tokens in its rows or other batches of them$",
            "go on on the machine that wrote it, or",
        ),
        (
            {"plan": "sha256:a"},
            "1.0",
            rf"or other batches of them \(torch 1.0, now {re.escape(torch.__version__)}\)$",
            "go on with the versions that wrote it, or",
        ),
        (
            {"plan": "sha256:a", "steps": 9, "seed": 4},  # of which the batches are others anyway
            None,
            "is of another training: seed was 4, is 3$",
            "set it back to go on from there, or",
        ),
    ],
)
def test_one_of_another_plan_is_refused(
    tmp_path: Path,
    learner: Learner,
    train_rows: Rows,
    saved: dict[str, Any],
    torch_then: str | None,
    said: str,
    then: str,
    write: Write,
    facts: Facts,
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    path = tmp_path / "step-000000001/state.json"
    state = json.loads(path.read_text())
    state["training"] |= saved
    state["versions"] |= {"torch": torch_then} if torch_then else {}
    path.write_text(json.dumps(state))
    with pytest.raises(InputError) as caught:
        newest(tmp_path, {**facts, "plan": "sha256:b", "steps": 8})
    (problem,) = caught.value.problems
    assert re.search(said, problem.message)
    assert problem.next_step == f"{then} remove {tmp_path} to begin anew"
    assert saved_steps(tmp_path) == [1]


def test_the_one_that_no_step_can_be_taken_from_goes_only_beside_a_whole_one(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    remove_step(tmp_path, 1)
    assert saved_steps(tmp_path) == [1]
    write(tmp_path, learner, 2)
    (tmp_path / "step-000000001/weights.safetensors").write_bytes(b"cut")
    remove_step(tmp_path, 2)
    assert saved_steps(tmp_path) == [2, 1]
    write(tmp_path, learner, 3)
    remove_step(tmp_path, 7)
    remove_step(tmp_path, 3)
    assert saved_steps(tmp_path) == [2]


def test_damaged_ones_of_later_steps_make_room_and_what_a_kill_left_is_tidied(
    tmp_path: Path,
    learner: Learner,
    train_rows: Rows,
    caplog: pytest.LogCaptureFixture,
    write: Write,
    facts: Facts,
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    for step in (400, 500):
        write(tmp_path, learner, step)
        (tmp_path / f"step-{step:09d}" / "weights.safetensors").unlink()
    (tmp_path / "step-000000500/state.json").unlink()
    for left in (".step-000000300.999999999.tmp", ".step-000000300.999999999.old.tmp"):
        (tmp_path / left).mkdir()
    with caplog.at_level(logging.WARNING):
        assert newest(tmp_path, facts) is None
    assert caplog.messages[-1] == f"no checkpoint in {tmp_path} is whole: the training begins anew"
    write(tmp_path, learner, 71)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000071"]
    saved = newest(tmp_path, facts)
    assert saved is not None and saved.state.step == 71


def test_a_damaged_one_that_the_training_was_ahead_of_does_not_outlive_the_next(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts
) -> None:
    """Were it kept, it would take the place of the whole one before it."""
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 100)
    write(tmp_path, learner, 110)
    (tmp_path / "step-000000110/weights.safetensors").write_bytes(b"cut")
    saved = newest(tmp_path, facts)
    assert saved is not None and saved.state.step == 100
    write(tmp_path, learner, 130, after=100)
    assert saved_steps(tmp_path) == [130, 100]


def test_one_training_at_a_time_has_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.training.checkpoint_folder.LOCK_WAIT_SECONDS", 0.0)
    folder = tmp_path / "out/model.checkpoints"
    with held(folder):
        with pytest.raises(InputError, match="it writes to the same output"), held(folder):
            pass
        (folder / "step-000000001").mkdir()
    assert [path.name for path in folder.iterdir()] == ["step-000000001"]
    with held(folder):
        (folder / "step-000000001").rmdir()
    assert not folder.exists()


def test_a_lock_that_another_machine_removed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def locked_within(seconds: float, descriptor: int) -> bool:
        taken.append(descriptor)
        if len(taken) == 1:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if len(taken) == 2:
            (tmp_path / LOCK).unlink()
        return True

    monkeypatch.setattr("modelyard.training.checkpoint_folder.locked_within", locked_within)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with held(tmp_path):
        assert len(taken) == 3
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 1


def test_what_a_killed_training_left_of_its_lock_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with held(tmp_path):
        assert (tmp_path / LOCK).exists()


def test_who_waits_gets_the_folder_also_where_it_was_removed_meanwhile(tmp_path: Path) -> None:
    def where(descriptor: Path) -> str:
        try:
            return str(descriptor.readlink())
        except FileNotFoundError:  # closed meanwhile
            return ""

    folder, got, let_go = tmp_path / "model.checkpoints", threading.Event(), threading.Event()

    def have() -> None:
        with held(folder):
            got.set()
            let_go.wait(30)

    other = threading.Thread(target=have)
    with held(folder):
        other.start()
        opened, until = Path("/proc/self/fd"), time.monotonic() + 30
        while sum(str(folder / LOCK) == where(path) for path in opened.iterdir()) < 2:
            assert time.monotonic() < until
    assert got.wait(30)
    assert (folder / LOCK).exists()
    let_go.set()
    other.join(30)
    assert not folder.exists()


def test_a_place_for_which_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"file/model\.checkpoints cannot be written"),
        held(tmp_path / "file/model.checkpoints"),
    ):
        pass


def test_a_kill_in_the_very_first_save_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, facts: Facts) -> None:
    with caplog.at_level(logging.WARNING):
        assert newest(tmp_path / "model.checkpoints", facts) is None
        assert not caplog.messages  # nothing was begun
        (tmp_path / ".step-000000005.999999999.tmp").mkdir()
        assert newest(tmp_path, facts) is None
    assert caplog.messages == [f"no checkpoint in {tmp_path} is whole: the training begins anew"]


@pytest.mark.parametrize(
    ("fact", "said", "step"),
    [
        (
            "prepared",
            "the digest of prepared/dataset.json was 'sha256:a', is 'sha256:b'",
            "prepare the same rows again",
        ),
        ("base", "the digest of model.base was 'sha256:a', is 'sha256:b'", "name the base model that it began with"),
        ("seed", "seed was 'sha256:a', is 'sha256:b'", "set it back"),
    ],
)
def test_one_of_other_rows_or_of_another_base_says_so(
    tmp_path: Path,
    learner: Learner,
    train_rows: Rows,
    about: About,
    fact: str,
    said: str,
    step: str,
    facts: Facts,
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    began = dataclasses.replace(about, training={**facts, fact: "sha256:a"})
    save(tmp_path, learner, Course(step=1), began, after=0, trained_seconds=1.0, restarts=0)
    with pytest.raises(InputError) as caught:
        newest(tmp_path, {**facts, fact: "sha256:b"})
    (problem,) = caught.value.problems
    assert problem.message == f"{tmp_path.name} is of another training: {said}"
    assert problem.next_step == f"{step} to go on from there, or remove {tmp_path} to begin anew"


def test_the_folder_stands_beside_the_model(tmp_path: Path) -> None:
    assert checkpoints_of(tmp_path / "model") == tmp_path / "model.checkpoints"
    assert checkpoints_of(Path("model/")) == Path.cwd() / "model.checkpoints"
