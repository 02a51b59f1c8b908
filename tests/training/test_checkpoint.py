"""Checkpoints: what goes in comes back, bit for bit; a full disk leaves the one before."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from modelyard.errors import InputError
from modelyard.training.batches import Rows
from modelyard.training.checkpoint import restore
from modelyard.training.checkpoint_folder import newest
from modelyard.training.classifier import Classifier
from modelyard.training.step import Learner, make_learner, take_step

Write = Callable[..., None]
Facts = dict[str, Any]


def states(learner: Learner) -> list[torch.Tensor]:
    moments = learner.optimiser.state_dict()["state"]
    return [
        *learner.model.state_dict().values(),
        *(moments[number][name] for number in sorted(moments) for name in sorted(moments[number])),
        torch.get_rng_state(),
    ]


def test_everything_comes_back_bit_for_bit(
    tmp_path: Path,
    learner: Learner,
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    write: Write,
    facts: Facts,
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
    saved = newest(tmp_path, facts)
    assert saved is not None
    course = restore(saved, other)
    assert all(torch.equal(one, two) for one, two in zip(before, states(other), strict=True))
    assert (course.step, course.loss_sum, course.best_step, course.history) == (2, 2.1, 1, history)
    assert isinstance(course.history[0]["step"], int)
    np.testing.assert_array_equal(course.best_outputs, logits)
    assert set(course.best_weights) == set(best)
    assert (saved.state.trained_seconds, saved.state.restarts, saved.differences(1)) == (7.5, 2, [])

    one = take_step(learner, train_rows, [3, 4], learning_rate=1e-3, step=3)[:2]  # not the time for data
    torch.set_rng_state(before[-1])
    assert take_step(other, train_rows, [3, 4], learning_rate=1e-3, step=3)[:2] == one


def test_tensors_that_do_not_fit_the_model_are_refused(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    saved = newest(tmp_path, facts)
    assert saved is not None
    learner.model.classifier = torch.nn.Linear(32, 5)
    with pytest.raises(
        InputError, match=r"the checkpoint does not fit this model: .*Next: go on on the machine that wrote it"
    ):
        restore(saved, learner)


def test_a_device_without_room_for_it_is_no_fault_of_the_checkpoint(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    saved = newest(tmp_path, facts)
    assert saved is not None

    def full(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("modelyard.training.checkpoint.load_file", full)
    with pytest.raises(torch.OutOfMemoryError):
        restore(saved, learner)


def test_a_random_state_of_another_torch_does_not_fit(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    with monkeypatch.context() as patched:
        patched.setattr("torch.get_rng_state", lambda: torch.zeros(3, dtype=torch.uint8))
        write(tmp_path, learner, 1)
    saved = newest(tmp_path, facts)
    assert saved is not None
    with pytest.raises(InputError, match="the checkpoint does not fit this model: Expected a CPUGenerator"):
        restore(saved, learner)


def test_tied_weights_are_saved_and_come_back(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts
) -> None:
    learner.model.twin = torch.nn.Linear(32, 2)
    learner.model.twin.weight = learner.model.classifier.weight
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    before = learner.model.classifier.weight.detach().clone()
    write(tmp_path, learner, 1)
    saved = newest(tmp_path, facts)
    assert saved is not None
    with torch.no_grad():
        learner.model.classifier.weight.zero_()
    restore(saved, learner)
    assert torch.equal(learner.model.twin.weight, before)


def test_a_disk_that_fails_at_the_sync_is_told(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:  # a fault that no file system can be asked for
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(InputError, match=r"weights.safetensors \(0\.\d MB\) cannot be written: .*Input/output error"):
        write(tmp_path, learner, 1)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_leaves_the_one_before(
    tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts
) -> None:
    import resource

    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    write(tmp_path, learner, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
        with pytest.raises(
            InputError, match=r"checkpoint's weights.safetensors \(0\.\d MB\) cannot be written"
        ) as full:
            write(tmp_path, learner, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "goes on from the last checkpoint, or begins anew" in full.value.problems[0].next_step
    saved = newest(tmp_path, facts)
    assert saved is not None and saved.state.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
