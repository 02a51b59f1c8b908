"""Sharded training: steps, evaluations and trials in two processes against whole ones in this; what is refused."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.numpy import load_file
from torch.distributed.tensor import DTensor
from transformers import AlbertConfig, AlbertForSequenceClassification, PreTrainedModel

from modelyard.artifacts.files import digest_folder
from modelyard.errors import InputError
from modelyard.training import lora
from modelyard.training.batches import Rows, cut
from modelyard.training.checkpoint import restore, save
from modelyard.training.checkpoint_folder import newest
from modelyard.training.checkpoint_state import About, Course
from modelyard.training.classifier import Classifier
from modelyard.training.derive import Derived
from modelyard.training.group import Group
from modelyard.training.launch import launch
from modelyard.training.loop import evaluate
from modelyard.training.precision import LEAST_STEPS, choose_precision, step_on_copies
from modelyard.training.sharding import (
    gathered,
    is_sharded,
    no_gradients,
    put_from_first,
    shard,
    tried_out,
    whole,
)
from modelyard.training.step import make_learner, take_step

CPU = torch.device("cpu")
BATCHES = [list(range(start, start + 13)) for start in range(0, 65, 13)]


@pytest.fixture
def in_a_group() -> Iterator[None]:
    """This process alone, as torch's collectives see it."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.system
@pytest.mark.parametrize("processes", [2, 3])
def test_steps_and_evaluations_are_those_of_a_whole_model(
    tiny_base: Path,
    tiny_prepared: Path,
    make_model: Callable[[], PreTrainedModel],
    train_rows: Rows,
    validation_rows: Rows,
    tmp_path: Path,
    processes: int,
) -> None:
    script, output = Path(__file__).with_name("sharded.py"), tmp_path / "found.json"
    given = [str(tiny_base), str(tiny_prepared), json.dumps(BATCHES), str(output)]
    assert launch([sys.executable, str(script), *given], processes) == 0
    found = json.loads(output.read_text())

    model = make_model().eval()  # as in the script
    learner = make_learner(model, Classifier(0), precision="fp32")
    steps = [take_step(learner, train_rows, batch, learning_rate=1e-3, step=1)[:2] for batch in BATCHES]
    np.testing.assert_allclose(found["steps"], steps, rtol=1e-5)
    np.testing.assert_allclose(found["outputs"], evaluate(model, validation_rows, Classifier(0)), atol=1e-5)
    weights = load_file(output.with_suffix(".safetensors"))
    for name, weight in model.state_dict().items():
        if not name.endswith("key.bias"):  # its gradient is rounding, see test_group.py
            np.testing.assert_allclose(weights[name], weight.numpy(), atol=1e-5, err_msg=name)

    shares = [Group(rank, processes).share(BATCHES[0]) for rank in range(processes)]
    assert len({len(cut(share, train_rows.lengths, 32)) for share in shares}) > 1  # not all have equally many passes
    assert sum(found["held"]) == found["weights"]
    assert max(found["held"]) < 1.2 * found["weights"] / processes
    assert (found["chosen_alike"], found["timed"], found["gradients"], found["unchanged"], found["put_back"]) == (
        True,
        ["bf16", "fp32"],
        0,
        True,
        True,
    )
    assert all(scales == [scales[0]] * processes for scales in found["scales"])
    taken = [math.isfinite(norm) for _, norm in found["fp16_steps"]]
    assert taken == sorted(taken) and set(taken) == {False, True}
    fits = found["scales"][-1][0]
    half, scaler = make_model().eval(), torch.amp.GradScaler("cpu", init_scale=fits)
    scaled = dataclasses.replace(make_learner(half, Classifier(0), precision="fp16"), scaler=scaler)
    for batch, step, good in zip(BATCHES, found["fp16_steps"], taken, strict=True):
        if good:  # of the others nothing is left
            expected = take_step(scaled, train_rows, batch, learning_rate=1e-3, step=1)[:2]
            np.testing.assert_allclose(step, expected, rtol=5e-3)  # fp16 has 11 bits
    assert found["skipped"] == [[True, fits / 2]] * processes
    assert found["given"] == [len(model.state_dict())] + [0] * (processes - 1)


