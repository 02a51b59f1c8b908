"""The model that is trained: found, checked before it is parsed, loaded or drawn anew, its limits read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
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
from modelyard.tasks.classification import load_tokenizer
from modelyard.tasks.special_tokens import token_id
from modelyard.training.fresh import LOADED_BYTES, check_fits, draw, read_config

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
_UNLOADABLE = (
    *(OSError, ValueError, TypeError, AttributeError, RuntimeError, ImportError),
    *(LookupError, ArithmeticError, AssertionError, StrictDataclassError),
)
"""What transformers and torch raise of a folder that they cannot load."""
_PROBE_TOKENS = 8
_SAME = 1e-3
"""Of the spread of the logits: rounding moves them by 1e-6 of it, another text before or beside them by a tenth."""
DEFAULT_POSITIONS = 512  # of a model that names no limit, as one with relative positions: what encoders are trained at
# far beyond any model there is, by the names that the families have for the same size (transformers, the
# configuration_*.py of BERT, DistilBERT, Llama, GPT-2, OPT, T5, BART, Mixtral, Qwen, DeepSeek): a config that claims
# more would take hours to build before its weights are counted
_LARGEST = {
    name: most
    for most, names in {
        1_000: "num_hidden_layers n_layer n_layers num_layers num_decoder_layers encoder_layers decoder_layers",
        65_536: "hidden_size n_embd d_model dim embedding_size word_embed_proj_dim head_dim d_kv",
        1_048_576: "intermediate_size n_inner d_ff ffn_dim hidden_dim encoder_ffn_dim decoder_ffn_dim "
        "moe_intermediate_size",
        10_000_000: "vocab_size max_position_embeddings n_positions n_ctx",
        4_096: "num_attention_heads n_head n_heads num_heads num_key_value_heads encoder_attention_heads "
        "decoder_attention_heads",
        100_000: "num_local_experts num_experts n_routed_experts n_shared_experts",
        1_000_000: "type_vocab_size num_labels",
    }.items()
    for name in names.split()
}
_MAY_BE_ZERO = {"type_vocab_size", "n_shared_experts", "num_labels"}
_LARGEST_LISTED = {"attention_types": 1_000}
"""Of the numbers in a list: GPT-Neo's repeat kinds of layers."""
_LARGEST_ELSE = 10_000_000
"""Of those in any other list, as ids of tokens are."""
_MOST_LABELS = 1_000_000


def find_base(base: str, revision: str | None, *, root: Path, fresh: bool = False) -> Path:
    """Folder of the base model, checked.

    Args:
        base: `model.base`: a folder relative to `root`, or a hub identifier that is in the local cache.
        revision: `model.revision`, of a hub identifier.
        root: the project.
        fresh: `model.fresh`: no weights need to be there.

    Raises:
        InputError: there is no such folder and nothing in the cache, or it cannot be loaded safely.
    """
    folder = root / base
    if not folder.is_dir():
        folder = _cached(base, revision, folder)
    check_model_folder(folder, weights=not fresh)
    _check_sizes(folder / "config.json")
    return folder


def digest_base(folder: Path) -> str:
    """Digest of the base model: of its folder, or, in the hub's cache of links, of the files that the links name."""
    names = sorted(path.name for path in folder.iterdir())
    if not any((folder / name).is_symlink() for name in names):
        return digest_folder(folder)
    lines = "".join(f"{digest_file(folder / name)}  {name}\n" for name in names if (folder / name).is_file())
    return digest_bytes(lines.encode())


def load_with_new_head(
    folder: Path, labels: Sequence[str], *, seed: int, several: bool = False, fresh: bool = False
) -> PreTrainedModel:
    """The base in fp32 with a classifier for `labels`; weights that the base lacks are drawn from `seed`.

    A head that the base has is kept where it has as many labels and replaced where it has not. `config.pad_token_id` is
    set: it is what everything after pads with.

    Args:
        folder: from `find_base`.
        labels: names in the order of the outputs.
        seed: of the new weights.
        several: a row may have several labels: the config says so, by which transformers takes each for itself.
        fresh: the weights are all new.

    Raises:
        InputError: transformers does not know the model, weights other than the head's are missing or of another
            shape, there is no padding token, or the memory is too small.
    """
    named: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": "multi_label_classification" if several else "single_label_classification",
    }
    auto = AutoModelForSequenceClassification
    try:
        if fresh:
            model = draw(auto, folder, seed=seed, special=_special_ids(folder), **named)
            _answers(model, _probe(model))
        else:
            model, found = _from_files(auto, folder, seed=seed, ignore_mismatched_sizes=True, **named)
            _check_weights(model, found, folder)
    except _UNLOADABLE as error:
        raise _unloadable(folder, _said(error), _ENCODER) from error
    _see_to_padding(model, folder)
    return model


