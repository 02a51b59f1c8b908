"""One epoch of a language model by Trainer or TRL, for benchmarks/language_speed.py.

`language_trainer.py WORK SEED {}` is Trainer with padding per batch, `{"grouped": true}` with its length groups,
`{"packs": true}` TRL's SFTTrainer with its best packing (`bfd`, padding-free, positions that begin anew). The rows come
encoded, so that no contender tokenises; the optimiser's settings are ours. A step on a copy comes before the clock.
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
from datasets import Dataset, fingerprint
from datasets.utils.logging import disable_progress_bar
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer


def main() -> None:
    """Train, time, tell."""
    work, seed, settings = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bar()
    # the name of a cache, by hashing a function, which dill cannot do for those that know pyarrow: no cache is wanted
    fingerprint.Hasher.hash = classmethod(lambda cls, value: fingerprint.generate_random_fingerprint())
    fingerprint.Hasher.update = lambda self, value: None
    given = json.loads((work / "rows.json").read_text())
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(given["base"], dtype=torch.float32, local_files_only=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(given["base"], local_files_only=True)
    train = given["train"]
    labels = [
        [token if mark else -100 for token, mark in zip(ids, marks, strict=True)]
        for ids, marks in zip(train["ids"], train["marks"], strict=True)
    ]
    lengths: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        shared = {
            "output_dir": folder,
            "num_train_epochs": 1,
            "learning_rate": given["learning_rate"],
            "warmup_steps": given["warm_up"],
            "weight_decay": 0.01,
            "seed": seed,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "bf16": torch.cuda.is_available(),
            "gradient_checkpointing": False,
            "lr_scheduler_type": "linear",
        }

        def trainer(net: PreTrainedModel, most: int) -> Trainer:
            if settings.get("packs"):
                rows = Dataset.from_dict({"input_ids": train["ids"], "labels": labels})
                arguments = SFTConfig(
                    **shared,
                    max_steps=most,
                    packing=True,
                    packing_strategy="bfd",
                    max_length=given["max_length"],
                    per_device_train_batch_size=max(1, round(given["tokens_per_batch"] / given["max_length"])),
                )
                made = SFTTrainer(net, arguments, train_dataset=rows, processing_class=tokenizer)
            else:
                rows = [{"input_ids": one, "labels": two} for one, two in zip(train["ids"], labels, strict=True)]
                arguments = TrainingArguments(
                    **shared,
                    max_steps=most,
                    per_device_train_batch_size=given["rows_per_batch"],
                    train_sampling_strategy="group_by_length" if settings.get("grouped") else "random",
                )
                made = Trainer(
                    net,
                    arguments,
                    train_dataset=rows,
                    data_collator=DataCollatorForSeq2Seq(tokenizer),
                )
            made.data_collator = counting(made.data_collator, lengths)
            return made

        trainer(copy.deepcopy(model), 1).train()
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
    tokens = sum(map(len, train["ids"]))
    if sum(real for real, _ in lengths) != tokens:
        raise SystemExit(f"trained on {sum(real for real, _ in lengths)} tokens, given were {tokens}")
    print(
        json.dumps(
            {
                "seconds": seconds,
                "tokens": tokens,
                "padding": 1 - tokens / sum(places for _, places in lengths),
                "steps": whole.state.global_step,
                "peak_bytes": peak,
                "losses": losses_of(model, given["validation"]),
            }
        )
    )


def counting(collate: Any, lengths: list[tuple[int, int]]) -> Any:  # noqa: ANN401  (a collator)
    """A collator that notes the tokens and the places of each batch."""

    def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
        sizes = [len(row["input_ids"]) for row in rows]
        batch = dict(collate(rows))
        lengths.append((sum(sizes), batch["input_ids"].numel()))
        return batch

    return counted


def losses_of(model: PreTrainedModel, split: dict[str, Any]) -> list[float]:
    """The loss of each row in nats, summed over its learned tokens, alone and in fp32."""
    model.eval()
    found = []
    with torch.inference_mode():
        for ids, marks in zip(split["ids"], split["marks"], strict=True):
            given = torch.tensor([ids], device=model.device)
            wanted = torch.tensor([t if m else -100 for t, m in zip(ids[1:], marks[1:], strict=True)])
            logits = model(input_ids=given).logits[0, :-1].float().cpu()
            found.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item())
    return found


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
