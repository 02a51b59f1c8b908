"""LoRA: what is trained, that merging adds B A to the weight, and the parity of the merged model."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from modelyard.training import lora
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier
from modelyard.training.loop import evaluate
from modelyard.training.step import make_learner, take_step

Make = Callable[[], PreTrainedModel]


def trained_names(model: PreTrainedModel) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_a_classifier_trains_its_updates_and_its_head(make_model: Make) -> None:
    model = make_model()
    lora.attach(model, 2)
    names = trained_names(model)
    assert {name for name in names if "lora_" not in name} == {"classifier.weight", "classifier.bias"}
    layers = sum(isinstance(module, torch.nn.Linear) for module in make_model().base_model.modules())
    assert len([name for name in names if "lora_A" in name]) == layers > 10


def test_a_language_model_trains_its_updates_alone(make_language_model: Make) -> None:
    model = make_language_model()
    lora.attach(model, 2)
    names = trained_names(model)
    assert names and all("lora_" in name for name in names)
    assert not any("lm_head" in name or "embed" in name for name in names)


def test_at_first_nothing_changes(make_model: Make, validation_rows: Rows) -> None:
    plain, adapted = make_model(), make_model()
    lora.attach(adapted, 2)
    before, after = (evaluate(model, validation_rows, Classifier(0)) for model in (plain, adapted))
    np.testing.assert_array_equal(before, after)


def test_merging_adds_the_product_of_both_factors(make_model: Make, train_rows: Rows, validation_rows: Rows) -> None:
    model, plain = make_model(), make_model()
    adapter = lora.attach(model, 2)
    learner = make_learner(model.train(), Classifier(0), precision="fp32")
    for step in range(1, 6):
        take_step(learner, train_rows, range(16), learning_rate=0.05, step=step)
    name = "bert.encoder.layer.0.attention.self.query"
    layer = model.get_submodule(name)
    by_hand = plain.get_submodule(name).weight + layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    beside = evaluate(model, validation_rows, Classifier(0))
    lora.merge(adapter)
    assert type(model) is type(plain)
    assert list(model.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(model.get_submodule(name).weight, by_hand)
    added = evaluate(model, validation_rows, Classifier(0))
    assert np.abs(added - evaluate(plain, validation_rows, Classifier(0))).max() > 0.01  # it has learned
    assert lora.parity(beside, added, validation_rows, Classifier(0)).outcome == "PASS"


@pytest.mark.parametrize(("moved", "outcome"), [(0.0, "PASS"), (0.5, "FAIL")])
def test_parity_is_that_of_the_row_that_changed_most(
    make_model: Make, validation_rows: Rows, moved: float, outcome: str
) -> None:
    outputs = evaluate(make_model(), validation_rows, Classifier(0))
    other = outputs.copy()
    other[7, 0] += moved
    verdict = lora.parity(outputs, other, validation_rows, Classifier(0))
    assert (verdict.rule, verdict.outcome, verdict.severity) == ("lora_merge_parity", outcome, "error")
