"""What is known before the first step of a training: data, model, rows, settings and their reasons, the plan."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from modelyard.artifacts.files import digest_file
from modelyard.artifacts.model import Training
from modelyard.artifacts.prepared import MARK as DATASET_FILE
from modelyard.artifacts.prepared import Prepared, read_prepared
from modelyard.errors import InputError, Problem
from modelyard.evidence.report import Measurement
from modelyard.progress import Progress
from modelyard.project.load import FILE_NAME
from modelyard.project.model import ModelSection
from modelyard.project.schema import ProjectSchema
from modelyard.tasks.classification import load_tokenizer
from modelyard.training import lora
from modelyard.training import settings as chosen
from modelyard.training.base import check_tokenizer, digest_base
from modelyard.training.batches import Rows
from modelyard.training.checkpoint_state import PLAN
from modelyard.training.derive import Derived
from modelyard.training.kind import Kind
from modelyard.training.kinds import KINDS
from modelyard.training.loop import Scheduled, schedule
from modelyard.training.objective import Objective
from modelyard.training.sharding import shard
from modelyard.training.step import compute_again

if TYPE_CHECKING:
    from peft import LoraModel


def kind_of(settings: ProjectSchema) -> Kind:
    """What the project's task does, where this version can train it."""
    if settings.task in KINDS:
        return KINDS[settings.task]
    message = f"the task is {settings.task}: this version trains {' and '.join(KINDS)}, and checks the data of others"
    raise InputError(Problem(message, "run `modelyard check`, or set another task", FILE_NAME))


def model_section(settings: ProjectSchema) -> ModelSection:
    """The settings of the model."""
    if settings.model is None:
        next_step = "add model: {base: FOLDER}, as `modelyard fetch` prints it"
        raise InputError(Problem("there is no model to train", next_step, FILE_NAME))
    return settings.model


def read_data(folder: Path, settings: ProjectSchema, kind: Kind) -> Prepared:
    """The prepared data.

    Raises:
        InputError: they are of another task, or this one cannot be trained on them.
    """
    data = read_prepared(folder)
    if data.dataset.task != settings.task:
        message = f"the prepared data are for {data.dataset.task}, the project's task is {settings.task}"
        raise InputError(Problem(message, "run `modelyard check` again", str(folder)))
    if problems := kind.problems(data):
        raise InputError(problems)
    return data


@dataclass(frozen=True)
class Ready:
    """All that is known before the first step.

    Attributes:
        settings: of the project.
        kind: what its task does.
        data: prepared.
        base: folder of the base model.
        model: to be trained.
        adapter: of LoRA, where it is wanted.
        tokenizer: of the base.
        train: rows.
        validation: rows.
        cut: what became of the long ones.
        derived: settings and why they are so.
        objective: what is minimised.
        planned: every step of the schedule.
        training: what the model's folder will say of it.
    """

    settings: ProjectSchema
    kind: Kind
    data: Prepared
    base: Path
    model: PreTrainedModel
    adapter: "LoraModel | None"
    tokenizer: Tokenizer
    train: Rows
    validation: Rows
    cut: list[Measurement]
    derived: dict[str, Derived]
    objective: Objective
    planned: list[Scheduled]
    training: Training


def make_ready(
    settings: ProjectSchema,
    kind: Kind,
    data: Prepared,
    base: Path,
    device: torch.device,
    progress: Progress,
    *,
    sharded: bool,
) -> Ready:
    """Load the model onto its device, or divide it among the processes; read the rows, derive and plan.

    Raises:
        InputError: model, rows or settings cannot be used.
    """
    fresh = model_section(settings).fresh
    model = kind.load(base, data, settings.train.seed, fresh)
    if not sharded:  # else no device has room for it: what is asked before it is divided is asked on the CPU
        model.to(device)
    if settings.train.activation_checkpointing:
        compute_again(model)
    adapter = None if settings.train.lora_rank is None else lora.attach(model, settings.train.lora_rank)
    tokenizer = load_tokenizer(base)
    check_tokenizer(tokenizer, model, base)
    train_rows, validation_rows, max_length, cut = _read_rows(settings, kind, data, base, model, tokenizer, progress)
    derived = {"max_length_tokens": max_length}
    derived |= chosen.of_training(settings.train, kind.defaults, model, train_rows, validation_rows, fresh=fresh)
    objective = kind.objective(model, train_rows)
    if sharded:
        shard(model, device)
    return Ready(
        settings=settings,
        kind=kind,
        data=data,
        base=base,
        model=model,
        adapter=adapter,
        tokenizer=tokenizer,
        train=train_rows,
        validation=validation_rows,
        cut=cut,
        derived=derived,
        objective=objective,
        planned=_schedule(settings, train_rows, derived, packs=objective.packs),
        training=_training_of(settings, data, base, derived),
    )


