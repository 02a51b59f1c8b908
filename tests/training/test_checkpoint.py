"""Checkpoints: what goes in comes back, the newest whole one is found, another training's is refused."""

import json
import logging
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from modelyard.errors import InputError
from modelyard.training.batches import Rows
from modelyard.training.checkpoint import (
    About,
    Course,
    checkpoints_of,
    newest,
    remove_all,
    restore,
    save,
    saved_steps,
)
from modelyard.training.classifier import Classifier
from modelyard.training.derive import Derived
from modelyard.training.step import Learner, make_learner, take_step

FACTS = {"seed": 3, "learning_rate": 1e-3, "labels": ["bad", "good"]}
ABOUT = About(FACTS, "fp32", "set", Derived(8_192, "default"))


@pytest.fixture
def learner(make_model: Callable[[], PreTrainedModel]) -> Learner:
    return make_learner(make_model().train(), Classifier(0), precision="fp32")


def write(folder: Path, learner: Learner, step: int, **fields: object) -> None:
    course = Course(step=step, loss_sum=0.1 + step, weight_seen=4, updated=True, **fields)  # type: ignore[arg-type]
    save(folder, learner, course, ABOUT, trained_seconds=7.5, restarts=2)


def states(learner: Learner) -> list[torch.Tensor]:
    moments = learner.optimiser.state_dict()["state"]
    return [
        *learner.model.state_dict().values(),
        *(moments[number][name] for number in sorted(moments) for name in sorted(moments[number])),
        torch.get_rng_state(),
    ]


