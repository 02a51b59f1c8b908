"""One epoch by Transformers' Trainer or TRL's SFTTrainer, for training_turns.py: `trainer.py WORK SEED {...}`.

`{}`: rows in random order in fp32, padded per batch, everything but the optimiser's settings as Trainer has it (fused
AdamW is its default); `"grouped"`: its length groups; `"bf16"`: mixed precision; `"packs"`: TRL with its best packing
(`bfd`, padding-free, positions that begin anew). What each needs beside the lock's torch and transformers is said in
training_speed.py and language_speed.py.

The rows come encoded, so that no contender tokenises; the optimiser's settings are ours. A few steps on a copy come
before the clock. One JSON line of figures is printed.
"""

import copy
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import peak_memory
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

NOT_LEARNED = -100
STEPS_BEFORE = 2
JUDGED_TOGETHER = 64  # rows of a classifier


def main() -> None:
    """Train, time, tell."""
    work, seed, settings = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    given = json.loads((work / "rows.json").read_text())
    torch.manual_seed(seed)
    model = load(given)
    lengths: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        before = copy.deepcopy(model)
        formats = seen_formats(before)
        trainer(before, given, settings, folder, seed, STEPS_BEFORE).train()
        if formats != {torch.bfloat16 if settings.get("bf16") else torch.float32}:
            raise SystemExit(f"{settings}: the products were in {formats}")
        del before
        peak_memory.begin()
        whole = trainer(model, given, settings, folder, seed, -1)
        whole.data_collator = counting(whole.data_collator, lengths)
        start = time.perf_counter()
        whole.train()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    peak = peak_memory.peak_bytes()
    tokens = sum(map(len, given["train"]["ids"]))
    if sum(real for real, _ in lengths) != tokens:
        raise SystemExit(f"trained on {sum(real for real, _ in lengths)} tokens, given were {tokens}")
    judged = load(given).to(
        model.device
    )  # anew: accelerate leaves a model in bf16, and TRL leaves it a head of its own
    judged.load_state_dict(model.state_dict())
    losses_of = causal_losses if given["labels"] is None else label_losses
    print(
        json.dumps(
            {
                "seconds": seconds,
                "tokens": tokens,
                "padding": 1 - tokens / sum(places for _, places in lengths),
                "steps": whole.state.global_step,
                "peak_bytes": peak,
                "losses": losses_of(judged.eval(), given),
            }
        )
    )


def load(given: dict[str, Any]) -> PreTrainedModel:
    """The base in fp32."""
    kept = {"dtype": torch.float32, "local_files_only": True}
    if given["labels"] is None:
        return AutoModelForCausalLM.from_pretrained(given["base"], **kept)
    return AutoModelForSequenceClassification.from_pretrained(given["base"], num_labels=len(given["labels"]), **kept)


def trainer(
    model: PreTrainedModel, given: dict[str, Any], settings: dict[str, bool], folder: str, seed: int, most: int
) -> Trainer:
    """One that trains for an epoch, or `most` steps where that is above 0."""
    shared = {
        "output_dir": folder,
        "num_train_epochs": 1,
        "max_steps": most,
        "learning_rate": given["learning_rate"],
        "warmup_steps": given["warm_up"],
        "weight_decay": 0.01,
        "lr_scheduler_type": "linear",
        "seed": seed,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "bf16": settings.get("bf16", False),
        "use_cpu": not torch.cuda.is_available(),  # else it takes no bf16 there
    }
    if settings.get("packs"):
        return sft_trainer(model, given, shared)
    tokenizer = tokenizer_of(given)
    arguments = TrainingArguments(
        **shared,
        per_device_train_batch_size=given["rows_per_batch"],
        train_sampling_strategy="group_by_length" if settings.get("grouped") else "random",
    )
    padding = DataCollatorForSeq2Seq if given["labels"] is None else DataCollatorWithPadding
    return Trainer(model, arguments, train_dataset=rows_of(given["train"]), data_collator=padding(tokenizer))


def sft_trainer(model: PreTrainedModel, given: dict[str, Any], shared: dict[str, Any]) -> Trainer:
    """TRL's, with as many tokens a step as ours, in as many lines as hold the longest row."""
    from datasets import Dataset, fingerprint
    from datasets.utils.logging import disable_progress_bar
    from trl import SFTConfig, SFTTrainer

    disable_progress_bar()
    # the name of a cache, by hashing a function, which dill cannot do for those that know pyarrow: no cache is wanted
    fingerprint.Hasher.hash = classmethod(lambda cls, value: fingerprint.generate_random_fingerprint())
    fingerprint.Hasher.update = lambda self, value: None
    budget = given["tokens_per_batch"]
    lines = max(1, budget // max(map(len, given["train"]["ids"])))
    arguments = SFTConfig(
        **shared,
        packing=True,
        packing_strategy="bfd",
        max_length=budget // lines,
        per_device_train_batch_size=lines,
    )
    rows = Dataset.from_list(rows_of(given["train"]))
    return SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer_of(given))


def tokenizer_of(given: dict[str, Any]) -> PreTrainedTokenizerFast:
    """The base's."""
    return PreTrainedTokenizerFast.from_pretrained(given["base"], local_files_only=True)


def rows_of(split: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows as a collator takes them."""
    labels = split["labels"] or [
        [token if learned else NOT_LEARNED for token, learned in zip(ids, marks, strict=True)]
        for ids, marks in zip(split["ids"], split["learned"], strict=True)
    ]
    return [{"input_ids": ids, "labels": label} for ids, label in zip(split["ids"], labels, strict=True)]


def counting(collate: Any, lengths: list[tuple[int, int]]) -> Any:  # noqa: ANN401  (a collator)
    """A collator that notes the tokens and the places of each batch."""

    def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
        sizes = [len(row["input_ids"]) for row in rows]
        batch = dict(collate(rows))
        lengths.append((sum(sizes), batch["input_ids"].numel()))
        return batch

    return counted


def seen_formats(model: PreTrainedModel) -> set[torch.dtype]:
    """The formats in which the first linear layer answers, filled while the model runs."""
    seen: set[torch.dtype] = set()
    first = next(module for module in model.modules() if isinstance(module, (torch.nn.Linear, Conv1D)))
    first.register_forward_hook(lambda _module, _given, answer: seen.add(answer.dtype))
    return seen


def label_losses(model: PreTrainedModel, given: dict[str, Any]) -> list[float]:
    """The loss of each validation row of a classifier in nats, in fp32 without dropout."""
    rows, pad = rows_of(given["validation"]), DataCollatorWithPadding(tokenizer_of(given))
    found: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(rows), JUDGED_TOGETHER):
            batch = {name: value.to(model.device) for name, value in pad(rows[start : start + JUDGED_TOGETHER]).items()}
            labels = batch.pop("labels")
            logits = model(**batch).logits.double()
            found += torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
    return found


def causal_losses(model: PreTrainedModel, given: dict[str, Any]) -> list[float]:
    """The loss of each validation row in nats, summed over its learned tokens, alone, in fp32 without dropout."""
    found = []
    with torch.inference_mode():
        for row in rows_of(given["validation"]):
            ids, wanted = torch.tensor([row["input_ids"]], device=model.device), torch.tensor(row["labels"][1:])
            logits = model(input_ids=ids).logits[0, :-1].float().cpu()
            found.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item())
    return found


if __name__ == "__main__":
    main()