def facts_of(ready: Ready, steps: Sequence[Scheduled]) -> dict[str, Any]:
    """Every fact that decides the steps of a training: only an equal one goes on from its checkpoints.

    The tokens and the batches themselves are among them: another version of tokenizers may find other tokens in the
    same rows, another one of numpy may draw another order of them. Validation's decide which weights are kept.

    Args:
        ready: data, model, settings.
        steps: of the plan, as many as are to be taken.
    """
    of_plan = hashlib.sha256()
    for rows in (ready.train, ready.validation):
        of_plan.update(_digest_rows(rows))
    for now in steps:
        of_plan.update(np.array([len(now.batch), *now.batch], dtype="<i8").tobytes())
    facts = ready.training.model_dump(mode="json", include={"task", "labels", "base", "prepared"})
    return facts | ready.training.settings | {"steps": len(steps), PLAN: f"sha256:{of_plan.hexdigest()}"}


def _digest_rows(rows: Rows) -> bytes:
    """Of the tokens, where each row ends, and what is learned of them."""
    digest = hashlib.sha256(np.array(rows.lengths, dtype="<i8").tobytes())
    for row in rows.ids:
        digest.update(np.asarray(row, dtype="<i4").tobytes())
    for marks in rows.learned:
        digest.update(marks)
    digest.update(rows.labels.astype("<i8").tobytes())
    return digest.digest()


def _read_rows(
    settings: ProjectSchema,
    kind: Kind,
    data: Prepared,
    base: Path,
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    progress: Progress,
) -> tuple[Rows, Rows, Derived, list[Measurement]]:
    """Train and validation rows as token ids, where they were cut, and what share of each was."""
    uncut_train = kind.read(tokenizer, base, data, "train", progress)
    uncut_validation = kind.read(tokenizer, base, data, "validation", progress)
    max_length = chosen.max_length(model_section(settings), kind.defaults, kind.needed(uncut_train), model)
    train_rows, cut_train = kind.cut(tokenizer, uncut_train, data, "train", int(max_length.value))
    validation_rows, cut_validation = kind.cut(tokenizer, uncut_validation, data, "validation", int(max_length.value))
    return train_rows, validation_rows, max_length, [*cut_train, *cut_validation]


def _schedule(settings: ProjectSchema, rows: Rows, derived: Mapping[str, Derived], *, packs: bool) -> list[Scheduled]:
    return list(
        schedule(
            rows.lengths,
            epochs=int(derived["epochs"].value),
            tokens_per_batch=int(derived["tokens_per_batch"].value),
            learning_rate=derived["learning_rate"].value,
            evaluations_per_epoch=int(derived["evaluations_per_epoch"].value),
            seed=settings.train.seed,
            packs=packs,
            by_rows=not rows.learned,
        )
    )


def _training_of(settings: ProjectSchema, data: Prepared, base: Path, derived: Mapping[str, Derived]) -> Training:
    """What is trained on what and how, before anything is."""
    plain = {"seed": settings.train.seed, "precision": settings.train.precision}
    if settings.train.lora_rank is not None:
        plain["lora_rank"] = settings.train.lora_rank
    if model_section(settings).fresh:
        plain["fresh"] = True
    return Training(
        task=settings.task,
        labels=data.dataset.labels,
        base=digest_base(base),
        prepared=digest_file(data.folder / DATASET_FILE),
        max_length_tokens=int(derived["max_length_tokens"].value),
        settings=plain | {name: value for name, (value, _) in derived.items()},
        history=[],
        best_step=0,
    )