def test_everything_comes_back_bit_for_bit(
    tmp_path: Path, learner: Learner, make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    torch.manual_seed(5)
    for step in (1, 2):
        take_step(learner, train_rows, [0, 1, 2], learning_rate=1e-3, step=step)
    best = {name: weight.clone() for name, weight in learner.model.state_dict().items()}
    logits = np.array([[0.1, -0.2]], np.float32)
    history = [{"step": 1, "epoch": 0.1, "validation_loss": 1 / 3}]
    write(tmp_path, learner, 2, best_step=1, best_weights=best, best_outputs=logits, history=history)
    before = [tensor.clone() for tensor in states(learner)]

    torch.manual_seed(99)
    other = make_learner(make_model().train(), Classifier(0), precision="fp32")
    saved = newest(tmp_path, FACTS)
    assert saved is not None
    course = restore(saved, other)
    assert all(torch.equal(one, two) for one, two in zip(before, states(other), strict=True))
    assert (course.step, course.loss_sum, course.best_step, course.history) == (2, 2.1, 1, history)
    assert isinstance(course.history[0]["step"], int)
    np.testing.assert_array_equal(course.best_outputs, logits)
    assert set(course.best_weights) == set(best)
    assert (saved.state.trained_seconds, saved.state.restarts, saved.differences(1)) == (7.5, 2, [])

    one = take_step(learner, train_rows, [3, 4], learning_rate=1e-3, step=3)
    torch.set_rng_state(before[-1])
    assert take_step(other, train_rows, [3, 4], learning_rate=1e-3, step=3) == one


def test_two_stay_and_the_newest_is_taken(tmp_path: Path, learner: Learner, train_rows: Rows) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    (tmp_path / "step-notes").mkdir()
    for step in (9, 10, 100):
        write(tmp_path, learner, step)
    assert saved_steps(tmp_path) == [100, 10]
    saved = newest(tmp_path, FACTS)
    assert saved is not None and saved.state.step == 100
    remove_all(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-notes"]
    assert newest(tmp_path / "none", FACTS) is None


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors", "random.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_a_damaged_one_is_passed_over_with_a_warning(
    tmp_path: Path, learner: Learner, train_rows: Rows, caplog: pytest.LogCaptureFixture, name: str, damage: str
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
        saved = newest(tmp_path, FACTS)
    assert saved is not None and saved.state.step == 1
    assert "step-000000002 is passed over" in caplog.text and name in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [({"schema": 2}, "state.json has schema 2, this Modelyard reads 1"), ({"optimiser": "adam"}, "optimiser: Extra")],
)
def test_one_of_another_version_is_refused_and_stays(
    tmp_path: Path, learner: Learner, train_rows: Rows, change: dict[str, Any], said: str
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    path = tmp_path / "step-000000001/state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=said):
        newest(tmp_path, FACTS)
    assert saved_steps(tmp_path) == [1]


def test_one_of_a_version_without_tokens_of_a_forward_pass_is_gone_on_from(
    tmp_path: Path, learner: Learner, train_rows: Rows
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    path = tmp_path / "step-000000001/state.json"
    state = json.loads(path.read_text())
    assert state.pop("tokens_per_forward") == 8_192 and state.pop("tokens_per_forward_reason") == "default"
    path.write_text(json.dumps(state))
    saved = newest(tmp_path, FACTS)
    assert saved is not None and saved.state.tokens_per_forward is None
    assert saved.differences(1, tokens_per_forward=512) == []


def test_another_trainings_is_refused_with_all_that_differs(tmp_path: Path, learner: Learner, train_rows: Rows) -> None:
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
    ("saved", "torch_then", "said"),
    [
        ({"plan": "sha256:a"}, None, "of the same training with its rows in other batches$"),
        (
            {"plan": "sha256:a"},
            "1.0",
            rf"with its rows in other batches \(torch 1.0, now {re.escape(torch.__version__)}\)$",
        ),
        ({}, None, "of the same training by a version that did not note its batches$"),
        ({"plan": "sha256:a", "seed": 4}, None, "is of another training: seed was 4, is 3$"),  # others anyway
    ],
)
def test_one_of_another_plan_is_refused(
    tmp_path: Path, learner: Learner, train_rows: Rows, saved: dict[str, Any], torch_then: str | None, said: str
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    path = tmp_path / "step-000000001/state.json"
    state = json.loads(path.read_text())
    state["training"] |= saved
    state["versions"] |= {"torch": torch_then} if torch_then else {}
    path.write_text(json.dumps(state))
    with pytest.raises(InputError) as caught:
        newest(tmp_path, {**FACTS, "plan": "sha256:b"})
    (problem,) = caught.value.problems
    assert re.search(said, problem.message)
    assert f"remove {tmp_path} to begin anew" in problem.next_step
    assert saved_steps(tmp_path) == [1]


def test_tensors_that_do_not_fit_the_model_are_refused(tmp_path: Path, learner: Learner, train_rows: Rows) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    saved = newest(tmp_path, FACTS)
    assert saved is not None
    learner.model.classifier = torch.nn.Linear(32, 5)
    with pytest.raises(InputError, match="the checkpoint does not fit this model"):
        restore(saved, learner)


def test_differences_are_told(tmp_path: Path, learner: Learner, train_rows: Rows) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    path = tmp_path / "step-000000001/state.json"
    now = torch.__version__
    state = json.loads(path.read_text())
    processor, device = state["processor"], state["device"]
    state |= {"processor": "a 486", "device": "a GPU", "threads": 99}
    state["versions"] |= {"torch": "1.0", "tokenizers": "0.1"}
    del state["versions"]["polars"]
    path.write_text(json.dumps(state))
    saved = newest(tmp_path, FACTS)
    assert saved is not None
    assert saved.differences(1) == [
        f"torch 1.0, now {now}",
        f"tokenizers 0.1, now {metadata.version('tokenizers')}",
        f"polars none, now {metadata.version('polars')}",
        f"processor a 486, now {processor}",
        f"device a GPU, now {device}",
        f"99 threads, now {torch.get_num_threads()}",
    ]


def test_tied_weights_are_saved_and_come_back(tmp_path: Path, learner: Learner, train_rows: Rows) -> None:
    learner.model.twin = torch.nn.Linear(32, 2)
    learner.model.twin.weight = learner.model.classifier.weight
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    before = learner.model.classifier.weight.detach().clone()
    write(tmp_path, learner, 1)
    saved = newest(tmp_path, FACTS)
    assert saved is not None
    with torch.no_grad():
        learner.model.classifier.weight.zero_()
    restore(saved, learner)
    assert torch.equal(learner.model.twin.weight, before)


def test_a_disk_that_fills_leaves_the_one_before(tmp_path: Path, learner: Learner, train_rows: Rows) -> None:
    import resource

    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
        with pytest.raises(InputError, match="cannot be written"):
            write(tmp_path, learner, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    saved = newest(tmp_path, FACTS)
    assert saved is not None and saved.state.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


def test_the_folder_stands_beside_the_model(tmp_path: Path) -> None:
    assert checkpoints_of(tmp_path / "model") == tmp_path / "model.checkpoints"
    assert checkpoints_of(Path("model/")) == Path.cwd() / "model.checkpoints"


def test_damaged_ones_of_later_steps_make_room_and_what_a_kill_left_is_tidied(
    tmp_path: Path, learner: Learner, train_rows: Rows
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    for step in (400, 500):
        write(tmp_path, learner, step)
        (tmp_path / f"step-{step:09d}" / "weights.safetensors").unlink()
    (tmp_path / "step-000000500/state.json").unlink()
    for left in (".step-000000300.999999999.tmp", ".step-000000300.999999999.old.tmp"):
        (tmp_path / left).mkdir()
    assert newest(tmp_path, FACTS) is None
    write(tmp_path, learner, 71)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000071"]
    saved = newest(tmp_path, FACTS)
    assert saved is not None and saved.state.step == 71


def test_where_it_went_on_elsewhere_is_not_forgotten(tmp_path: Path, learner: Learner, train_rows: Rows) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    course = Course(step=1, weight_seen=1)
    save(tmp_path, learner, course, ABOUT, trained_seconds=1.0, restarts=1, elsewhere=["8 threads, now 4"])
    saved = newest(tmp_path, FACTS)
    assert saved is not None
    assert saved.differences(2) == ["8 threads, now 4", "1 processes, now 2"]
    assert saved.differences(1, tokens_per_forward=8_192) == ["8 threads, now 4"]
    assert saved.differences(1, tokens_per_forward=512)[1:] == ["8192 tokens a forward pass, now 512"]
