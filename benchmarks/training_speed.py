"""One epoch of the demo's MiniLM: Modelyard's loop against Transformers' Trainer, at its defaults and at its best.

    pip install --no-deps --target /tmp/peers/trainer accelerate==1.15.0
    python benchmarks/training_speed.py --project .work/reviews --peers /tmp/peers      # after `make demo`

Every contender gets the same encoded rows, 32 of them a step on average, the same optimiser and learning rate, and a
process of its own; they take turns in every round. Counted are tokens of text, not padding. On a machine with a CUDA
GPU everything runs there. Trainer runs in bf16 as well where the machine has it (a GPU, a CPU with AVX512_BF16); its
best is whatever was fastest of what it can be set to. The mean loss on the same validation rows, which each is left
with, is compared row by row: a faster training that learns less has won nothing.

The limit of the machine is measured in our process: the same matrix products, forward and backward, in the precision
that we train in, and nothing between them.

Writes `results/training_speed.json`, with a GPU `results/training_speed_gpu.json`.
"""

import argparse
from pathlib import Path
from typing import Any

from training_turns import ROUNDS, TRAINERS, Targets, measure, write_rows

from modelyard.artifacts.prepared import read_prepared
from modelyard.tasks.classification import load_tokenizer
from modelyard.training import derive
from modelyard.training.batches import Rows
from modelyard.training.loop import WARM_UP
from modelyard.training.rows import cut_rows, encode_split

TARGETS = Targets(over_defaults=1.8, over_best=1.1)
TRAIN_ROWS, VALIDATION_ROWS = 2_560, 1_000


def main() -> None:
    """Measure in turns, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--work", type=Path, default=Path(".work/training-speed"))
    parser.add_argument("--rows", type=int, default=TRAIN_ROWS, help="train rows; 0 takes all")
    parser.add_argument("--validation", type=int, default=VALIDATION_ROWS, help="validation rows; 0 takes all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    validation, settings = write_reviews(options.project, options.work, options.rows, options.validation)
    print(
        measure(
            "training_speed",
            work=options.work,
            packages=options.peers / "trainer",
            peers=TRAINERS,
            rounds=options.rounds,
            weights=validation.weights,
            targets=TARGETS,
            settings=settings,
        )
    )


def write_reviews(project: Path, work: Path, count: int, judged: int) -> tuple[Rows, dict[str, Any]]:
    """Encode the project's rows once for all; returns those of validation and the settings that all share.

    Args:
        project: made by `make demo`.
        work: where the rows go.
        count: train rows; 0 takes all.
        judged: validation rows; 0 takes all.
    """
    data, base = read_prepared(project / "prepared"), (project / "models" / "minilm").resolve()
    tokenizer = load_tokenizer(base)
    uncut = {name: encode_split(tokenizer, data, name) for name in ("train", "validation")}
    limit = int(derive.max_length_tokens(uncut["train"].lengths, None, 512, derive.ENCODERS.longest).value)
    splits = {name: cut_rows(tokenizer, rows, data, name, limit)[0] for name, rows in uncut.items()}
    kept = {"train": count or None, "validation": judged or None}
    train, validation = (
        Rows(rows.ids[: kept[name]], rows.sources[: kept[name]], rows.labels[: kept[name]])
        for name, rows in splits.items()
    )
    lengths = train.lengths
    settings = {
        "rows": len(lengths),
        "validation_rows": len(validation.ids),
        "tokens": sum(lengths),
        "rows_per_batch": derive.ROWS_PER_BATCH,
        "tokens_per_batch": int(derive.tokens_per_batch(lengths, None, max(lengths)).value),
        "learning_rate": derive.ENCODERS.small_rate.value,
        "warm_up": WARM_UP,
    }
    write_rows(work, base, train, validation, settings, data.dataset.labels)
    return validation, settings


if __name__ == "__main__":
    main()
