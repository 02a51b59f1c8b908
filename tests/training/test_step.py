"""One step: accumulation against the whole batch, the optimiser's groups, what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from modelyard.engines.padding import pad
from modelyard.errors import InputError
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier, forward
from modelyard.training.memory import kept_bytes
from modelyard.training.step import WEIGHT_DECAY, compute_again, make_learner, take_step


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_parts_add_up_to_the_whole_batch(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    batch = sorted(range(24), key=lambda index: train_rows.lengths[index])
    found = []
    for tokens_per_forward in (10_000, 60):  # one part, and parts of 2 to 6 rows
        model = make_model().double().eval()
        learner = make_learner(model, Classifier(0, tokens_per_forward), precision="fp32")
        result = take_step(learner, train_rows, batch, learning_rate=1e-3, step=1)
        found.append((result, gradients(model), {k: v.clone() for k, v in model.named_parameters()}))
    (whole, whole_gradients, whole_weights), (parts, part_gradients, part_weights) = found
    assert parts.loss_sum == pytest.approx(whole.loss_sum, abs=1e-9)
    assert parts.gradient_norm == pytest.approx(whole.gradient_norm, abs=1e-9)
    for name, gradient in whole_gradients.items():
        torch.testing.assert_close(part_gradients[name], gradient, rtol=0, atol=1e-9)
    for name, weight in whole_weights.items():
        torch.testing.assert_close(part_weights[name], weight, rtol=0, atol=1e-9)


def test_the_gradient_is_that_of_the_mean_loss_by_torch_alone(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    batch = list(range(8))
    stepped, by_hand = make_model().double().eval(), make_model().double().eval()
    result = take_step(
        make_learner(stepped, Classifier(0), precision="fp32"), train_rows, batch, learning_rate=0.0, step=1
    )
    logits = forward(by_hand, pad([train_rows.ids[index] for index in batch], 0))
    torch.nn.CrossEntropyLoss()(logits, torch.from_numpy(train_rows.labels[batch])).backward()
    norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients(by_hand).values()])).item()
    assert result.gradient_norm == pytest.approx(norm, rel=1e-9)


def test_the_norm_is_that_of_the_mean_and_the_gradient_as_many_times_it_as_the_batch_is_larger(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    for steep in (0.1, 200):  # below the norm at which gradients are clipped, and above
        norms, sizes = [], []
        for batch in ([0, 0], [0] * 6):
            model = make_model().double().eval()
            with torch.no_grad():
                model.classifier.weight.mul_(steep)
            learner = make_learner(model, Classifier(0), precision="fp32", step_weight=4.0)
            norms.append(take_step(learner, train_rows, batch, learning_rate=0.0, step=1).gradient_norm)
            sizes.append(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients(model).values()])).item())
        assert (norms[0] > 1) == (steep > 1)
        assert norms[1] == pytest.approx(norms[0], rel=1e-9)
        assert sizes == pytest.approx([min(1.0, norms[0]) * 2 / 4, min(1.0, norms[0]) * 6 / 4], rel=1e-5)


def test_clips_at_one(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    model = make_model().eval()
    with torch.no_grad():
        model.classifier.weight.mul_(200)  # a steep loss
    result = take_step(
        make_learner(model, Classifier(0), precision="fp32"), train_rows, [0, 1], learning_rate=0.0, step=1
    )
    clipped = torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients(model).values()])).item()
    assert result.gradient_norm > 1.0
    assert clipped == pytest.approx(1.0, abs=1e-4)


def test_biases_and_norms_do_not_decay(make_model: Callable[[], PreTrainedModel]) -> None:
    model = make_model()
    decays, not_decays = make_learner(model, Classifier(0), precision="fp32").optimiser.param_groups
    assert (decays["weight_decay"], not_decays["weight_decay"]) == (WEIGHT_DECAY, 0.0)
    free = {id(weight) for weight in not_decays["params"]}
    named = {name for name, weight in model.named_parameters() if id(weight) in free}
    assert named == {n for n, _ in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n}


def test_bf16_keeps_weights_and_loss_in_fp32(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    model = make_model()
    exact = take_step(
        make_learner(make_model(), Classifier(0), precision="fp32"), train_rows, [0], learning_rate=0, step=1
    )
    result = take_step(
        make_learner(model, Classifier(0), precision="bf16"), train_rows, [0], learning_rate=1e-3, step=1
    )
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert result.loss_sum == pytest.approx(exact.loss_sum, rel=0.02)


def test_a_loss_that_is_no_number_names_step_and_rows(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    model = make_model()
    poisoned = next(i for i, row in enumerate(train_rows.ids) if 4 in row)
    clean = [i for i, row in enumerate(train_rows.ids) if 4 not in row][:3]
    with torch.no_grad():
        model.get_input_embeddings().weight[4] = torch.nan
    before = model.classifier.weight.clone()
    with pytest.raises(InputError) as caught:
        take_step(
            make_learner(model, Classifier(0), precision="fp32"),
            train_rows,
            [*clean, poisoned],
            learning_rate=1e-3,
            step=12,
        )
    (problem,) = caught.value.problems
    assert "the loss is nan at step 12" in problem.message
    assert train_rows.sources[poisoned] in problem.message
    assert not any(train_rows.sources[i] + "," in problem.message for i in clean)
    assert torch.equal(model.classifier.weight, before)


def test_a_gradient_that_overflows_is_named_too(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    model = make_model().eval()
    model.classifier.weight.register_hook(lambda gradient: gradient * torch.inf)
    batch = list(range(7))
    with pytest.raises(InputError, match=r"the gradient is (inf|nan) at step 3, .* and 2 more"):
        take_step(make_learner(model, Classifier(0), precision="fp32"), train_rows, batch, learning_rate=1e-3, step=3)


def test_fp16_skips_sixteen_updates_and_then_says_why(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    model = make_model().eval()
    learner = make_learner(model, Classifier(0), precision="fp16")
    before = model.classifier.weight.clone()

    def step(number: int) -> None:
        take_step(learner, train_rows, [0], learning_rate=1e-3, step=number)

    with model.classifier.weight.register_hook(lambda gradient: gradient * torch.inf):
        scales = []
        for number in range(1, 17):  # 65,536 halved until it is 1
            step(number)
            scales.append(learner.scaler.get_scale())
        assert scales == [2.0**power for power in range(15, -1, -1)]
        assert torch.equal(model.classifier.weight, before)
        with pytest.raises(InputError, match=r"the gradient is (inf|nan) at step 17, .*train\.precision: fp32"):
            step(17)
    assert torch.equal(model.classifier.weight, before)


def test_fp16_goes_on_after_a_skipped_update(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    model = make_model().eval()
    learner = make_learner(model, Classifier(0), precision="fp16")
    before = model.classifier.weight.clone()
    with model.classifier.weight.register_hook(lambda gradient: gradient * torch.inf):
        take_step(learner, train_rows, [0], learning_rate=1e-3, step=1)
    assert torch.equal(model.classifier.weight, before)
    take_step(learner, train_rows, [0], learning_rate=1e-3, step=2)
    assert not torch.equal(model.classifier.weight, before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_a_gpu_the_loss_is_that_of_the_cpu(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows, precision: Any
) -> None:
    batch = list(range(16))
    reference = take_step(
        make_learner(make_model().eval(), Classifier(0), precision="fp32"), train_rows, batch, learning_rate=0.0, step=1
    )
    model = make_model().to("cuda").eval()
    result = take_step(
        make_learner(model, Classifier(0), precision=precision), train_rows, batch, learning_rate=1e-3, step=1
    )
    assert result.loss_sum == pytest.approx(reference.loss_sum, rel=1e-5 if precision == "fp32" else 0.02)


def test_layers_that_are_computed_again_keep_less_and_give_the_same_bits(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    batch, found = list(range(24)), []
    for again in (False, True):
        model = make_model().train()  # with dropout
        if again:
            compute_again(model)
        kept = kept_bytes(model, train_rows, Classifier(0), batch).total
        torch.manual_seed(5)
        result = take_step(
            make_learner(model, Classifier(0), precision="fp32"), train_rows, batch, learning_rate=1e-3, step=1
        )
        found.append((kept, result, gradients(model)))
    (whole, result, expected), (less, again_result, computed) = found
    assert 0 < less < 0.5 * whole
    assert again_result[:2] == result[:2]
    assert all(torch.equal(computed[name], gradient) for name, gradient in expected.items())


def test_a_model_of_which_no_layers_are_known(
    make_model: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    monkeypatch.setattr(type(model), "supports_gradient_checkpointing", False)
    with pytest.raises(InputError, match="transformers knows no layers of a bert"):
        compute_again(model)
