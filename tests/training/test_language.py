"""The objective of a language model, for real architectures: rows side by side lose what they lose alone.

Against torch's own cross-entropy over each row by itself, without padding, positions or masks of ours.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen3Config,
)

from modelyard.training.batches import Rows
from modelyard.training.language import Language, keeps_apart, language
from modelyard.training.loop import evaluate
from modelyard.training.step import make_learner, take_step

WORDS = 40
SMALL: dict[str, Any] = {"vocab_size": WORDS, "initializer_range": 0.3, "use_cache": False}
LLAMA: dict[str, Any] = SMALL | {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
CONFIGS = {
    "llama": LlamaConfig(**LLAMA),
    "qwen3": Qwen3Config(**LLAMA),
    "mistral, a window of 4": MistralConfig(**LLAMA, sliding_window=4),
    "gemma2, a window of 4": Gemma2Config(**LLAMA, sliding_window=4, attn_implementation="eager"),
    "gpt2": GPT2Config(
        **SMALL, n_embd=16, n_layer=2, n_head=2, n_positions=64, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0
    ),
}
KEEP_A_STATE = {
    "bloom": BloomConfig(**SMALL, hidden_size=16, n_layer=2, n_head=2, hidden_dropout=0, attention_dropout=0),
    "mamba": MambaConfig(**SMALL, hidden_size=16, num_hidden_layers=2, state_size=4),
}


def model_of(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    return model


def make_rows(lengths: list[int] = [9, 3, 5, 14, 2, 7]) -> Rows:  # noqa: B006  (not changed)
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(0, WORDS, (length,), generator=generator).tolist() for length in lengths]
    learned = [b"\0" * (length // 2) + b"\1" * (length - length // 2) for length in lengths]
    return Rows(ids, [f"rows.jsonl:{n}" for n in range(len(lengths))], learned=[b"\0" + row[1:] for row in learned])


def by_torch(model: PreTrainedModel, rows: Rows) -> torch.Tensor:
    """The loss of each row, alone."""
    found = []
    for ids, learned in zip(rows.ids, rows.learned, strict=True):
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
        wanted = torch.tensor([token if mark else -100 for token, mark in zip(ids[1:], learned[1:], strict=True)])
        found.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum", ignore_index=-100))
    return torch.stack(found)


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_side_by_side_lose_what_they_lose_alone(name: str) -> None:
    model, rows = model_of(CONFIGS[name]).double().eval(), make_rows()
    objective = language(model, rows)
    assert objective.packs
    near = 1e-9 if "gemma2" not in name else 1e-4  # whose attention goes through fp32
    packed, alone = copy.deepcopy(model), copy.deepcopy(model)
    losses = objective.read(rows, range(6))(packed)
    expected = by_torch(alone, rows)
    torch.testing.assert_close(losses, expected, rtol=0, atol=near)
    losses.sum().backward()
    expected.sum().backward()
    for ours, theirs in zip(packed.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=near)


@pytest.mark.parametrize("name", KEEP_A_STATE)
def test_a_model_that_would_mix_rows_gets_them_one_by_one(name: str) -> None:
    model, rows = model_of(KEEP_A_STATE[name]).double().eval(), make_rows()
    objective = language(model, rows)
    assert not objective.packs
    torch.testing.assert_close(objective.read(rows, range(6))(model), by_torch(model, rows), rtol=0, atol=1e-4)


def test_a_model_that_sees_its_neighbour_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = model_of(CONFIGS["llama"]), make_rows()
    monkeypatch.setattr("transformers.masking_utils.find_packed_sequence_indices", lambda positions: None)
    assert not keeps_apart(model.eval(), rows)


def test_the_probe_takes_a_single_row(make_language_model: Callable[[], PreTrainedModel]) -> None:
    assert keeps_apart(make_language_model(), Rows([[3, 4, 5]], ["a:1"], learned=[b"\0\1\1"]))


def test_parts_add_up_to_the_whole_batch_by_tokens() -> None:
    """Rows of unlike length: a mean of the parts' means would be another number."""
    rows, found = make_rows(), []
    for tokens in (10_000, 14):
        model = model_of(CONFIGS["llama"]).double().eval()
        learner = make_learner(model, Language(packs=True, tokens_per_forward=tokens, hidden_size=8), precision="fp32")
        result = take_step(learner, rows, [4, 1, 2, 5, 0, 3], learning_rate=1e-3, step=1)
        found.append((result, [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]))
    (whole, whole_gradients), (parts, part_gradients) = found
    assert parts.loss_sum == pytest.approx(whole.loss_sum, abs=1e-9)
    for one, other in zip(whole_gradients, part_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    by_hand = model_of(CONFIGS["llama"]).double().eval()
    (by_torch(by_hand, rows).sum() / sum(row.count(1) for row in rows.learned)).backward()  # type: ignore[no-untyped-call]
    norm = torch.linalg.vector_norm(torch.cat([w.grad.flatten() for w in by_hand.parameters() if w.grad is not None]))
    assert whole.gradient_norm == pytest.approx(norm.item(), rel=1e-9)


def test_an_evaluation_keeps_the_loss_of_every_row() -> None:
    model, rows = model_of(CONFIGS["gpt2"]).eval(), make_rows()
    objective = language(model, rows)
    outputs = evaluate(model, rows, objective)
    assert outputs.shape == (6, 1)
    losses, figures = objective.judged(outputs, rows)
    torch.testing.assert_close(torch.from_numpy(losses).float(), by_torch(model, rows).detach(), rtol=0, atol=1e-4)
    assert figures == {}


def test_a_large_vocabulary_takes_fewer_tokens_at_a_time() -> None:
    config = copy.deepcopy(CONFIGS["llama"])
    config.vocab_size = 200_000
    assert language(model_of(config), make_rows()).tokens_per_forward == 671  # 512 MiB over 4 bytes and 200,000
