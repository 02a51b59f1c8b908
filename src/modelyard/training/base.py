"""The model that is fine-tuned: found, checked before it is parsed, loaded with a new head, its limits read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from modelyard.artifacts.documents import read_object
from modelyard.artifacts.files import digest_bytes, digest_file, digest_folder
from modelyard.artifacts.model import check_model_folder
from modelyard.errors import InputError, Problem
from modelyard.tasks.special_tokens import token_id

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_ENCODER, _DECODER, _BOTH = "an encoder", "a causal language model", "a sequence to sequence model"
_UNLOADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)
"""What transformers raises of a folder that it cannot load."""
_PROBE_TOKENS = 8
_SAME = 1e-3
"""Of the spread of the logits: rounding moves them by 1e-6 of it, another text before or beside them by a tenth."""
DEFAULT_POSITIONS = 512  # of a model that names no limit, as one with relative positions: what encoders are trained at
# far beyond any encoder there is: a config that claims more would fill the memory before a weight is read
_LARGEST = {
    "num_hidden_layers": 1_000,
    "hidden_size": 65_536,
    "intermediate_size": 1_048_576,
    "vocab_size": 10_000_000,
    "max_position_embeddings": 10_000_000,
    "num_attention_heads": 4_096,
    "type_vocab_size": 1_000_000,
}


def find_base(base: str, revision: str | None, *, root: Path) -> Path:
    """Folder of the base model, checked.

    Args:
        base: `model.base`: a folder relative to `root`, or a hub identifier that is in the local cache.
        revision: `model.revision`, of a hub identifier.
        root: the project.

    Raises:
        InputError: there is no such folder and nothing in the cache, or it cannot be loaded safely.
    """
    folder = root / base
    if not folder.is_dir():
        folder = _cached(base, revision, folder)
    check_model_folder(folder)
    _check_sizes(folder / "config.json")
    return folder


def digest_base(folder: Path) -> str:
    """Digest of the base model: of its folder, or, in the hub's cache of links, of the files that the links name."""
    names = sorted(path.name for path in folder.iterdir())
    if not any((folder / name).is_symlink() for name in names):
        return digest_folder(folder)
    lines = "".join(f"{digest_file(folder / name)}  {name}\n" for name in names if (folder / name).is_file())
    return digest_bytes(lines.encode())


def load_with_new_head(folder: Path, labels: Sequence[str], *, seed: int, several: bool = False) -> PreTrainedModel:
    """The base in fp32 with a classifier for `labels`; weights that the base lacks are drawn from `seed`.

    A head that the base has is kept where it has as many labels and replaced where it has not. `config.pad_token_id` is
    set: it is what everything after pads with.

    Args:
        folder: from `find_base`.
        labels: names in the order of the outputs.
        seed: of the new weights.
        several: a row may have several labels: the config says so, by which transformers takes each for itself.

    Raises:
        InputError: transformers does not know the model, weights other than the head's are missing or of another
            shape, or there is no padding token.
    """
    torch.manual_seed(seed)
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            problem_type="multi_label_classification" if several else "single_label_classification",
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except _UNLOADABLE as error:
        raise _unloadable(folder, str(error).strip().partition("\n")[0], _ENCODER) from error
    _check_weights(model, found, folder)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = _pad_id(folder)
    return model


def load_causal(folder: Path) -> PreTrainedModel:
    """The base in fp32 as a causal language model, every weight of it from its files.

    Args:
        folder: from `find_base`.

    Raises:
        InputError: transformers does not know it as one, weights are missing or of another shape, or an earlier token
            sees a later one, as in an encoder.
    """
    model = _load_whole(AutoModelForCausalLM, folder, _DECODER)
    if model.get_output_embeddings() is None:
        raise _unloadable(folder, "it has no layer that gives tokens", _DECODER)
    if not _looks_back_only(model):
        raise _unloadable(folder, "its tokens see those after them, which a language model must guess", _DECODER)
    return model


def load_seq2seq(folder: Path) -> PreTrainedModel:
    """The base in fp32 as a sequence to sequence model, every weight of it from its files.

    `config.pad_token_id` is set.

    Args:
        folder: from `find_base`.

    Raises:
        InputError: transformers does not know it as one, weights are missing or of another shape, or nothing names the
            token that its decoder begins with or the padding token.
    """
    model = _load_whole(AutoModelForSeq2SeqLM, folder, _BOTH)
    if model.get_output_embeddings() is None:
        raise _unloadable(folder, "it has no layer that gives tokens", _BOTH)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = _pad_id(folder)
    if getattr(model.config, "decoder_start_token_id", None) is None:
        message = "config.json names no token that the decoder begins with"
        raise InputError(Problem(message, "set decoder_start_token_id in config.json", str(folder)))
    return model


