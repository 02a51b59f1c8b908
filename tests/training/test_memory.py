"""Tokens of a forward pass by what the memory holds: halved until they fit, the smallest of all, kept in between."""

import dataclasses
import itertools
import json
import math
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.model import read_training
from modelyard.errors import InputError, Stopped
from modelyard.evidence.report import Report
from modelyard.progress import silent
from modelyard.project.load import parse_settings
from modelyard.training import memory
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier
from modelyard.training.group import ALONE, Group
from modelyard.training.language import Language
from modelyard.training.memory import (
    check_copy,
    choose_tokens,
    free_bytes,
    kept_bytes,
    largest,
    pass_bytes,
    telling_what_lacks,
    usual_or_not,
    within,
)
from modelyard.training.objective import Pass
from modelyard.training.seq2seq import Seq2Seq
from modelyard.training.step import compute_again, make_learner, take_step
from modelyard.training.train import Excerpt, train

ROWS = Rows([[1] * length for length in [10] * 40 + [30]], [""] * 41)
BATCHES = [list(range(20)), list(range(20, 41))]


@dataclasses.dataclass(frozen=True)
class Full(Classifier):
    """A device that holds so many tokens and no more."""

    most: int = 10**9

    def read(self, rows: Rows, part: Sequence[int]) -> Pass:
        def row_losses(called: torch.nn.Module) -> torch.Tensor:
            if self.places(rows, part) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return next(called.parameters()).sum() * torch.ones(len(part))

        return row_losses


def tried(model: PreTrainedModel, most: int, **changes: Any) -> memory.Derived:
    """What is chosen where a device holds so many tokens; the rows of 10 tokens and the one of 30 are its data."""
    objective = Full(0, tokens_per_forward=8_192, most=most)
    holds = memory._trying(model, ROWS, "fp32", ALONE)
    return choose_tokens(
        model, ROWS, BATCHES, objective, **{"precision": "fp32", "group": ALONE, "holds": holds} | changes
    )


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (10**6, 8_192),
        (630, 8_192),  # the second batch is 21 rows as wide as the longest
        (600, 512),  # the longest stands alone with its 30, beside 20 rows of 10
        (199, 128),  # 12 rows
        (31, 32),  # 3 rows
    ],
)
def test_halved_until_the_largest_part_fits(
    make_model: Callable[[], PreTrainedModel], most: int, expected: int
) -> None:
    model = make_model()
    value, reason = tried(model, most)
    assert value == expected
    assert ("by default do not fit" in reason) == (expected < 8_192)
    assert all(weight.grad is None for weight in model.parameters())


def test_not_even_one_row(make_model: Callable[[], PreTrainedModel]) -> None:
    with pytest.raises(InputError, match=r"holds no step of .*M weights on one row.* up to 30\. Next: .*lora_rank"):
        tried(make_model(), 29)


@dataclasses.dataclass(frozen=True)
class Three(Group):
    """The others have found these."""

    others: tuple[int | None, ...] = ()

    def gather(self, item: Any) -> list[Any]:
        return [item, *self.others]


def test_all_processes_take_the_smallest(make_model: Callable[[], PreTrainedModel]) -> None:
    model = make_model()
    assert tried(model, 199, group=Three(others=(8_192, 1_024))).value == 128
    assert tried(model, 199, group=Three(others=(64, 256))).value == 64
    with pytest.raises(InputError, match="on one row"):
        tried(model, 199, group=Three(others=(64, None)))


