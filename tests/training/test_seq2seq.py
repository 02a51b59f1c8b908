"""The objective of sequence to sequence against transformers' own loss of each row alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedModel

from modelyard.tasks.classification import load_tokenizer
from modelyard.tasks.seq2seq_lm import encode_pairs
from modelyard.training.base import load_seq2seq
from modelyard.training.batches import Rows
from modelyard.training.seq2seq import seq2seq
from modelyard.training.step import make_learner, take_step

PAIRS = [("say good", "good"), ("a longer question of many words", "so"), ("x", "an answer that is much longer")]


@pytest.fixture
def rows(tiny_pair_model: Path) -> Rows:
    encoded = encode_pairs(load_tokenizer(tiny_pair_model), *map(list, zip(*PAIRS, strict=True)), end=2)
    return Rows([row.ids for row in encoded], ["a", "b", "c"], learned=[row.marks for row in encoded])


def bart() -> PreTrainedModel:
    torch.manual_seed(1)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = BartConfig(
        vocab_size=320,
        d_model=32,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        dropout=0.0,
        **sizes,
    )
    model = BartForConditionalGeneration(config)
    model.final_logits_bias.normal_()
    return model


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_each_row_loses_what_transformers_says(tiny_pair_model: Path, rows: Rows, family: str) -> None:
    model = (load_seq2seq(tiny_pair_model) if family == "t5" else bart()).double().eval()
    objective = seq2seq(model, rows)
    with torch.no_grad():
        found = objective.read(rows, [0, 1, 2])(model)
        for index in range(3):
            split = rows.learned[index].index(1)
            source, target = (torch.tensor([list(part)]) for part in (rows.ids[index][:split], rows.ids[index][split:]))
            mean = model(input_ids=source, labels=target).loss.item()
            assert found[index].item() == pytest.approx(mean * target.shape[1], abs=1e-9)


def test_parts_of_a_batch_equal_the_whole(tiny_pair_model: Path, rows: Rows) -> None:
    weights = []
    for budget in (1_000, 1):
        model = load_seq2seq(tiny_pair_model).double()
        objective = seq2seq(model, rows)
        learner = make_learner(model, type(objective)(objective.pad_id, objective.start_id, budget), precision="fp32")
        take_step(learner, rows, [0, 1, 2], learning_rate=1e-2, step=1)
        weights.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-9)


def test_both_sides_count_as_places(tiny_pair_model: Path, rows: Rows) -> None:
    sources = [marks.count(0) for marks in rows.learned]
    targets = [marks.count(1) for marks in rows.learned]
    objective = seq2seq(load_seq2seq(tiny_pair_model), rows)
    assert objective.places(rows, [0, 1, 2]) == 3 * (max(sources) + max(targets))
    assert rows.weights.tolist() == targets
