"""The settings of a training that the project may leave out, from its rows and its model."""

from collections.abc import Sequence

from transformers import PreTrainedModel

from modelyard.errors import InputError, Problem
from modelyard.project.load import FILE_NAME
from modelyard.project.model import ModelSection
from modelyard.project.train import TrainSection
from modelyard.training import derive, lora
from modelyard.training.base import DEFAULT_POSITIONS, positions_of
from modelyard.training.batches import Rows, steps_per_epoch
from modelyard.training.derive import Defaults, Derived


def check_fresh(section: ModelSection, train: TrainSection) -> None:
    """Refuse settings that do not go with new weights.

    Raises:
        InputError: LoRA, which leaves the weights as they are.
    """
    if section.fresh and train.lora_rank is not None:
        message = f"model.fresh is true and train.lora_rank is {train.lora_rank}: LoRA leaves weights as they are drawn"
        raise InputError(Problem(message, "set one of the two to its default, false or null", FILE_NAME))


def max_length(
    section: ModelSection, defaults: Defaults, lengths: Sequence[int], model: PreTrainedModel
) -> derive.Derived:
    """Where rows are cut.

    Args:
        section: of the model.
        defaults: of the task.
        lengths: tokens of each train row, uncut.
        model: that reads them.

    Raises:
        InputError: the project wants more than the model reads.
    """
    # relative positions, as T5's, have no last one: an encoder keeps to what encoders are trained at
    wanted = section.max_length_tokens
    most = max(wanted or 0, defaults.longest) if model.config.is_encoder_decoder else DEFAULT_POSITIONS
    positions, where = positions_of(model, most)
    if wanted is not None and wanted > positions:
        raise InputError(
            Problem(
                f"model.max_length_tokens is {wanted}: {where}",
                f"set it to at most {positions}, or to null",
                FILE_NAME,
            )
        )
    return derive.max_length_tokens(lengths, wanted, positions, defaults.longest)


def of_training(
    train: TrainSection, defaults: Defaults, model: PreTrainedModel, rows: Rows, validation: Rows, *, fresh: bool
) -> dict[str, Derived]:
    """Every setting of the loop.

    Args:
        train: the section of that name.
        defaults: of the task.
        model: to be trained.
        rows: of train, cut.
        validation: rows of it, cut.
        fresh: whether the weights are new.
    """
    lengths, plan = rows.lengths, defaults.pretraining if fresh else None
    parameters = sum(weight.numel() for weight in model.parameters())
    if train.lora_rank is not None:
        defaults = lora.with_rate(defaults)
    if fresh:
        defaults = derive.from_scratch(defaults, parameters=parameters, mean_tokens=sum(lengths) / len(lengths))
    budget = derive.tokens_per_batch(lengths, train.tokens_per_batch, max(lengths), plan)
    evaluations = derive.evaluations_per_epoch(sum(lengths), sum(validation.lengths))
    rows_per_step = max(1.0, len(lengths) / steps_per_epoch(sum(lengths), budget.value))
    rate = derive.learning_rate(train.learning_rate, defaults, parameters=parameters, rows_per_step=rows_per_step)
    epochs = derive.epochs(train.epochs, len(lengths) / rows_per_step, defaults, plan)
    return {"epochs": epochs, "tokens_per_batch": budget, "evaluations_per_epoch": evaluations, "learning_rate": rate}