def measured(model: PreTrainedModel, rows: Rows, objective: Language) -> int:
    """Bytes that a step over all rows takes beside the model at most."""
    learner = make_learner(model.train(), objective, precision="fp32")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        take_step(learner, rows, range(len(rows.ids)), learning_rate=0.0, step=1)
    results = profiled.profiler.kineto_results  # type: ignore[union-attr]
    found = [event for event in results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(found, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(changes))


@pytest.mark.parametrize("packs", [True, False])
def test_a_cpu_is_estimated(
    make_language_model: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch, packs: bool
) -> None:
    """Against what torch's profiler says that a step takes in earnest, and the copy of the best weights."""
    model = make_language_model()
    weights = sum(weight.numel() for weight in model.parameters())
    rows = Rows([[1] * 64] * 64, [""] * 64, learned=[b"\0" + b"\1" * 63] * 64)
    objective = Language(packs=packs, tokens_per_forward=4_096, hidden_size=32)
    half, whole = (
        4 * weights + measured(make_language_model(), rows, within(objective, tokens)) for tokens in (2_048, 4_096)
    )

    def chosen(free: float) -> int:
        monkeypatch.setattr(memory, "free_bytes", lambda device: int(free))
        batches = [list(range(64))]
        return int(choose_tokens(model, rows, batches, objective, precision="fp32", group=ALONE).value)

    assert chosen(1.5 * whole / 0.8) == 4_096
    assert chosen(whole / 0.8) == 2_048
    assert chosen(half / 0.8) == 1_024
    with pytest.raises(InputError, match="on one row"):
        chosen(16 * weights)


def test_what_is_kept_grows_with_the_tokens_and_shrinks_with_checkpointing(
    make_language_model: Callable[[], PreTrainedModel],
) -> None:
    model = make_language_model().train()
    rows = Rows([[1] * 32] * 8, [""] * 8, learned=[b"\0" + b"\1" * 31] * 8)
    objective = Language(packs=False, tokens_per_forward=4_096, hidden_size=32)
    half, whole = (kept_bytes(model, rows, objective, range(count)) for count in (4, 8))
    vocabulary = model.get_input_embeddings().num_embeddings
    assert half.largest == 4 * 31 * vocabulary * 4  # logits of the learned places in fp32
    assert 1.7 < whole.total / half.total <= 2.0
    compute_again(model)
    assert kept_bytes(model, rows, objective, range(8)).total < whole.total
    fresh = [one.gradient_checkpointing for one in model.modules() if hasattr(one, "gradient_checkpointing")]
    again = memory._kept_and_computed_again(model, rows, objective, range(8))
    assert again == whole  # of two layers one is there when it is computed again, and its gradients
    assert [one.gradient_checkpointing for one in model.modules() if hasattr(one, "gradient_checkpointing")] == fresh


@pytest.mark.parametrize("last", [True, False])
def test_padding_of_a_part_is_counted(make_model: Callable[[], PreTrainedModel], last: bool) -> None:
    """One long row among short ones makes all of them wide, wherever it lies."""
    model = make_model().train()
    lengths = [2] * 63
    lengths.insert(63 if last else 1, 60)
    rows, part = Rows([[1] * length for length in lengths], [""] * 64, np.zeros(64, np.int64)), list(range(64))
    found = kept_bytes(model, rows, Classifier(0), part)
    assert found.total < pass_bytes(model, rows, Classifier(0), part) < 2 * (found.total + 2 * found.largest)


def test_the_largest_part_of_pairs_is_that_of_both_sides() -> None:
    """Two rows of 1,024 tokens, one with a long source and one with a long target, take 2 x 2,000 places."""
    sides = [(1_000, 24), (24, 1_000), (600, 600), (600, 600)]
    rows = Rows(
        [[1] * sum(pair) for pair in sides],
        [""] * 4,
        learned=[b"\0" * source + b"\1" * target for source, target in sides],
    )
    assert largest([[0, 1], [2, 3]], rows, Seq2Seq(0, 0, tokens_per_forward=4_096)) == [0, 1]


@pytest.mark.parametrize(("precision", "of_weight"), [("fp32", 16), ("bf16", 18), ("auto", 18)])
def test_one_row_may_take_four_fifths_too(
    make_model: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch, precision: str, of_weight: int
) -> None:
    """In bf16 each weight is there in 2 bytes more."""
    model = make_model()
    needed = of_weight * sum(weight.numel() for weight in model.parameters()) + 10**6
    monkeypatch.setattr(memory, "pass_bytes", lambda *given: 10**6)
    options: Any = {"precision": precision, "group": ALONE}
    monkeypatch.setattr(memory, "free_bytes", lambda device: math.ceil(needed / 0.8))
    assert choose_tokens(model, ROWS, [[0]], Classifier(0), **options).value == 8_192
    monkeypatch.setattr(memory, "free_bytes", lambda device: math.floor(needed / 0.8) - 1)
    with pytest.raises(InputError, match="on one row"):
        choose_tokens(model, ROWS, [[0]], Classifier(0), **options)


def test_a_copy_to_try_a_step_on_must_fit(
    make_model: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy, its gradient and two moments take 16 bytes a weight."""
    model = make_model()
    weights = sum(weight.numel() for weight in model.parameters())
    monkeypatch.setattr(memory, "free_bytes", lambda device: 20 * weights)
    check_copy(model, ALONE)
    with pytest.raises(InputError, match="a copy of them"):
        check_copy(model, Three(others=(True, False)))  # type: ignore[arg-type]
    monkeypatch.setattr(memory, "free_bytes", lambda device: 20 * weights - 20)
    with pytest.raises(InputError, match=r"holds no step of .*a copy of them, gradient and moments take .*lora_rank"):
        check_copy(model, ALONE)


def test_no_memory_while_steps_are_taken_is_told() -> None:
    said = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.20 GiB is "
        "free. Process 7 has 77.89 GiB memory in use."
    )
    with (
        pytest.raises(InputError, match=r"2\.00 GiB; GPU 0 has .* 1\.20 GiB is free\. Next: .*activation_check"),
        telling_what_lacks(),
    ):
        raise torch.OutOfMemoryError(said)


def test_processes_of_a_machine_share_its_memory(
    monkeypatch: pytest.MonkeyPatch, one_of: Callable[[int], None]
) -> None:
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 1_000)
    assert free_bytes(torch.device("cpu")) == 1_000
    one_of(4)
    assert free_bytes(torch.device("cpu")) == 250
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # the other two are on another machine
    assert free_bytes(torch.device("cpu")) == 500


@pytest.mark.parametrize(
    ("batch", "forward", "processes", "said"),
    [
        (320, 8_192, 1, None),
        (2_560, 320, 1, None),  # 8 passes of 32 rows
        (2_880, 320, 1, "room for 32 rows and a step takes 9 .*; set train.tokens_per_batch: 2560 at most"),
        (320, 310, 1, "room for 31 rows and a step takes 2 .*; the gradient is that of the whole step all the same"),
        (1_300, 8_192, 1, "room for 130 rows and a step takes 1 .*; set train.tokens_per_batch: 1280 at most"),
        (
            320,
            8_192,
            2,
            "room for 16 rows and a step takes 1 .*; set train.tokens_per_batch: 640 for 32 rows a process",
        ),
        (
            160,
            8_192,
            1,
            "room for 16 rows and a step takes 1 .*; set train.tokens_per_batch: 320 for 32 rows a process",
        ),
        (100, 200, 1, "room for 10 rows and a step takes 1 .*; the gradient is that of the whole step all the same"),
        (5_000, 1, 1, "room for 0 rows and a step takes 5000 .*; the gradient is that of the whole step all the same"),
        (10**6, 8_192, 4, "room for 819 rows and a step takes 31 .*; set train.tokens_per_batch: 5120 at most"),
    ],
)
def test_what_is_not_usual_is_told(batch: int, forward: int, processes: int, said: str | None) -> None:
    rows = Rows([[1] * 10] * 5_000, [""] * 5_000)
    notes = usual_or_not(batch, forward, rows, processes)
    assert re.match(f"a forward pass has {said}$", notes[0]) if said else (notes == [])


@pytest.mark.parametrize("processes", [1, 3, 8])
@pytest.mark.parametrize("forward", [8, 200, 310, 331, 500, 1_300, 1_322, 1_400, 8_192])
@pytest.mark.parametrize("batch", [16, 100, 331, 992, 2_650, 5_000, 10**6])
def test_what_is_advised_is_usual(batch: int, forward: int, processes: int) -> None:
    """Rows of 31/3 tokens: 32 of them are 331 tokens, 128 are 1,323."""
    rows = Rows([[1] * length for length in (10, 10, 11) * 2_000], [""] * 6_000)
    notes = usual_or_not(batch, forward, rows, processes)
    advised = re.search(r"set train\.tokens_per_batch: (\d+)", "".join(notes))
    assert not (advised and forward < 331)
    assert not notes or bool(advised) == (forward >= 331)
    if advised:
        assert int(advised[1]) >= 16  # what the setting takes
        assert usual_or_not(int(advised[1]), forward, rows, processes) == []


def test_all_rows_at_once_are_usual_however_few() -> None:
    assert usual_or_not(100, 8_192, Rows([[1] * 10] * 5, [""] * 5), 1) == []


def test_a_training_keeps_what_it_found(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    config = json.loads((base / "config.json").read_text())
    config |= {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # which other parts would draw otherwise
    (base / "config.json").write_text(json.dumps(config))
    settings = parse_settings(
        json.dumps(
            {
                "schema": 1,
                "project": "tiny",
                "data": {"train": "rows.csv"},
                "model": {"base": str(base)},
                "train": {"epochs": 1, "tokens_per_batch": 500, "precision": "fp32", "learning_rate": 0.005},
            }
        )
    )

    def run(name: str, free: int, progress: Any = silent, excerpt: Excerpt | None = None) -> Report:
        monkeypatch.setattr(memory, "free_bytes", lambda device: free)
        place = tmp_path / name
        options = {"prepared": tiny_prepared, "output": place / "model", "reports": place / "reports"}
        return train(settings, root=place, progress=progress, excerpt=excerpt, **options)

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("train,") and done == 2:
            signal.raise_signal(signal.SIGTERM)

    little, much = 1_500_000, 10**12
    found = run("whole", little).parameters["tokens_per_forward"]
    assert found["value"] < 500
    assert found["reason"] == "more of the 8192 by default do not fit the memory"
    with pytest.raises(Stopped):
        run("stopped", little, stop)
    assert run("stopped", much).parameters["tokens_per_forward"] == found
    assert digest_folder(tmp_path / "stopped/model") == digest_folder(tmp_path / "whole/model")
    assert read_training(tmp_path / "whole/model").settings["tokens_per_forward"] == found["value"]
    assert run("roomy", much).parameters["tokens_per_forward"]["value"] == 8_192
    one, other = (load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "roomy"))
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=0, atol=1e-4)
    with pytest.raises(Stopped):
        run("tighter", much, stop)
    tighter = run("tighter", little)
    assert tighter.parameters["tokens_per_forward"] == found
    assert f"elsewhere than it began (8192 tokens a forward pass, now {found['value']})" in str(tighter.notes)
    pinned = run("pinned", little, excerpt=Excerpt(2, 1_000.0, tokens_per_forward=300))
    assert pinned.parameters["tokens_per_forward"]["value"] == 300


def test_the_same_objective_with_smaller_parts() -> None:
    assert within(Classifier(3), 64) == Classifier(3, tokens_per_forward=64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_gpu_is_tried(make_language_model: Callable[[], PreTrainedModel]) -> None:
    """Most of its memory is taken away: what is chosen fits what is left, and twice as much does not."""
    model = make_language_model().to("cuda")
    rows = Rows([[1] * 128] * 512, [""] * 512, learned=[b"\0" + b"\1" * 127] * 512)
    objective = Language(packs=True, tokens_per_forward=65_536, hidden_size=32)
    batches = [list(range(512))]
    taken = torch.empty(free_bytes(model.device) - 256 * 1024**2, dtype=torch.uint8, device="cuda")
    value = int(choose_tokens(model, rows, batches, objective, precision="fp32", group=ALONE).value)
    assert 128 <= value < 65_536
    with pytest.raises(torch.OutOfMemoryError):
        take_step(
            make_learner(model.train(), within(objective, 2 * value), precision="fp32"),
            rows,
            batches[0],
            learning_rate=0.0,
            step=1,
        )
    model.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    learner = make_learner(model.train(), within(objective, value), precision="fp32")
    assert math.isfinite(take_step(learner, rows, batches[0], learning_rate=0.0, step=1).loss_sum)
    del taken, learner
    torch.cuda.empty_cache()
    assert choose_tokens(model, rows, batches, objective, precision="fp32", group=ALONE).value == 65_536
