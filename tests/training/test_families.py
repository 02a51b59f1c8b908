"""Models of other families than the tests' tiny ones: a few steps, and their loss as transformers has it by itself."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    Gemma3TextConfig,
    GemmaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    RobertaConfig,
)

from modelyard.artifacts.model import read_training
from modelyard.artifacts.reports import METRICS_FILE
from modelyard.project.load import parse_settings
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.train import Excerpt, train

PAIRS = [{"prompt": f"{n} {n}:", "completion": " good" * (1 + n % 7)} for n in range(90)]
END = 2
"""<|im_end|>, which the tiny tokenizer ends a text with."""
SIZE = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}
LOOKS_BACK = SIZE | {"vocab_size": 300, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 128}
PAIR = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
PAIR |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 128}
LANGUAGE: list[tuple[str, PreTrainedConfig]] = [
    ("causal_lm", Qwen3Config(**LOOKS_BACK)),
    ("causal_lm", GemmaConfig(**LOOKS_BACK)),
    # one layer of two looks back 8 tokens; most rows are longer
    (
        "causal_lm",
        Gemma3TextConfig(**LOOKS_BACK, sliding_window=8, layer_types=["sliding_attention", "full_attention"]),
    ),
    ("seq2seq_lm", BartConfig(**PAIR, vocab_size=300, eos_token_id=END, decoder_start_token_id=END, pad_token_id=0)),
]
ROBERTA = RobertaConfig(**SIZE, vocab_size=60, max_position_embeddings=66)


def base_of(config: PreTrainedConfig, tokenizer: Path, place: Path) -> Path:
    """A folder with a config and a tokenizer: the weights are new."""
    folder = Path(shutil.copytree(tokenizer, place / "base"))
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return folder


def five_steps(base: Path, prepared: Path, place: Path, task: str) -> float:
    """The validation loss of the model that is written after five steps."""
    section = {"precision": "fp32", "learning_rate": 3e-3, "tokens_per_batch": 200, "epochs": 3}
    settings = {"schema": 1, "project": "tiny", "task": task, "data": {"train": "rows.jsonl"}, "train": section}
    model = {"base": str(base), "fresh": True}
    folders = {"root": place, "prepared": prepared, "output": place / "model", "reports": place / "reports"}
    train(parse_settings(json.dumps(settings | {"model": model})), **folders, excerpt=Excerpt(5, 1_000.0))
    lines = [json.loads(line) for line in (place / "reports" / METRICS_FILE).read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 5 and all(map(math.isfinite, losses))
    return min(entry["validation_loss"] for entry in read_training(place / "model").history)


def reloaded(auto: Any, place: Path) -> PreTrainedModel:
    model = auto.from_pretrained(place / "model", local_files_only=True)
    assert isinstance(model, PreTrainedModel)
    return model.eval()


def loss_of(model: PreTrainedModel, ids: list[int], labels: Any) -> float:
    """The loss of a row alone as transformers has it, without padding."""
    with torch.inference_mode():
        return float(model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss)


@pytest.mark.parametrize(("task", "config"), LANGUAGE, ids=[config.model_type for _, config in LANGUAGE])
def test_a_language_model_takes_steps_and_has_transformers_loss(
    tiny_decoder: Path, prepare_language: Callable[..., Path], tmp_path: Path, task: str, config: PreTrainedConfig
) -> None:
    prepared = prepare_language("prompt_completion", PAIRS, task)
    found = five_steps(base_of(config, tiny_decoder, tmp_path), prepared, tmp_path, task)
    model = reloaded(AutoModelForCausalLM if task == "causal_lm" else AutoModelForSeq2SeqLM, tmp_path)
    tokenizer, total, count = load_tokenizer(tiny_decoder), 0.0, 0
    for row in pl.read_parquet(prepared / "validation.parquet").to_dicts():
        prompt, answer = (list(tokenizer.encode(row[side]).ids) for side in ("prompt", "completion"))
        answer.append(END)
        if task == "causal_lm":
            loss = loss_of(model, prompt + answer, [-100] * len(prompt) + answer)
        else:
            loss = loss_of(model, prompt, answer)
        total, count = total + loss * len(answer), count + len(answer)
    assert found == pytest.approx(total / count, rel=1e-5)


def test_a_classifier_takes_steps_and_has_transformers_loss(
    tiny_base: Path, tiny_prepared: Path, tmp_path: Path
) -> None:
    """RoBERTa counts positions from behind the padding token's id."""
    found = five_steps(base_of(ROBERTA, tiny_base, tmp_path), tiny_prepared, tmp_path, "classification")
    model, tokenizer = reloaded(AutoModelForSequenceClassification, tmp_path), load_tokenizer(tiny_base)
    rows = pl.read_parquet(tiny_prepared / "validation.parquet").to_dicts()
    losses = [loss_of(model, tokenizer.encode(row["text"]).ids, ["bad", "good"].index(row["label"])) for row in rows]
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-5)
