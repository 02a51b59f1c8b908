"""One epoch by Transformers' Trainer, for benchmarks/training_speed.py: `trainer.py WORK SEED {"grouped": true, ...}`.

Needs accelerate beside the lock's torch and transformers:

    pip install --no-deps --target /tmp/peers/trainer accelerate==1.15.0

The rows come encoded, so that no contender tokenises; the optimiser's settings are ours. `{}`: everything else is as
Trainer has it, padding per batch by its own collator. `grouped` and `bf16` are its best settings: fused AdamW is its
default. A few steps on a copy come before the clock. One JSON line of figures is printed.
"""

import copy
import gc
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging


def main() -> None:
    """Train, time, tell."""
    work, seed, settings = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    given = json.loads((work / "rows.json").read_text())
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        given["base"], num_labels=len(given["labels"]), dtype=torch.float32, local_files_only=True
    )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(given["base"], local_files_only=True)
    train, validation = rows_of(given["train"]), rows_of(given["validation"])
    lengths: list[tuple[int, int]] = []

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        sizes = [len(row["input_ids"]) for row in rows]
        lengths.append((sum(sizes), len(sizes) * max(sizes)))
        return dict(pad(rows))

    pad = DataCollatorWithPadding(tokenizer)
    with tempfile.TemporaryDirectory() as folder:

        def trainer(net: PreTrainedModel, most: int) -> Trainer:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                max_steps=most,
                per_device_train_batch_size=given["rows_per_batch"],
                learning_rate=given["learning_rate"],
                warmup_steps=given["warm_up"],
                weight_decay=0.01,
                seed=seed,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                train_sampling_strategy="group_by_length" if settings.get("grouped") else "random",
                bf16=settings.get("bf16", False),
                use_cpu=not torch.cuda.is_available(),  # else it takes no bf16 there
            )
            return Trainer(net, arguments, train_dataset=train, data_collator=collate)

        trainer(copy.deepcopy(model), 3).train()
        lengths.clear()
        gc.collect()  # the copy and its optimiser refer to each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        whole = trainer(model, -1)
        start = time.perf_counter()
        whole.train()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _peak_bytes()
    print(
        json.dumps(
            {
                "seconds": seconds,
                "tokens": sum(real for real, _ in lengths),
                "padding": 1 - sum(real for real, _ in lengths) / sum(padded for _, padded in lengths),
                "steps": whole.state.global_step,
                "peak_bytes": peak,
                "losses": losses_of(model, validation, pad),
            }
        )
    )


def rows_of(split: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows as Trainer's collator takes them."""
    return [{"input_ids": ids, "labels": label} for ids, label in zip(split["ids"], split["labels"], strict=True)]


def losses_of(model: PreTrainedModel, rows: list[dict[str, Any]], pad: DataCollatorWithPadding) -> list[float]:
    """The loss of each row in nats, in fp32 without dropout."""
    model.eval()
    found: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(rows), 64):
            batch = {name: value.to(model.device) for name, value in pad(rows[start : start + 64]).items()}
            labels = batch.pop("labels")
            logits = model(**batch).logits.double()
            found += torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
    return found


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
