"""Models from a config alone: drawn from the seed, counted before they are allocated, trained, killed, judged."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    T5Config,
)

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.model import check_model_folder, read_training
from modelyard.artifacts.reports import own_peak_bytes
from modelyard.errors import InputError, Stopped
from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.base import digest_base, find_base, load_causal, load_seq2seq, load_with_new_head
from modelyard.training.surroundings import quiet_transformers
from modelyard.training.train import train

GPT2 = GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=128)
LLAMA = LlamaConfig(
    vocab_size=300,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=64,
    max_position_embeddings=128,
    tie_word_embeddings=True,
)
BERT = BertConfig(
    vocab_size=43,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=64,
)
GPT2_WEIGHTS = 300 * 32 + 128 * 32 + 2 * (12 * 32**2 + 13 * 32) + 2 * 32
"""Embeddings of tokens (the output layer too) and positions, two layers with their biases and norms, the last norm."""
TEXTS = [{"text": f"the film was {'good' if n % 3 else 'bad'} and the story {n} was quite bright"} for n in range(90)]
MakeFolder = Callable[..., Path]
PrepareLanguage = Callable[[str, list[dict[str, Any]]], Path]


@pytest.fixture
def folder_of(tiny_base: Path, tiny_decoder: Path, tmp_path: Path) -> MakeFolder:
    """A folder with a config and a tokenizer, and no weights."""

    def make(config: PreTrainedConfig, **changes: Any) -> Path:
        folder = tmp_path / "config-only"
        shutil.copytree(tiny_base if isinstance(config, BertConfig) else tiny_decoder, folder, dirs_exist_ok=True)
        (folder / "model.safetensors").unlink()
        (folder / "config.json").write_text(json.dumps(config.to_dict() | changes))
        return folder

    return make


def run(
    base: Path, prepared: Path, place: Path, *, task: str = "causal_lm", progress: Any = None, **wanted: Any
) -> Any:
    settings = parse_settings(
        json.dumps(
            {
                "schema": 1,
                "project": "tiny",
                "task": task,
                "data": {"train": "rows.jsonl"},
                "model": {"base": str(base), "fresh": True},
                "train": {"precision": "fp32", "epochs": 6, "learning_rate": 0.01, "tokens_per_batch": 400} | wanted,
            }
        )
    )
    options = {} if progress is None else {"progress": progress}
    return train(settings, root=place, prepared=prepared, output=place / "model", reports=place / "reports", **options)


def causal(folder: Path, seed: int = 0) -> PreTrainedModel:
    with quiet_transformers():
        return load_causal(folder, seed=seed, fresh=True)


def same(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(weight, again) for weight, again in pairs)


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_the_seed_decides_the_weights(folder_of: MakeFolder, config: PreTrainedConfig) -> None:
    folder = folder_of(config, dtype="bfloat16")
    assert same(causal(folder), causal(folder))
    assert not same(causal(folder), causal(folder, seed=1))
    assert {weight.dtype for weight in causal(folder).parameters()} == {torch.float32}


def test_texts_end_as_the_tokenizer_says(folder_of: MakeFolder) -> None:
    model = causal(folder_of(GPT2))  # whose config has the id of GPT-2's own token, 50256, of 300 there are here
    assert model.generation_config is not None
    assert model.config.eos_token_id == model.generation_config.eos_token_id == 2  # <|im_end|>


@pytest.mark.parametrize(("config", "name"), [(LLAMA, "<|im_start|>"), (BERT, "[SEP]")], ids=["llama", "bert"])
def test_padding_is_the_tokenizers(folder_of: MakeFolder, config: PreTrainedConfig, name: str) -> None:
    folder = folder_of(config, pad_token_id=7)
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": name, "eos_token": name}))
    number = load_tokenizer(folder).token_to_id(name)
    with quiet_transformers():
        model = causal(folder) if config is LLAMA else load_with_new_head(folder, ["a", "b"], seed=0, fresh=True)
    embedding = model.get_input_embeddings()
    assert (model.config.pad_token_id, embedding.padding_idx) == (number, number)
    assert not embedding.weight[number].any() and embedding.weight[7].any()


def test_labels_are_limited(folder_of: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(BERT, id2label={str(number): "a" for number in range(4)})
    assert find_base(str(folder), None, root=folder, fresh=True) == folder
    monkeypatch.setattr("modelyard.training.base._MOST_LABELS", 3)
    with pytest.raises(InputError, match="id2label names 4 labels of 3 at most"):
        find_base(str(folder), None, root=folder, fresh=True)


def test_they_are_drawn_as_transformers_draws_them(folder_of: MakeFolder) -> None:
    torch.manual_seed(5)
    expected = GPT2LMHeadModel(GPT2)
    assert same(causal(folder_of(GPT2), seed=5), expected)


def test_a_classifier_of_new_weights(folder_of: MakeFolder) -> None:
    folder = folder_of(BERT)
    with quiet_transformers():
        one, two = (load_with_new_head(folder, ["差", "中", "好"], seed=seed, fresh=True) for seed in (1, 2))
    assert one.config.id2label == {0: "差", 1: "中", 2: "好"}
    assert one.classifier.weight.shape == (3, 32)
    assert not same(one, two)


T5 = T5Config(vocab_size=300, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=0)


def test_a_sequence_to_sequence_model_of_new_weights(folder_of: MakeFolder) -> None:
    folder = folder_of(T5)
    with quiet_transformers():
        one, again, other = (load_seq2seq(folder, seed=seed, fresh=True) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)
    with quiet_transformers(), pytest.raises(InputError, match="decoder_start_token_id is 300"):
        load_seq2seq(folder_of(T5, decoder_start_token_id=300), fresh=True)


def test_weights_that_are_there_are_not_read(folder_of: MakeFolder, tiny_decoder: Path) -> None:
    folder = folder_of(LLAMA)
    drawn = causal(folder)
    (folder / "model.safetensors").write_bytes(b"not even weights")
    assert find_base(str(folder), None, root=folder, fresh=True) == folder
    assert same(causal(folder), drawn)
    assert not same(causal(folder), load_causal(tiny_decoder))


def test_pickles_are_refused_all_the_same_and_old_weights_asked_for(folder_of: MakeFolder) -> None:
    folder = folder_of(GPT2)
    with pytest.raises(InputError, match=r"no .safetensors file holds the weights.* set model.fresh: true"):
        find_base(str(folder), None, root=folder)
    digest = digest_base(folder)
    assert digest == digest_base(find_base(str(folder), None, root=folder, fresh=True))
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="pickled"):
        find_base(str(folder), None, root=folder, fresh=True)
    (folder / "pytorch_model.bin").unlink()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer.json is missing"):
        find_base(str(folder), None, root=folder, fresh=True)


def test_as_many_weights_as_the_memory_holds(folder_of: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(GPT2)
    monkeypatch.setattr("modelyard.training.fresh.free_bytes", lambda device: 20 * GPT2_WEIGHTS)
    assert sum(weight.numel() for weight in causal(folder).parameters()) == GPT2_WEIGHTS
    monkeypatch.setattr("modelyard.training.fresh.free_bytes", lambda device: 20 * GPT2_WEIGHTS - 1)
    with pytest.raises(InputError, match=rf"at least {GPT2_WEIGHTS:,} weights .* at 20 bytes each, .* GB are free"):
        causal(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_embd": 65_536, "n_layer": 1_000},  # 5e13 weights
        {"model_type": "mixtral", "num_local_experts": 100_000, "hidden_size": 65_536},
        {"model_type": "gpt_neo", "num_layers": 1, "attention_types": [[["global"], 1]]}
        | {"hidden_size": 32, "num_heads": 2, "max_position_embeddings": 1_000_000},  # squared, in a buffer
    ],
)
def test_what_is_too_large_is_never_allocated(folder_of: MakeFolder, changes: dict[str, Any]) -> None:
    folder = folder_of(GPT2, **changes)
    find_base(str(folder), None, root=folder, fresh=True)  # every size by itself is within its limit
    before = own_peak_bytes()
    with pytest.raises(InputError, match=r"config.json asks for at least [\d,]{9,} weights .*, and [\d.]+ GB are free"):
        causal(folder)
    assert own_peak_bytes() - before < 500e6


def test_a_config_that_is_larger_than_its_weights_is_not_filled_up(tiny_decoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_decoder, tmp_path / "larger")
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 65_536, "num_hidden_layers": 1_000}
    (folder / "config.json").write_text(json.dumps(config))
    with quiet_transformers(), pytest.raises(InputError, match="at 4 bytes each"):
        load_causal(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_layer": 10**9}, "n_layer is 1000000000: a whole number from 1 to 1,000"),
        ({"n_embd": -32}, "n_embd is -32"),
        ({"n_positions": 10**12}, "n_positions is 1000000000000"),
        ({"n_head": 0}, "n_head is 0"),
        ({"n_inner": 1.5}, "n_inner is 1.5"),
        ({"text_config": {"hidden_size": 10**8}}, "hidden_size is 100000000"),
        ({"num_local_experts": 10**9}, "num_local_experts is 1000000000"),
        ({"num_labels": 10**9}, "num_labels is 1000000000"),
        ({"attention_types": [[["global"], 10**9]]}, "attention_types holds 1000000000: .* is 1,000 at most"),
        ({"eos_token_id": [2, 10**9]}, "eos_token_id holds 1000000000: .* is 10,000,000 at most"),
        ({"parts": [[{"hidden_size": 10**8}]]}, "hidden_size is 100000000"),
        ({"_attn_implementation": "evil/kernel"}, "code that would be downloaded and run"),
    ],
)
def test_sizes_are_limited_by_every_familys_names(folder_of: MakeFolder, changes: dict[str, Any], said: str) -> None:
    folder = folder_of(GPT2, **changes)
    with pytest.raises(InputError, match=said):
        find_base(str(folder), None, root=folder, fresh=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "own", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}},
        {"n_head": 5},
        {"layer_norm_epsilon": "small"},
        {"activation_function": "none"},
        {"model_type": "t5"},
        {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_key_value_heads": 3},
        {"model_type": "opt", "pad_token_id": 10**6},
        {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    ],
)
def test_hostile_configs(folder_of: MakeFolder, changes: dict[str, Any]) -> None:
    folder = folder_of(GPT2, **changes)
    (folder / "evil.py").write_text("raise SystemExit('this code must not run')")
    find_base(str(folder), None, root=folder, fresh=True)
    with pytest.raises(InputError, match="cannot be loaded"):
        causal(folder)


def test_code_beside_a_known_architecture_is_left_alone(folder_of: MakeFolder) -> None:
    folder = folder_of(GPT2, auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('this code must not run')")
    assert isinstance(causal(folder), GPT2LMHeadModel)


def test_a_classifier_that_cannot_answer(folder_of: MakeFolder) -> None:
    folder = folder_of(BERT, max_position_embeddings=4)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_with_new_head(folder, ["bad", "good"], seed=0, fresh=True)


@pytest.fixture
def trained(folder_of: MakeFolder, prepare_language: PrepareLanguage, tmp_path: Path) -> tuple[Path, Path, Report]:
    """Folder of the config, prepared rows, and the report of a GPT-2 trained on them below `whole`."""
    folder, prepared = folder_of(GPT2), prepare_language("text", TEXTS)
    return folder, prepared, run(folder, prepared, tmp_path / "whole")


def test_a_model_of_a_config_learns_more_than_frequencies(trained: tuple[Path, Path, Report], tmp_path: Path) -> None:
    report = trained[2]
    (verdict,) = report.verdicts
    assert (verdict.rule, verdict.outcome) == ("better_than_frequencies", "PASS")
    assert "; of the tokens' frequencies " in report.notes[0]
    assert report.parameters["fresh"] is True
    training = read_training(tmp_path / "whole/model")
    assert (training.settings["fresh"], training.base) == (True, digest_folder(trained[0]))
    check_model_folder(tmp_path / "whole/model")
    assert str(tmp_path) not in (tmp_path / "whole/model/config.json").read_text()


def test_killed_and_resumed_bit_for_bit(trained: tuple[Path, Path, Report], tmp_path: Path) -> None:
    folder, prepared, _ = trained

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("train,") and done == 3:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        run(folder, prepared, tmp_path / "stopped", progress=stop)
    run(folder, prepared, tmp_path / "stopped")
    assert digest_folder(tmp_path / "stopped/model") == digest_folder(tmp_path / "whole/model")
    run(folder, prepared, tmp_path / "other", seed=8)
    assert digest_folder(tmp_path / "other/model") != digest_folder(tmp_path / "whole/model")


def test_lora_would_leave_them_as_they_are_drawn(
    folder_of: MakeFolder, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"model.fresh is true and train.lora_rank is 4"):
        run(folder_of(GPT2), prepare_language("text", TEXTS), tmp_path, lora_rank=4)


def test_a_classifier_from_a_config(folder_of: MakeFolder, tiny_prepared: Path, tmp_path: Path) -> None:
    report = run(folder_of(BERT), tiny_prepared, tmp_path, task="classification", learning_rate=0.01, epochs=10)
    assert {verdict.rule: verdict.outcome for verdict in report.verdicts} == {"better_than_majority": "PASS"}


def test_a_tokenizer_that_is_larger_than_the_config_says(
    folder_of: MakeFolder, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    folder = folder_of(GPT2, vocab_size=200)
    with pytest.raises(InputError, match="the model has embeddings for 0 to 199"):
        run(folder, prepare_language("text", TEXTS), tmp_path)
