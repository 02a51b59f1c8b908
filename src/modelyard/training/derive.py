"""What nobody has to set: each value with the reason for it. A value that the project sets is taken as it is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROWS_PER_BATCH = 32  # Devlin et al. (2019), BERT, appendix A.3: fine-tuning works across tasks at 16 or 32 rows
COVERED = 0.999  # share of the train rows that are not cut
MULTIPLE = 8  # tensor cores and vector registers work on multiples of 8
LEAST_UPDATES = 300
EVALUATION_SHARE = 0.2  # of training's time goes to evaluation at most, as long as there is one an epoch
FORWARD_SHARE = 1 / 3  # Kaplan et al. (2020), section 2.1: a backward pass costs two forward passes
MOST_EVALUATIONS = 4

SET = "set in modelyard.yaml"


class Derived(NamedTuple):
    """A setting and why it has this value; `reason` is a phrase."""

    value: float
    reason: str


class Rate(NamedTuple):
    """A published peak learning rate, at so many rows a step, and who published it."""

    value: float
    rows: int
    source: str


class Pretraining(NamedTuple):
    """What the settings of a training from new weights are derived from where they differ from the task's.

    Attributes:
        most_epochs: however few the rows.
        epochs_source: who says so.
        most_tokens: of a mean step.
        tokens_source: who says so.
        least_updates: that are wanted, by smaller steps and more epochs.
    """

    most_epochs: int
    epochs_source: str
    most_tokens: int
    tokens_source: str
    least_updates: int


class Defaults(NamedTuple):
    """What a task's settings are derived from.

    Attributes:
        small_rate: of a model of fewer weights than `small`.
        large_rate: of a larger one.
        small: weights.
        most_epochs: however few the rows.
        epochs_source: who says so.
        longest: the most tokens of a row, whatever the model could read.
        pretraining: from new weights; None: as from old ones, but for the rate.
    """

    small_rate: Rate
    large_rate: Rate
    small: int
    most_epochs: int
    epochs_source: str
    longest: int
    pretraining: Pretraining | None = None


# Devlin et al. (2019), appendix A.3, try 5e-5, 3e-5 and 2e-5: the middle. google-research/bert, "smaller BERT models"
# (Turc et al. 2019), tries 3e-4, 1e-4, 5e-5 and 3e-5 up to 41M. MiniLM, one epoch of the demo's 11,392 rows: at 2e-4
# one of two data orders collapsed to a loss above log 2 after the warm-up (gradient norm 9.6), so the default is the
# value that both share.
# Few rows need more than one pass: Zhang et al. (2021), Revisiting few-sample BERT fine-tuning, and Mosbach et al.
# (2021), On the stability of fine-tuning BERT, find small sets undertrained at 3 epochs and stable at up to 20.
ENCODERS = Defaults(
    small_rate=Rate(5e-5, 32, "within the range of Turc et al. 2019"),
    large_rate=Rate(3e-5, 32, "Devlin et al. 2019"),
    small=50_000_000,
    most_epochs=20,
    epochs_source="Zhang et al. 2021, Mosbach et al. 2021",
    longest=10**9,
)
# Touvron et al. (2023), Llama 2, section 3.1: 2e-5 at 64 rows; Taori et al. (2023), Stanford Alpaca: 3 epochs.
# Touvron et al. (2023), LLaMA: trained at 2,048 tokens. alignment-handbook, recipes/smollm2/sft/config_smol.yaml, takes
# 1e-3 at 128 rows for a base of 135M: 5e-4 at 32, where Llama 2's is 1.4e-5; the default lies about midway on a log
# scale.
DECODERS = Defaults(
    small_rate=Rate(1e-4, 32, "between Touvron et al. 2023 and alignment-handbook's SmolLM2"),
    large_rate=Rate(2e-5, 64, "Touvron et al. 2023"),
    small=1_000_000_000,
    most_epochs=3,
    epochs_source="Taori et al. 2023",
    longest=2_048,
    # Muennighoff et al. (2023), Scaling data-constrained language models: up to 4 passes are about as good as new rows.
    # Brown et al. (2020), GPT-3, table 2.1: 0.5M tokens a step up to 760M weights. Ours: few rows do not make a
    # thousand updates of that size, so steps get smaller, down to 32 rows. AdamW stays that of fine-tuning: its 0.999
    # remembers 700 steps, Brown et al.'s 0.95 14, at 10,000 tokens a step as many tokens as theirs at half a million.
    pretraining=Pretraining(4, "Muennighoff et al. 2023", 524_288, "Brown et al. 2020", 1_000),
)
# transformers' documentation of T5: 1e-4 and 3e-4 by AdamW (its authors' 1e-3 is AdaFactor's, whose steps are relative
# to the weights). fairseq's recipe of BART (examples/bart/README.summarization.md): 3e-5 by Adam. Neither names the
# rows of a step: 32 is ours.
BOTH = DECODERS._replace(
    small_rate=Rate(1e-4, 32, "between fairseq's BART and transformers' T5"),
    large_rate=Rate(3e-5, 32, "fairseq's BART"),
    longest=1_024,
)
# Peak rates of models from new weights by their size: weights, rate, tokens a step, source. nanoGPT's
# config/train_shakespeare_char.py, "with baby networks can afford to go a bit higher"; GPT-3, table 2.1. Ours is to
# take the nearest size on a log scale, for encoders as for decoders, and to scale these too by the square root.
FROM_SCRATCH = (
    (10_700_000, 1e-3, 16_384, "nanoGPT"),
    (125_000_000, 6e-4, 524_288, "Brown et al. 2020"),
    (350_000_000, 3e-4, 524_288, "Brown et al. 2020"),
    (760_000_000, 2.5e-4, 524_288, "Brown et al. 2020"),
    (1_300_000_000, 2e-4, 1_048_576, "Brown et al. 2020"),
    (2_700_000_000, 1.6e-4, 1_048_576, "Brown et al. 2020"),
    (6_700_000_000, 1.2e-4, 2_097_152, "Brown et al. 2020"),
    (13_000_000_000, 1e-4, 2_097_152, "Brown et al. 2020"),
)


def from_scratch(defaults: Defaults, *, parameters: int, mean_tokens: float) -> Defaults:
    """A task's defaults for a model whose weights are new.

    Args:
        defaults: of the task.
        parameters: weights of the model.
        mean_tokens: of a train row, by which a step's tokens are rows.
    """
    _, value, tokens, source = min(FROM_SCRATCH, key=lambda known: abs(math.log(known[0] / parameters)))
    rate = Rate(value, max(1, round(tokens / mean_tokens)), f"{source}, {tokens:,} tokens a step")
    found = defaults._replace(small_rate=rate, large_rate=rate)
    plan = defaults.pretraining
    if plan is None:
        return found
    return found._replace(most_epochs=plan.most_epochs, epochs_source=plan.epochs_source)


def max_length_tokens(lengths: Sequence[int], wanted: int | None, positions: int, longest: int) -> Derived:
    """Where rows are cut.

    Args:
        lengths: tokens of each train row, uncut.
        wanted: `model.max_length_tokens`, at most `positions`.
        positions: the most tokens that the model reads.
        longest: as in `Defaults`.
    """
    if wanted is not None:
        return Derived(wanted, SET)
    needed = int(np.quantile(np.asarray(lengths), COVERED, method="inverted_cdf"))
    rounded = MULTIPLE * math.ceil(needed / MULTIPLE)
    if rounded > longest and positions > longest:
        return Derived(longest, f"the most by default; {COVERED:.1%} of the train rows would need {needed}")
    if rounded > positions:
        return Derived(positions, f"the model's positions; {COVERED:.1%} of the train rows would need {needed}")
    return Derived(
        rounded,
        f"{COVERED:.1%} of the train rows need at most {needed}, rounded up to a multiple of {MULTIPLE}",
    )


def tokens_per_batch(
    lengths: Sequence[int], wanted: int | None, longest: int, plan: Pretraining | None = None
) -> Derived:
    """Budget of one optimiser step, padding not counted.

    Args:
        lengths: tokens of each train row, cut.
        wanted: `train.tokens_per_batch`.
        longest: tokens of the longest of them.
        plan: of a training from new weights, where its steps are others.
    """
    if wanted is not None:
        return Derived(wanted, SET)
    mean = sum(lengths) / len(lengths)
    if plan is not None:
        passed = plan.most_epochs * sum(lengths)
        value = MULTIPLE * (min(plan.most_tokens, passed // plan.least_updates) // MULTIPLE)
        if value >= max(longest, ROWS_PER_BATCH * mean):
            return Derived(
                value,
                f"{plan.least_updates} updates are wanted of {passed} tokens in {plan.most_epochs} epochs, of about "
                f"{plan.most_tokens} each ({plan.tokens_source})",
            )
    rounded = MULTIPLE * math.ceil(ROWS_PER_BATCH * mean / MULTIPLE)
    if rounded < longest:
        return Derived(longest, "room for the longest row")
    return Derived(rounded, f"{ROWS_PER_BATCH} rows (Devlin et al. 2019) of {mean:.1f} tokens, the mean of train")


def epochs(
    wanted: int | None, updates_per_epoch: float, defaults: Defaults, plan: Pretraining | None = None
) -> Derived:
    """Passes over the train rows: as many as give 300 updates, or those of pre-training, within the task's most.

    Evaluation may stop earlier.

    Args:
        wanted: `train.epochs`.
        updates_per_epoch: optimiser steps of one pass.
        defaults: of the task.
        plan: of a training from new weights, where it wants more.
    """
    if wanted is not None:
        return Derived(wanted, SET)
    least = LEAST_UPDATES if plan is None else plan.least_updates
    value = min(defaults.most_epochs, max(1, math.ceil(least / updates_per_epoch)))
    return Derived(
        value,
        f"{updates_per_epoch:.0f} updates an epoch, and {least} are wanted within {defaults.most_epochs} "
        f"epochs ({defaults.epochs_source})",
    )


def learning_rate(wanted: float | None, defaults: Defaults, *, parameters: int, rows_per_step: float) -> Derived:
    """Peak learning rate: the published one for a model of this size, scaled by the square root of the batch.

    The square root is the rule for Adam: Malladi et al. (2022), On the SDEs and scaling rules for adaptive gradient
    algorithms, the square root scaling rule.

    Args:
        wanted: `train.learning_rate`.
        defaults: of the task.
        parameters: weights of the model.
        rows_per_step: mean rows of an optimiser step.
    """
    if wanted is not None:
        return Derived(wanted, SET)
    reference, rows, source = defaults.small_rate if parameters < defaults.small else defaults.large_rate
    value = float(f"{reference * math.sqrt(rows_per_step / rows):.3g}")
    return Derived(
        value,
        f"{reference:g} at {rows} rows for {parameters / 1e6:.1f}M weights ({source}), times the square root "
        f"of {rows_per_step:.1f} rows a step over {rows} (Malladi et al. 2022)",
    )


def evaluations_per_epoch(train_tokens: int, validation_tokens: int) -> Derived:
    """How often an epoch stops to evaluate: 1 to 4 times, as `EVALUATION_SHARE` of training's time allows.

    Args:
        train_tokens: of all train rows.
        validation_tokens: of all validation rows.
    """
    cost = FORWARD_SHARE * validation_tokens / train_tokens
    value = min(MOST_EVALUATIONS, max(1, int(EVALUATION_SHARE / cost)))
    return Derived(value, f"one evaluation costs about {cost:.1%} of an epoch, a fifth of its time may go to them")