def load_causal(folder: Path, *, seed: int = 0, fresh: bool = False) -> PreTrainedModel:
    """The base in fp32 as a causal language model, every weight of it from its files, or every one new.

    Args:
        folder: from `find_base`.
        seed: of new weights.
        fresh: the weights are all new.

    Raises:
        InputError: transformers does not know it as one, weights are missing or of another shape, an earlier token
            sees a later one, as in an encoder, or the memory is too small.
    """
    model = _load_whole(AutoModelForCausalLM, folder, _DECODER, seed=seed, fresh=fresh)
    if model.get_output_embeddings() is None:
        raise _unloadable(folder, "it has no layer that gives tokens", _DECODER)
    try:
        looks_back_only = _looks_back_only(model)
    except _UNLOADABLE as error:
        raise _unloadable(folder, _said(error), _DECODER) from error
    if not looks_back_only:
        raise _unloadable(folder, "its tokens see those after them, which a language model must guess", _DECODER)
    return model


def load_seq2seq(folder: Path, *, seed: int = 0, fresh: bool = False) -> PreTrainedModel:
    """The base in fp32 as a sequence to sequence model, every weight of it from its files, or every one new.

    `config.pad_token_id` is set.

    Args:
        folder: from `find_base`.
        seed: of new weights.
        fresh: the weights are all new.

    Raises:
        InputError: transformers does not know it as one, weights are missing or of another shape, nothing names the
            token that its decoder begins with or the padding token, or the memory is too small.
    """
    model = _load_whole(AutoModelForSeq2SeqLM, folder, _BOTH, seed=seed, fresh=fresh)
    if model.get_output_embeddings() is None:
        raise _unloadable(folder, "it has no layer that gives tokens", _BOTH)
    _see_to_padding(model, folder)
    begin = getattr(model.config, "decoder_start_token_id", None)
    if not _is_row(begin, model.get_output_embeddings().weight):
        message = f"config.json names no token that the decoder begins with: decoder_start_token_id is {begin!r}"
        raise InputError(Problem(message, "set decoder_start_token_id in config.json", str(folder)))
    if fresh:
        try:
            _answers(model, _probe(model), decoder_input_ids=torch.tensor([[begin]]))
        except _UNLOADABLE as error:
            raise _unloadable(folder, _said(error), _BOTH) from error
    return model


def _load_whole(auto: Any, folder: Path, wanted: str, *, seed: int, fresh: bool) -> PreTrainedModel:  # noqa: ANN401  (one of transformers' Auto classes)
    """A model with every weight from its files, or every one new."""
    lacking: list[str] = []
    try:
        if fresh:
            model = draw(auto, folder, seed=seed, special=_special_ids(folder))
        else:
            model, found = _from_files(auto, folder, seed=seed)
            lacking = sorted(found["missing_keys"])
    except _UNLOADABLE as error:
        raise _unloadable(folder, _said(error), wanted) from error
    if lacking:
        reason = f"{len(lacking)} of its weights are missing, the first is {lacking[0]}"
        raise _unloadable(folder, reason, wanted)
    return model


def _special_ids(folder: Path) -> dict[str, int]:
    """What a new model begins, ends and fills texts with, by its tokenizer: a config's are often the family's."""
    tokenizer = load_tokenizer(folder)
    found = {f"{name}_id": token_id(folder, tokenizer, name) for name in ("bos_token", "eos_token", "pad_token")}
    return {name: number for name, number in found.items() if number is not None}


def _from_files(auto: Any, folder: Path, *, seed: int, **named: Any) -> tuple[PreTrainedModel, dict[str, Any]]:  # noqa: ANN401
    """The model of a folder, with what transformers found missing; that is drawn from the seed."""
    check_fits(auto, read_config(folder), folder, LOADED_BYTES)
    torch.manual_seed(seed)
    model, found = auto.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        **named,
    )
    return model, found


def _said(error: BaseException) -> str:
    """The first line of what an error says, and the one that it announces."""
    first, *rest = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{first} {rest[0]}" if first.endswith(":") and rest else first


def _looks_back_only(model: PreTrainedModel) -> bool:
    """Whether what a model says of a token stays the same when the last one is another."""
    ids = _probe(model)
    other = ids.clone()
    other[0, -1] = 0
    one, two = (_answers(model, given, use_cache=False)[0, :-1] for given in (ids, other))
    return alike(one, two)


