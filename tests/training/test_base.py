"""Finding and loading the base: what is refused and how it is said, what is read from real architectures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5EncoderModel,
)

from modelyard.artifacts.files import digest_folder
from modelyard.errors import InputError
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.base import check_tokenizer, digest_base, find_base, load_with_new_head, positions_of
from modelyard.training.surroundings import quiet_transformers


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_base, tmp_path / "base")


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def load(folder: Path, labels: Any = ("bad", "good"), seed: int = 0) -> PreTrainedModel:
    with quiet_transformers():
        return load_with_new_head(folder, labels, seed=seed)


def refused(call: Callable[[], object], *parts: str) -> bool:
    """Whether a call is refused in these words."""
    with pytest.raises(InputError) as caught:
        call()
    return all(part in str(caught.value) for part in parts)


def test_find_base_takes_a_folder_relative_to_the_project(base: Path) -> None:
    assert find_base("base", None, root=base.parent) == base
    assert find_base(str(base), None, root=base.parent / "elsewhere") == base


@pytest.mark.parametrize("name", ["no-such-folder", "org/model", "../x/y/z", "a b"])
def test_find_base_looks_in_the_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert refused(lambda: find_base(name, "main", root=tmp_path), repr(name), "local cache", "download")


def test_find_base_reads_a_revision_from_the_cache_and_asks_for_one(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "cache" / "models--org--tiny"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    for path in base.iterdir():
        blob = repo / "blobs" / path.name
        shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(blob)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    found = find_base("org/tiny", commit, root=tmp_path)
    assert found == snapshot
    assert digest_base(found) == digest_folder(base)  # the links' targets, under the same names
    assert refused(lambda: find_base("org/tiny", None, root=tmp_path), "without model.revision", commit)


def test_a_pickle_beside_the_weights_is_refused(base: Path) -> None:
    (base / "pytorch_model.bin").write_bytes(b"x")
    assert refused(lambda: find_base(str(base), None, root=base), "pytorch_model.bin", "pickled")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"num_hidden_layers": 10**9, "hidden_size": -1}, ("num_hidden_layers is 1000000000", "hidden_size is -1")),
        ({"vocab_size": "many"}, ("vocab_size is 'many'",)),
    ],
)
def test_sizes_in_the_config_have_limits(base: Path, changes: dict[str, Any], parts: Any) -> None:
    edit(base / "config.json", **changes)
    assert refused(lambda: find_base(str(base), None, root=base), *parts)


@pytest.mark.parametrize("text", ["[1]", "{", "[" * 100_000])
def test_a_config_that_is_none(base: Path, text: str) -> None:
    (base / "config.json").write_text(text)
    assert refused(lambda: find_base(str(base), None, root=base), "config.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "no-such-type"},
        {
            "model_type": "own-code",
            "auto_map": {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"},
        },
        {"model_type": ...},
        {"model_type": "vit"},
        {"num_attention_heads": 7},
        {"hidden_act": "no-such-function"},
    ],
)
def test_a_model_that_cannot_be_loaded(base: Path, changes: dict[str, Any]) -> None:
    (base / "evil.py").write_text("raise SystemExit('this code must not run')")
    edit(base / "config.json", **changes)
    assert refused(lambda: load(base), "cannot be loaded")


def test_weights_of_another_shape_or_missing(base: Path) -> None:
    edit(base / "config.json", hidden_size=16)
    assert refused(lambda: load(base), "missing or have another shape", "embeddings")
    edit(base / "config.json", hidden_size=32, num_hidden_layers=3)
    assert refused(lambda: load(base), "missing or have another shape", "layer.2")


def test_a_base_without_pooler_gets_one_from_the_seed(base: Path) -> None:
    weights = {name: weight for name, weight in load_file(base / "model.safetensors").items() if "pooler" not in name}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    one, same, other = load(base), load(base), load(base, seed=1)
    assert torch.equal(one.bert.pooler.dense.weight, same.bert.pooler.dense.weight)
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.bert.pooler.dense.weight, other.bert.pooler.dense.weight)
    assert torch.equal(one.bert.encoder.layer[0].output.dense.weight, weights["encoder.layer.0.output.dense.weight"])


def test_labels_are_named_in_order_and_a_head_of_another_size_is_replaced(base: Path) -> None:
    load(base).save_pretrained(base)
    again = load(base, labels=["差", "中", "好"])
    assert again.config.id2label == {0: "差", 1: "中", 2: "好"}
    assert again.classifier.weight.shape == (3, 32)
    assert {weight.dtype for weight in again.parameters()} == {torch.float32}


def test_what_transformers_says_of_a_setting_is_told_whole(base: Path) -> None:
    edit(base / "config.json", pad_token_id="none")
    assert refused(lambda: load(base), "field 'pad_token_id': ", "got str")


def test_the_padding_token(base: Path) -> None:
    assert load(base).config.pad_token_id == 0
    for none in (None, -1):  # as the configs of old Llamas
        edit(base / "config.json", pad_token_id=none)
        assert load(base).config.pad_token_id == 0  # named by tokenizer_config.json
    edit(base / "tokenizer_config.json", pad_token={"content": "[SEP]"})
    assert load(base).config.pad_token_id == 3
    edit(base / "tokenizer_config.json", pad_token="[NONE]")
    assert refused(lambda: load(base), "names a padding token")
    (base / "tokenizer_config.json").write_text("[]")
    assert refused(lambda: load(base), "tokenizer_config.json")
    (base / "tokenizer_config.json").unlink()
    assert refused(lambda: load(base), "names a padding token", "set pad_token_id")


def test_a_tokenizer_larger_than_the_embedding(base: Path, make_model: Callable[[], PreTrainedModel]) -> None:
    model = make_model()
    tokenizer = load_tokenizer(base)
    check_tokenizer(tokenizer, model, base)
    tokenizer.add_tokens(["extra"])
    assert refused(lambda: check_tokenizer(tokenizer, model, base), "up to 43", "0 to 42")


def test_an_empty_tokenizer(base: Path, make_model: Callable[[], PreTrainedModel]) -> None:
    from tokenizers.models import WordLevel

    assert refused(lambda: check_tokenizer(Tokenizer(WordLevel({}, "x")), make_model(), base), "up to -1")


def small(kind: Any, **options: Any) -> Any:
    return kind(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=20, **options
    )


def test_positions() -> None:
    assert positions_of(BertModel(small(BertConfig, max_position_embeddings=48)))[0] == 48
    # RoBERTa numbers them from padding_idx + 1 = 2: 514 hold 512 (its published maximum)
    roberta = RobertaForSequenceClassification(small(RobertaConfig, max_position_embeddings=514, pad_token_id=1))
    assert positions_of(roberta) == (512, "the model has 512 positions")
    t5 = T5EncoderModel(T5Config(vocab_size=20, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1))
    assert positions_of(t5) == (512, "the model names no limit, so 512")
    t5.config.max_position_embeddings = 2048
    assert positions_of(t5) == (2048, "the model's config names 2048 positions")
