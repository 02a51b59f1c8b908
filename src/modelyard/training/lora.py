"""LoRA: a few weights beside each matrix are trained in its place, and in the end added to it.

Hu et al. (2021), LoRA: low-rank adaptation of large language models. Beside every linear layer, as Dettmers et al.
(2023), QLoRA, found needed to match full fine-tuning (section 4). The scale of the update is 1: tuning it is roughly
tuning the learning rate (Hu et al., section 4.1).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.training.batches import Rows
from modelyard.training.derive import Defaults, Rate
from modelyard.training.objective import Objective

if TYPE_CHECKING:
    from peft import LoraModel

RATE = Rate(2e-4, 16, "Dettmers et al. 2023")
SAME_LOSS = 1e-3
"""Nats of a label or token between the model with its updates beside it and the one with them added."""
_NAME = "default"


def attach(model: PreTrainedModel, rank: int) -> "LoraModel":
    """Freeze a model but for a new head, and set updates of so many dimensions beside its linear layers, in place.

    Args:
        model: a classifier or a language model.
        rank: of each update.

    Returns:
        What `merge` takes.
    """
    from peft import LoraConfig, LoraModel  # takes as long to load as a step, and few trainings want it

    language = model.get_output_embeddings() is not None
    task = "CAUSAL_LM" if language else "SEQ_CLS"
    settings = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules="all-linear", task_type=task)
    adapter = LoraModel(model, settings, _NAME)
    if not language:
        for name, weight in model.named_parameters():
            if not name.startswith(f"{model.base_model_prefix}."):
                weight.requires_grad_(True)
    return adapter


def merge(adapter: "LoraModel") -> None:
    """Add every update to its matrix and take it away: the model is a plain one again."""
    adapter.merge_and_unload()


def with_rate(defaults: Defaults) -> Defaults:
    """A task's defaults with the learning rate of LoRA."""
    return defaults._replace(small_rate=RATE, large_rate=RATE)


def parity(beside: NDArray[np.float32], added: NDArray[np.float32], rows: Rows, objective: Objective) -> Verdict:
    """Whether the merged model is the one that was trained: the largest change of a row's mean loss.

    Args:
        beside: outputs of the validation rows before `merge`, shape (rows, width).
        added: the same after it.
        rows: of validation.
        objective: that was minimised.
    """
    before, after = (objective.judged(outputs, rows)[0] for outputs in (beside, added))
    largest = float(np.abs((after - before) / rows.weights).max())
    return judge(
        Interval.exact(largest, n=len(rows.ids), unit="nats"),
        at_most(SAME_LOSS),
        rule="lora_merge_parity",
        scope="split:validation",
        next_step="train in fp32, or report it: the merged model is not the one that was trained",
    )
