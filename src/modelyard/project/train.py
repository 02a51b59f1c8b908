"""The `train:` section."""

from typing import Literal

from pydantic import Field

from modelyard.project.section import Section


class TrainSection(Section):
    """How the model is fine-tuned. null means: derived, and the derivation is written to the report."""

    epochs: int | None = Field(None, ge=1, le=1000)
    """Passes over the train split; evaluation may stop earlier. null: by updates, 1 to 20 (causal_lm 3, fresh 4)."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the forward and backward pass. auto: the fastest one measured on this machine."""
    learning_rate: float | None = Field(None, gt=0, lt=1)
    """Peak learning rate. null: derived from the batch."""
    tokens_per_batch: int | None = Field(None, ge=16)
    """About so many tokens in one optimiser step, padding not counted. null: derived."""
    lora_rank: int | None = Field(None, ge=1, le=1024)
    """Dimensions of the updates that LoRA trains in the place of the weights. null: the weights themselves."""
    activation_checkpointing: bool = False
    """Compute the layers again for the backward pass in the place of keeping them: less memory, a third more work."""
    sharded: bool = False
    """Divide weights, gradients and moments among the processes (FSDP2), for a model that does not fit one device."""
    hours_between_failures: float | None = Field(None, gt=0, le=100_000)
    """Mean hours between two kills of a training, which decide how often it is saved. null: a day, and what it met."""
    seed: int = Field(7, ge=0)
    """Seed of the new weights, of dropout and of the order of the batches."""
