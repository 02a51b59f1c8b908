from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from modelyard.engines.torch_engine import TorchEngine, load_classifier
from modelyard.errors import InputError


@pytest.fixture
def classifier(tmp_path: Path) -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        num_labels=3,
    )
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    return tmp_path, model


def test_answers_as_transformers_does_alone_and_in_company(classifier: Any) -> None:
    folder, model = classifier
    engine = TorchEngine(folder, threads=1)
    rows = [[2, 5, 3], [2, 7, 8, 9, 3]]
    with torch.no_grad():
        alone = [model(input_ids=torch.tensor([row])).logits[0].numpy() for row in rows]
    logits = engine.run(rows)
    np.testing.assert_allclose(logits, alone, atol=1e-6)
    assert logits.dtype == np.float32
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.run(rows)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the model cannot be loaded"):
        load_classifier(tmp_path)


def test_a_base_model_without_a_head_is_refused(tiny_base: Path) -> None:
    with pytest.raises(InputError, match=r"classifier\.bias, classifier\.weight are missing"):
        load_classifier(tiny_base)
