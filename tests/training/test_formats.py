"""A pass in bf16: every family's gradient beside that in fp32, what stays exact, and what it keeps in memory."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from modelyard.errors import InputError
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier
from modelyard.training.formats import Precision, in_format
from modelyard.training.memory import kept_bytes
from modelyard.training.step import compute_again, make_learner, take_step

IDS = torch.randint(5, 100, (3, 12), generator=torch.Generator().manual_seed(0))
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 64,
}
BOTH: dict[str, Any] = {"vocab_size": 100, "d_model": 32, "decoder_start_token_id": 0}
NO_DROPOUT = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0)
GEMMA = {"head_dim": 8, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
FAMILIES: dict[str, Any] = {
    "bert": transformers.BertConfig(**SIZES),
    "roberta": transformers.RobertaConfig(**SIZES),
    "deberta-v2": transformers.DebertaV2Config(
        **SIZES, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm"
    ),
    "llama": transformers.LlamaConfig(**SIZES),
    "qwen3": transformers.Qwen3Config(**SIZES, head_dim=8, num_key_value_heads=2),
    "gemma2": transformers.Gemma2Config(**SIZES, **GEMMA),
    "gpt2": transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=100, bos_token_id=0, eos_token_id=0, n_positions=64
    ),
    "t5": transformers.T5Config(**BOTH, d_kv=8, d_ff=64, num_layers=2, num_heads=4),
    "bart": transformers.BartConfig(
        **BOTH,
        **NO_DROPOUT,
        pad_token_id=1,
        eos_token_id=2,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
    ),
}
HEADS: dict[str, Any] = {
    "bert": transformers.AutoModelForSequenceClassification,
    "roberta": transformers.AutoModelForSequenceClassification,
    "deberta-v2": transformers.AutoModelForSequenceClassification,
    "t5": transformers.AutoModelForSeq2SeqLM,
    "bart": transformers.AutoModelForSeq2SeqLM,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gradient_in_bf16_is_that_in_fp32_but_for_rounding_and_is_kept_in_fp32(family: str) -> None:
    torch.manual_seed(0)
    model = HEADS.get(family, transformers.AutoModelForCausalLM).from_config(FAMILIES[family]).eval()
    given = {"decoder_input_ids": IDS} if family in {"t5", "bart"} else {}

    def both_passes() -> None:
        model(input_ids=IDS, **given).logits.float().square().mean().backward()

    found = []
    for precision in PRECISIONS:
        model.zero_grad()
        in_format(model, precision, both_passes)
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        found.append(torch.cat([gradient.flatten() for gradient in gradients]))
    exact, rounded = found
    assert not torch.equal(exact, rounded)
    # bf16 rounds by up to 2^-9 of a number; two layers forward and backward are some dozens of such roundings
    assert (rounded - exact).norm() < 12 * 2**-9 * exact.norm()


def test_the_gradient_of_a_token_that_stands_at_a_thousand_places_does_not_stall() -> None:
    table = torch.nn.Sequential(torch.nn.Embedding(3, 2), torch.nn.Identity())
    with torch.no_grad():
        table[0].weight.fill_(1.0)
    in_format(table, "bf16", lambda: table(torch.ones(1, 1_000, dtype=torch.long)).float().sum().backward())
    assert torch.equal(table[0].weight.grad, torch.tensor([[0.0, 0.0], [1_000.0, 1_000.0], [0.0, 0.0]]))


def test_the_weights_are_what_they_were_after_a_pass_and_after_one_that_raises(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    model, objective = make_model().eval(), Classifier(0)
    before = objective.read(train_rows, [0, 1])(model)
    in_format(model, "bf16", functools.partial(objective.read(train_rows, [0, 1]), model))

    def fails() -> None:
        assert model.classifier.weight.dtype == torch.bfloat16
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        in_format(model, "bf16", fails)
    assert torch.equal(objective.read(train_rows, [0, 1])(model), before)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_layers_that_are_computed_again_are_computed_in_bf16_too() -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES["llama"]).train()
    found = []
    for again in (False, True):
        if again:
            compute_again(model)
        model.zero_grad()
        in_format(
            model, "bf16", lambda: model(input_ids=IDS, use_cache=False).logits.float().square().mean().backward()
        )
        found.append([weight.grad.clone() for weight in model.parameters()])
    for plain, computed_again in zip(*found, strict=True):
        assert torch.equal(plain, computed_again)


def test_what_a_pass_keeps_takes_half_the_bytes_beside_the_casts_of_the_weights(
    make_model: Callable[[], PreTrainedModel], train_rows: Rows
) -> None:
    model, objective, part = make_model().eval(), Classifier(0), list(range(24))
    fp32, bf16 = (kept_bytes(model, train_rows, objective, part, precision).total for precision in PRECISIONS)
    embeddings = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Embedding))
    casts = 2 * (sum(weight.numel() for weight in model.parameters()) - embeddings)
    # beside the halves stand token ids of eight bytes, masks and the norms' means in fp32
    assert 0.5 * fp32 < bf16 <= 0.56 * fp32 + casts


def test_steps_in_bf16_learn_as_steps_in_fp32(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    losses: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for precision, found in losses.items():
        learner = make_learner(make_model().eval(), Classifier(0), precision=precision)
        for number in range(40):
            found.append(take_step(learner, train_rows, range(16), learning_rate=1e-3, step=number).loss_sum)
    assert losses["fp32"][-1] < 0.9 * losses["fp32"][0]
    assert losses["bf16"][-1] == pytest.approx(losses["fp32"][-1], rel=0.03)


def test_a_model_that_takes_no_bf16_is_told_so(make_model: Callable[[], PreTrainedModel], train_rows: Rows) -> None:
    model = make_model()
    fixed = torch.eye(32)  # as of a model that keeps a matrix of its own in fp32
    model.bert.pooler.register_forward_pre_hook(lambda module, given: (given[0] @ fixed,))
    learner = make_learner(model.train(), Classifier(0), precision="bf16")
    with pytest.raises(InputError, match=r"this model takes no step in bf16: .*dtype"):
        take_step(learner, train_rows, [0, 1], learning_rate=0.0, step=1)
