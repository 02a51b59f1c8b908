"""What a project may leave out of its settings: where rows are cut, by the positions of the model."""

import pytest
from transformers import BertConfig, BertModel, T5Config, T5Model

from modelyard.errors import InputError
from modelyard.project.model import ModelSection
from modelyard.training.derive import BOTH, ENCODERS
from modelyard.training.settings import max_length

T5 = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
BERT = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=48,
)


def section(wanted: int | None) -> ModelSection:
    return ModelSection(base="models/base", max_length_tokens=wanted)


def test_relative_positions_hold_what_the_project_wants() -> None:
    model = T5Model(T5)
    assert max_length(section(4_000), BOTH, [900], model).value == 4_000
    assert max_length(section(None), BOTH, [900] * 1_000, model).value == 904
    assert max_length(section(None), BOTH, [5_000] * 1_000, model).value == BOTH.longest == 1_024


def test_a_table_of_positions_does_not() -> None:
    assert max_length(section(None), ENCODERS, [900] * 1_000, BertModel(BERT)).value == 48
    with pytest.raises(InputError, match="max_length_tokens is 49: the model has 48 positions"):
        max_length(section(49), ENCODERS, [900], BertModel(BERT))