def test_a_models_own_parts_are_gathered_and_given_back(
    in_a_group: None, make_language_model: Callable[[], PreTrainedModel]
) -> None:
    """Of a model with tied weights: both names are whole."""
    model, other = make_language_model(), make_language_model()
    expected = {name: weight.clone() for name, weight in model.state_dict().items()}
    shard(model, CPU)
    assert (is_sharded(model), is_sharded(other)) == (True, False)
    assert all(isinstance(weight, DTensor) for weight in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert not any(weight.any() for _, weight in whole(model.state_dict(), first=True))
    assert list(whole(model.state_dict(), first=False)) == []
    put_from_first(model, expected)
    found = dict(whole(model.state_dict(), first=True))
    assert found.keys() == expected.keys() and "lm_head.weight" in found
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    put_from_first(other, found)
    assert all(torch.equal(weight, expected[name]) for name, weight in other.state_dict().items())


def test_it_is_written_as_a_whole_model_is(
    in_a_group: None, make_language_model: Callable[[], PreTrainedModel], tmp_path: Path
) -> None:
    """Tied weights are written once, and no second model is made for it."""
    model, other = make_language_model(), make_language_model()
    other.save_pretrained(tmp_path / "whole", state_dict=gathered(other, first=True))
    shard(model, CPU)
    assert gathered(model, first=False) == {}
    model.save_pretrained(tmp_path / "sharded", state_dict=gathered(model, first=True))
    assert digest_folder(tmp_path / "sharded") == digest_folder(tmp_path / "whole")
    assert "lm_head.weight" not in load_file(tmp_path / "sharded/model.safetensors")


def test_what_is_not_divided_every_process_gets_back(
    in_a_group: None, make_model: Callable[[], PreTrainedModel], train_rows: Rows, tmp_path: Path
) -> None:
    """As BART's bias of its logits is a buffer: the best one is not that of the model that goes on."""
    model = make_model()
    model.final_bias = torch.nn.Buffer(torch.zeros(2))
    shard(model, CPU)
    learner = make_learner(model, Classifier(0), precision="fp32")
    take_step(learner, train_rows, [0, 1], learning_rate=1e-3, step=1)
    best = dict(whole(model.state_dict(), first=True)) | {"final_bias": torch.ones(2)}
    outputs = np.zeros((1, 2), np.float32)
    course = Course(step=1, weight_seen=2, best_step=1, best_weights=best, best_outputs=outputs)
    save(tmp_path, learner, course, About({}, "fp32", "set", Derived(64, "")), after=0, trained_seconds=1.0, restarts=0)
    saved = newest(tmp_path, {})
    assert saved is not None
    second = restore(saved, dataclasses.replace(learner, group=Group(1, 2)))
    assert list(second.best_weights) == ["final_bias"]
    put_from_first(model, second.best_weights)
    assert torch.equal(model.final_bias, torch.ones(2))


def test_no_memory_in_one_process_is_not_passed_over(
    in_a_group: None, make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    """The others are in the midst of a pass."""

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = make_model()
    shard(model, CPU)
    model.base_model.encoder.layer[1].register_forward_pre_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        step_on_copies(model, train_rows, Classifier(0))
    with pytest.raises(torch.OutOfMemoryError):
        choose_precision(model, train_rows, [[0]] * LEAST_STEPS, Classifier(0), wanted="auto")


def test_a_whole_model_is_left_as_it_is(make_model: Callable[[], PreTrainedModel]) -> None:
    weights = make_model().state_dict()
    assert all(weights[name] is tensor for name, tensor in whole(weights, first=False))
    with no_gradients(make_model()):
        assert torch.is_inference_mode_enabled()


def test_a_step_that_fails_leaves_no_trace(
    in_a_group: None, make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    """As where an operation has no deterministic kernel, in the backward pass of the first layer."""
    model, other = make_model(), make_model()
    shard(model, CPU)
    objective, batch = Classifier(0), [0, 1, 2]

    def refuse(*_: Any) -> None:
        raise RuntimeError("no deterministic kernel")

    learner = make_learner(model, objective, precision="fp32")
    layer = model.base_model.encoder.layer[0]
    handle = layer.register_full_backward_pre_hook(refuse)
    with pytest.raises(RuntimeError, match="deterministic"), tried_out(model):
        take_step(learner, train_rows, batch, learning_rate=0.0, step=0)
    handle.remove()
    assert all(weight.grad is None for weight in model.parameters())
    steps = [
        take_step(one, train_rows, batch, learning_rate=1e-3, step=step)[:2]
        for one in (make_learner(model, objective, precision="fp32"), make_learner(other, objective, precision="fp32"))
        for step in (1, 2)
    ]
    np.testing.assert_allclose(steps[:2], steps[2:], rtol=1e-6)


def test_a_trial_that_fails_before_its_first_pass_says_why(
    in_a_group: None, make_model: Callable[[], PreTrainedModel]
) -> None:
    model = make_model()
    shard(model, CPU)
    with pytest.raises(MemoryError, match="no room for the moments"), tried_out(model):
        raise MemoryError("no room for the moments")


def test_lora_is_merged_part_by_part(
    in_a_group: None, make_model: Callable[[], PreTrainedModel], train_rows: Rows, validation_rows: Rows
) -> None:
    """In one process here; in two see test_group.py."""
    model, other = make_model(), make_model()
    adapters = []
    for one in (model, other):
        torch.manual_seed(1)
        adapters.append(lora.attach(one, 2))
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    shard(model, CPU)
    assert {name for name, weight in model.named_parameters() if not weight.requires_grad} == frozen != set()
    for one in (model, other):
        learner = make_learner(one, Classifier(0), precision="fp32")
        for step in range(1, 4):
            take_step(learner, train_rows, range(16), learning_rate=0.05, step=step)
    beside = evaluate(model, validation_rows, Classifier(0))
    for adapter in adapters:
        lora.merge(adapter)
    assert is_sharded(model)
    added = [evaluate(one, validation_rows, Classifier(0)) for one in (model, other)]
    np.testing.assert_allclose(added[0], beside, atol=1e-5)
    found, expected = (gathered(one, first=True) for one in (model, other))
    assert list(found) == list(expected)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-5)


def test_what_cannot_be_sharded_is_refused(in_a_group: None, make_model: Callable[[], PreTrainedModel]) -> None:
    config = AlbertConfig(vocab_size=9, embedding_size=4, hidden_size=4, num_attention_heads=1, intermediate_size=4)
    with pytest.raises(InputError, match="transformers knows no layers of a albert to divide"):
        shard(AlbertForSequenceClassification(config), CPU)
    skipping = make_model()
    skipping.config.encoder_layerdrop = 0.05
    with pytest.raises(InputError, match=r"encoder_layerdrop is 0\.05: .* set encoder_layerdrop to 0 in"):
        shard(skipping, CPU)
    model = make_model()
    model.scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(InputError, match="the weight scale of this bert is one number"):
        shard(model, CPU)
    assert not is_sharded(model)
