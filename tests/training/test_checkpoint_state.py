"""What a checkpoint says of where it was written, and what it does not say."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from modelyard.training.batches import Rows
from modelyard.training.checkpoint import save
from modelyard.training.checkpoint_folder import newest
from modelyard.training.checkpoint_state import About, Course
from modelyard.training.step import Learner, take_step

Write = Callable[..., None]
Facts = dict[str, Any]


def test_differences_are_told(tmp_path: Path, learner: Learner, train_rows: Rows, write: Write, facts: Facts) -> None:
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
    saved = newest(tmp_path, facts)
    assert saved is not None
    assert saved.differences(1) == [
        f"torch 1.0, now {now}",
        f"tokenizers 0.1, now {metadata.version('tokenizers')}",
        f"polars none, now {metadata.version('polars')}",
        f"processor a 486, now {processor}",
        f"device a GPU, now {device}",
        f"99 threads, now {torch.get_num_threads()}",
    ]


def test_where_it_went_on_elsewhere_is_not_forgotten(
    tmp_path: Path, learner: Learner, train_rows: Rows, facts: Facts, about: About
) -> None:
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    course = Course(step=1, weight_seen=1)
    save(tmp_path, learner, course, about, after=0, trained_seconds=1.0, restarts=1, elsewhere=["8 threads, now 4"])
    saved = newest(tmp_path, facts)
    assert saved is not None
    assert saved.differences(2) == ["8 threads, now 4", "1 processes, now 2"]
    assert saved.differences(1, tokens_per_forward=8_192) == ["8 threads, now 4"]
    assert saved.differences(1, tokens_per_forward=512)[1:] == ["8192 tokens a forward pass, now 512"]
