"""Small real things that every test may use: a tiny encoder and a small prepared data set, made on the spot."""

import itertools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # one thread a process: two OpenMP processes on two cores slow each other tenfold
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", DVC_NO_ANALYTICS="1")

GOOD = ["good", "great", "lovely", "bright", "happy", "好", "棒"]
BAD = ["bad", "awful", "dull", "sad", "broken", "坏", "糟"]
PLAIN = ["the", "film", "was", "a", "phone", "and", "it", "very", "quite", "story", "screen", "这", "部", "电", "影"]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: BERT of 2 layers and width 32 with random weights, a WordPiece tokenizer of 40 words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base") / "tiny"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *GOOD, *BAD, *PLAIN, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def make_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Distinct rows with a label that the words decide: `text`, `label`, `source` column named `site`."""
    choose = random.Random(seed)
    rows, seen = [], set()
    for number in itertools.count():
        label = ("bad", "good")[number % 2]
        words = choose.choices(PLAIN, k=choose.randint(4, 12)) + choose.choices(GOOD if label == "good" else BAD, k=2)
        choose.shuffle(words)
        text = " ".join([*words, *str(number)])
        if text not in seen:
            seen.add(text)
            rows.append({"text": text, "label": label, "site": ("film", "phone")[choose.random() < 0.4]})
        if len(rows) == count:
            return rows
    raise AssertionError


@pytest.fixture(scope="session")
def rows_of() -> Callable[[int], list[dict[str, str]]]:
    """`make_rows`, for tests that write files of their own."""
    return make_rows


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: Llama of 2 layers and width 32 with random weights, a tokenizer of bytes, ChatML."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("decoder") / "tiny"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(GOOD + BAD + PLAIN)], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=CHATML).save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_pair_model(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: T5 of 2 and 2 layers and width 32 with random weights, the tiny decoder's tokenizer."""
    import shutil

    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("pairs") / "tiny"
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=320,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_decoder / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `prepared/` folder with 160 train, 60 validation and 80 test rows, labels bad and good, slice column site."""
    import polars as pl

    from modelyard.artifacts.files import digest_bytes, digest_file, write_json
    from modelyard.artifacts.prepared import MARK, Dataset, Source

    folder = tmp_path_factory.mktemp("prepared") / "prepared"
    folder.mkdir()
    rows = [
        {
            "id": digest_bytes(row["text"].encode()),
            "source": f"rows.csv:{line}",
            "text": row["text"],
            "label": row["label"],
            "site": row["site"],
            "group": None,
        }
        for line, row in enumerate(make_rows(300), start=2)
    ]
    parts = {"train": rows[:160], "validation": rows[160:220], "test": rows[220:]}
    for name, part in parts.items():
        pl.DataFrame(part, schema_overrides={"group": pl.String}).write_parquet(folder / f"{name}.parquet")
    dataset = Dataset(
        task="classification",
        labels=["bad", "good"],
        counts={name: len(part) for name, part in parts.items()},
        digests={name: digest_file(folder / f"{name}.parquet") for name in parts},
        slices=["site"],
        seed=0,
        sources=[Source(path="rows.csv", digest=digest_bytes(b"rows"), rows=300)],
    )
    write_json(folder / MARK, dataset)
    return folder


@pytest.fixture(scope="session")
def tiny_classifier(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_base` with a head for bad and good, its logits spread widely enough to be no ties."""
    import shutil

    import torch
    from transformers import BertForSequenceClassification

    from modelyard.engines.quiet import quietly

    folder = tmp_path_factory.mktemp("classifier") / "model"
    torch.manual_seed(3)
    with quietly():
        model = BertForSequenceClassification.from_pretrained(
            tiny_base, num_labels=2, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1}
        )
        torch.nn.init.normal_(model.classifier.weight, std=2.0)
        model.save_pretrained(folder)
    shutil.copyfile(tiny_base / "tokenizer.json", folder / "tokenizer.json")
    return folder


@dataclass(frozen=True)
class Sealed:
    """A signed release, its public key outside of it, and the private half."""

    folder: Path
    key: Path
    private: Path


@pytest.fixture(scope="session")
def sealed_once(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A release of a hand-made ONNX model, for `sealed` to copy."""
    import shutil

    import onnx
    from onnx import TensorProto, helper

    from modelyard.artifacts.files import digest_bytes
    from modelyard.artifacts.keys import load_private_key, new_key_pair
    from modelyard.artifacts.release import Lineage, Manifest, seal

    root = tmp_path_factory.mktemp("sealed")
    folder = root / "release"
    folder.mkdir()
    names = ("input_ids", "attention_mask")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["attention_mask", "one"], ["tokens"], keepdims=1),
            helper.make_node("ReduceSum", ["input_ids", "one"], ["ids"], keepdims=1),
            helper.make_node("Concat", ["tokens", "ids"], ["both"], axis=1),
            helper.make_node("Cast", ["both"], ["logits"], to=TensorProto.FLOAT),
        ],
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(folder / "model.onnx"))
    shutil.copyfile(tiny_base / "tokenizer.json", folder / "tokenizer.json")
    (folder / "config.json").write_text('{"pad_token_id": 0}', encoding="utf-8")
    (folder / "evidence").mkdir()
    (folder / "evidence" / "check.json").write_text("{}", encoding="utf-8")
    new_key_pair(root / "keys")
    some = digest_bytes(b"some")
    manifest = Manifest(
        project="sums",
        task="classification",
        labels=["long", "大"],
        max_length_tokens=16,
        candidate="onnx-fp32",
        engine="onnx",
        artefact=["model.onnx"],
        dtypes={"int64": 8},
        cpu_flags=["avx2"],
        objectives={"latency_p95_ms": 500},
        lineage=Lineage(prepared=some, model=some, candidates=some, reports={}, commit=None, modelyard="0"),
    )
    seal(folder, manifest, load_private_key(root / "keys" / "private.pem", {}))
    return Sealed(folder, root / "keys" / "team.pub", root / "keys" / "private.pem")


@pytest.fixture
def sealed(sealed_once: Sealed, tmp_path: Path) -> Sealed:
    """A release whose logits are [number of tokens, sum of the token ids], labels long and 大; free to be damaged.

    `good` is [CLS] 2, good 4, [SEP] 3: logits 3 and 9.
    """
    import shutil

    folder = Path(shutil.copytree(sealed_once.folder, tmp_path / "release"))
    return Sealed(folder, sealed_once.key, sealed_once.private)


@pytest.fixture
def one_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make this process by its variables the second of so many that train together."""

    def start(size: int) -> None:
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.setenv(name, str(size) if name == "WORLD_SIZE" else "1")

    return start