def _load_whole(auto: Any, folder: Path, wanted: str) -> PreTrainedModel:  # noqa: ANN401  (one of transformers' Auto classes)
    """A model with every weight from its files."""
    try:
        model, found = auto.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except _UNLOADABLE as error:
        raise _unloadable(folder, str(error).strip().partition("\n")[0], wanted) from error
    if lacking := sorted(found["missing_keys"]):
        reason = f"{len(lacking)} of its weights are missing, the first is {lacking[0]}"
        raise _unloadable(folder, reason, wanted)
    return cast("PreTrainedModel", model)


def _looks_back_only(model: PreTrainedModel) -> bool:
    """Whether what a model says of a token stays the same when the last one is another."""
    ids = torch.arange(_PROBE_TOKENS)[None] % model.get_input_embeddings().num_embeddings
    other = ids.clone()
    other[0, -1] = 0
    model.eval()
    with torch.inference_mode():
        one, two = (model(input_ids=given, use_cache=False).logits[0, :-1] for given in (ids, other))
    return alike(one, two)


def alike(logits: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether logits of one shape differ by no more than rounding; those that are no numbers training itself tells."""
    return not bool((logits - others).abs().max() > _SAME * logits.std())


def positions_of(model: PreTrainedModel) -> tuple[int, str]:
    """The most tokens that the model reads, and where that stands.

    RoBERTa and its kin number positions from the padding token's id plus one, and lose those before it.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            used = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - used, f"the model has {module.num_embeddings - used} positions"
    named = getattr(model.config, "max_position_embeddings", None)
    if isinstance(named, int) and named > 0:
        return named, f"the model's config names {named} positions"
    return DEFAULT_POSITIONS, f"the model names no limit, so {DEFAULT_POSITIONS}"


def check_tokenizer(tokenizer: Tokenizer, model: PreTrainedModel, folder: Path) -> None:
    """Refuse a tokenizer that belongs to another model.

    Raises:
        InputError: it has a token id that the model has no embedding for.
    """
    rows = model.get_input_embeddings().num_embeddings
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= rows or largest < 0:
        raise InputError(
            Problem(
                f"the tokenizer has token ids up to {largest}, the model has embeddings for 0 to {rows - 1}",
                "put the tokenizer.json that belongs to this model into its folder",
                str(folder / "tokenizer.json"),
            )
        )


def _cached(base: str, revision: str | None, folder: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    missing = Problem(
        f"model.base is {base!r}: no folder {folder}, and no such model with revision {revision!r} in the local cache",
        "name a Hugging Face model folder, or download it first: huggingface-cli download " + base,
        "modelyard.yaml",
    )
    try:
        cached = Path(snapshot_download(base, revision=revision, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise InputError(missing) from error
    if revision is None:
        raise InputError(
            Problem(
                f"model.base is the hub identifier {base!r} without model.revision: its newest revision may change",
                f"set model.revision: {cached.name}",
                "modelyard.yaml",
            )
        )
    return cached


def _check_sizes(path: Path) -> None:
    next_step = "copy the config.json that belongs to these weights"
    config = read_object(path, next_step=next_step)
    problems = [
        Problem(f"{name} is {config[name]!r}: a whole number from 1 to {most:,}", next_step, str(path))
        for name, most in _LARGEST.items()
        if name in config and not (isinstance(config[name], int) and 0 < config[name] <= most)
    ]
    if problems:
        raise InputError(problems)


def _check_weights(model: PreTrainedModel, found: dict[str, Any], folder: Path) -> None:
    """All weights of the encoder are there in their shape; its pooler belongs to the head (many bases have none)."""
    encoder = f"{model.base_model_prefix}."
    lacking = {*found["missing_keys"], *(item[0] for item in found["mismatched_keys"])}
    bad = sorted(name for name in lacking if name.startswith(encoder) and ".pooler." not in name)
    if bad:
        reason = f"{len(bad)} of its weights are missing or have another shape, the first is {bad[0]}"
        raise _unloadable(folder, reason, _ENCODER)


def _pad_id(folder: Path) -> int:
    """The padding token's id by the tokenizer's own settings, where the model's config names none."""
    pad_id = token_id(folder, Tokenizer.from_file(str(folder / "tokenizer.json")), "pad_token")
    if pad_id is None:
        message = "neither config.json nor tokenizer_config.json names a padding token"
        raise InputError(Problem(message, "set pad_token_id in config.json", str(folder)))
    return pad_id


def _unloadable(folder: Path, reason: str, wanted: str) -> InputError:
    return InputError(
        Problem(
            f"the base model cannot be loaded: {reason}",
            f"name the folder of {wanted} that transformers can load, with config and weights that belong together",
            str(folder),
        )
    )