def _probe(model: PreTrainedModel) -> torch.Tensor:
    """A few token ids, shape (1, tokens)."""
    known: int = model.get_input_embeddings().num_embeddings
    return torch.arange(_PROBE_TOKENS)[None] % known


def _answers(model: PreTrainedModel, ids: torch.Tensor, **named: Any) -> torch.Tensor:  # noqa: ANN401
    """Logits of some token ids; a config may make a model that cannot give them."""
    model.eval()
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=ids, **named).logits
    return logits


def alike(logits: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether logits of one shape differ by no more than rounding; those that are no numbers training itself tells."""
    return not bool((logits - others).abs().max() > _SAME * logits.std())


def positions_of(model: PreTrainedModel, unlimited: int = DEFAULT_POSITIONS) -> tuple[int, str]:
    """The most tokens that the model reads, and where that stands.

    RoBERTa and its kin number positions from the padding token's id plus one, and lose those before it.

    Args:
        model: any.
        unlimited: what is taken of a model that names no limit.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            used = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - used, f"the model has {module.num_embeddings - used} positions"
    named = getattr(model.config, "max_position_embeddings", None)
    if isinstance(named, int) and named > 0:
        return named, f"the model's config names {named} positions"
    return unlimited, f"the model names no limit, so {unlimited}"


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
        "name a Hugging Face model folder, or download it first: hf download " + base,
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
    if problems := [problem for part in _parts(config) for problem in _part_problems(part, path, next_step)]:
        raise InputError(problems)


def _parts(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings and those within them, as `text_config` holds those of a model that sees as well."""
    parts = [config]
    for part in parts:  # grows as it is walked
        parts += [value for value in part.values() if isinstance(value, dict)]
        parts += [item for value in part.values() for item in _listed(value) if isinstance(item, dict)]
    return parts


def _listed(value: object) -> list[Any]:
    """What stands in a list and in those within it; nothing where it is none."""
    items = list(value) if isinstance(value, list) else []
    for item in items:  # grows as it is walked
        if isinstance(item, list):
            items += item
    return items


def _part_problems(part: dict[str, Any], path: Path, next_step: str) -> list[Problem]:
    problems = []
    for name, value in part.items():
        least, most = 0 if name in _MAY_BE_ZERO else 1, _LARGEST.get(name)
        if most is not None and value is not None and not (isinstance(value, int) and least <= value <= most):
            message = f"{name} is {value!r}: a whole number from {least} to {most:,}"
            problems.append(Problem(message, next_step, str(path)))
        listed = _LARGEST_LISTED.get(name, _LARGEST_ELSE)
        if beyond := [item for item in _listed(value) if isinstance(item, int) and abs(item) > listed]:
            message = f"{name} holds {beyond[0]}: a whole number in a list is {listed:,} at most"
            problems.append(Problem(message, next_step, str(path)))
        if name == "id2label" and isinstance(value, dict) and len(value) > _MOST_LABELS:
            problems.append(
                Problem(f"id2label names {len(value):,} labels of {_MOST_LABELS:,} at most", next_step, str(path))
            )
        if name.endswith("_implementation") and "/" in str(value):
            message = f"{name} is {value!r}: code that would be downloaded and run"
            problems.append(Problem(message, "leave it out of config.json", str(path)))
    return problems


def _check_weights(model: PreTrainedModel, found: dict[str, Any], folder: Path) -> None:
    """All weights of the encoder are there in their shape; its pooler belongs to the head (many bases have none)."""
    encoder = f"{model.base_model_prefix}."
    lacking = {*found["missing_keys"], *(item[0] for item in found["mismatched_keys"])}
    bad = sorted(name for name in lacking if name.startswith(encoder) and ".pooler." not in name)
    if bad:
        reason = f"{len(bad)} of its weights are missing or have another shape, the first is {bad[0]}"
        raise _unloadable(folder, reason, _ENCODER)


def _see_to_padding(model: PreTrainedModel, folder: Path) -> None:
    """Where a model's config names no padding token, or -1 as Llama's do, take the tokenizer's."""
    embedding = model.get_input_embeddings()
    if not _is_row(model.config.pad_token_id, embedding.weight):
        model.config.pad_token_id = _pad_id(folder)
        if embedding.padding_idx is not None:  # torch takes -1 for the last token, which would get no gradient
            embedding.padding_idx = model.config.pad_token_id


def _is_row(token: object, table: torch.Tensor) -> bool:
    """Whether what a config names as a token has a row in a table of them."""
    return isinstance(token, int) and 0 <= token < len(table)


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
