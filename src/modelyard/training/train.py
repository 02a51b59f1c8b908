"""`modelyard train`: from `prepared/` and a base model to `model/` and `reports/train.json`."""

import contextlib
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import PreTrainedModel

from modelyard.artifacts.files import check_output, digest_file, replacing_folder, write_json
from modelyard.artifacts.model import MARK, Training
from modelyard.artifacts.prepared import MARK as DATASET_FILE
from modelyard.artifacts.prepared import Prepared, read_prepared
from modelyard.artifacts.reports import ANSWERS_FILE, METRICS_FILE, recording, refuse_failed, write_report
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement, Report
from modelyard.progress import Progress, silent
from modelyard.project.load import FILE_NAME
from modelyard.project.model import ModelSection
from modelyard.project.schema import ProjectSchema
from modelyard.tasks.classification import load_tokenizer
from modelyard.tasks.written import Pair
from modelyard.training import lora
from modelyard.training import settings as chosen
from modelyard.training.base import TOKENIZER_FILES, check_tokenizer, digest_base, find_base, positions_of
from modelyard.training.batches import Rows
from modelyard.training.checkpoint import About, Saved, agreed, checkpoints_of, newest, remove_all
from modelyard.training.derive import Derived
from modelyard.training.group import Group, joined
from modelyard.training.kind import Evaluated, Kind
from modelyard.training.kinds import KINDS
from modelyard.training.loop import PATIENCE, Fitted, Scheduled, evaluate, fit, schedule
from modelyard.training.memory import choose_tokens, usual_or_not, within
from modelyard.training.metrics import nobody, recorded, unwritable
from modelyard.training.objective import Objective
from modelyard.training.precision import LEAST_STEPS, check_precision, choose_precision, step_on_copies
from modelyard.training.saving import Saver, noting_signals
from modelyard.training.sharding import check_sharding, gathered, is_sharded, shard
from modelyard.training.step import Precision, compute_again
from modelyard.training.surroundings import (
    allow_what_has_none,
    keeping_freed_memory,
    quiet_transformers,
    reproducible,
)
from modelyard.training.watching import Watch, padding_share, peak_flops
from modelyard.training.writing import Answer, save_answers, write_to_rows

if TYPE_CHECKING:
    from peft import LoraModel

STAGE = "train"


@dataclass(frozen=True)
class Excerpt:
    """A part of a training, for a proof.

    Attributes:
        steps: the first so many of the schedule are taken; the one in the middle and the last are evaluated.
        every_seconds: between two saves.
    """

    steps: int
    every_seconds: float


def train(
    settings: ProjectSchema,
    *,
    root: Path,
    prepared: Path,
    output: Path,
    reports: Path,
    excerpt: Excerpt | None = None,
    progress: Progress = silent,
) -> Report:
    """Train the base model, or a new one of its config, on a prepared data set, in all processes started together.

    Writes `output` (the weights of the lowest validation loss, the tokenizer, `training.json`), `reports/train.json`
    and, line by line, the figures of every step in `reports/train.metrics.jsonl`. The same data, settings and machine
    give the same bytes in all but the last, where `train.precision` is set or `auto` measures the same winner; also
    where the training was killed and went on from `output` with `.checkpoints` added to its name, which is removed in
    the end.

    Args:
        settings: of the project.
        root: folder that `model.base` is relative to.
        prepared: written by `check`.
        output: the model's folder.
        reports: folder of the reports; a FAIL in its `check.json` stops here.
        excerpt: the part of the training that is taken; None: all of it.
        progress: told about every step.

    Raises:
        GateFailed: `check` failed.
        InputError: data, base model, settings or output cannot be used, or a loss is not a finite number, or the
            checkpoints are of another training or cannot be written.
        Stopped: SIGTERM or SIGINT asked for an end while steps were taken; the training is saved.
    """
    with joined() as group, recording(reports, STAGE) if group.first else contextlib.nullcontext():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind, section = _kind(settings), _model_section(settings)
        refuse_failed(reports, ["check"])
        check_output(output, mark=MARK)
        check_precision(settings.train.precision, device)
        if sharded := settings.train.sharded and group.size > 1:
            check_sharding(precision=settings.train.precision, lora_rank=settings.train.lora_rank)
        data = _read_data(prepared, settings, kind)
        chosen.check_fresh(section, settings.train)
        base = find_base(section.base, section.revision, root=root, fresh=section.fresh)
        with reproducible(settings.train.seed), quiet_transformers(), keeping_freed_memory():
            # no name here refers to the model: it is gone when the group ends, as `joined` needs it
            report = _train(
                _ready(settings, kind, data, base, device, progress, sharded=sharded),
                output,
                reports,
                excerpt,
                group,
                progress,
            )
        if group.first:
            write_report(reports, report)
            remove_all(checkpoints_of(output))
        group.wait()  # whoever started the processes ends all when one of them ends with a status
    return report


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
    train: Rows
    validation: Rows
    cut: list[Measurement]
    derived: dict[str, Derived]
    objective: Objective
    planned: list[Scheduled]
    training: Training


def _ready(
    settings: ProjectSchema,
    kind: Kind,
    data: Prepared,
    base: Path,
    device: torch.device,
    progress: Progress,
    *,
    sharded: bool,
) -> Ready:
    fresh = _model_section(settings).fresh
    model = kind.load(base, data, settings.train.seed, fresh)
    if not sharded:  # else no device has room for it: what is asked before it is divided is asked on the CPU
        model.to(device)
    if settings.train.activation_checkpointing:
        compute_again(model)
    adapter = None if settings.train.lora_rank is None else lora.attach(model, settings.train.lora_rank)
    train_rows, validation_rows, max_length, cut = _read_rows(settings, kind, data, base, model, progress)
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
        train=train_rows,
        validation=validation_rows,
        cut=cut,
        derived=derived,
        objective=objective,
        planned=_schedule(settings, train_rows.lengths, derived, packs=objective.packs),
        training=_training_of(settings, data, base, derived),
    )


def _train(
    ready: Ready, output: Path, reports: Path, excerpt: Excerpt | None, group: Group, progress: Progress
) -> Report:
    model, validation = ready.model, ready.validation
    steps = ready.planned if excerpt is None else _cut_short(ready.planned, excerpt.steps)
    varies = allow_what_has_none(lambda: step_on_copies(model, ready.train, ready.objective))
    facts = ready.training.model_dump(mode="json", include={"task", "labels", "base", "prepared"})
    facts |= ready.training.settings | {"steps": len(steps)}
    saved = agreed(newest(checkpoints_of(output), facts), group)
    ready, unusual = _fitting(ready, saved, group)
    objective = ready.objective
    with recorded(reports / METRICS_FILE, saved) if group.first else contextlib.nullcontext(nobody) as record:
        about = group.from_first(_about(ready, facts, saved, record, group, progress))
        before = None
        if ready.kind.asks_before and not _model_section(ready.settings).fresh:
            before = evaluate(model, validation, objective, group=group, progress=progress)
        watch = Watch(
            model, ready.train, objective, len(steps), group.size, _peak(model, about.precision, steps, group)
        )
        every, hours = (excerpt.every_seconds if excerpt else None), ready.settings.train.hours_between_failures
        with noting_signals() as asked:
            fitted = fit(
                model,
                ready.train,
                validation,
                objective,
                steps,
                precision=about.precision,
                seed=ready.settings.train.seed,
                record=record,
                saver=Saver(checkpoints_of(output), about, saved, record, asked, hours, every),
                watch=watch,
                group=group,
                progress=progress,
            )
    merged = _merged(ready, fitted, group, progress)
    written = _written(ready, group, progress)
    used = ready.training.settings | {"precision": about.precision}
    used |= {"tokens_per_forward": objective.tokens_per_forward}
    now = {"settings": used, "history": fitted.history, "best_step": fitted.best_step}
    trained = gathered(model, lambda: _loaded(ready), group.first)
    if trained is not None:
        _write_model(trained, ready.base, ready.training.model_copy(update=now), output)
        save_answers(written, reports / ANSWERS_FILE)
    notes = [
        *unusual,
        *_varies(varies),
        *([] if saved is None else _resumed(saved, group.size, sharded=is_sharded(model))),
    ]
    return _report(ready, about, fitted, before, written, merged, _padding(ready, group), len(steps), notes)


def _loaded(ready: Ready) -> PreTrainedModel:
    """The model as it was before the first step, on the CPU."""
    section, seed = _model_section(ready.settings), ready.settings.train.seed
    return ready.kind.load(ready.base, ready.data, seed, section.fresh)


def _merged(ready: Ready, fitted: Fitted, group: Group, progress: Progress) -> list[Verdict]:
    """Add LoRA's updates to the weights, where there are some, and judge whether the model is still the same."""
    if ready.adapter is None:
        return []
    lora.merge(ready.adapter)
    again = evaluate(ready.model, ready.validation, ready.objective, group=group, progress=progress)
    return [lora.parity(fitted.outputs, again, ready.validation, ready.objective)]


def _written(ready: Ready, group: Group, progress: Progress) -> list[Answer]:
    """What the trained model writes to rows of validation, where its task is to write."""
    frame = ready.data.split("validation")
    return write_to_rows(
        ready.model,
        load_tokenizer(ready.base),
        ready.train,
        ready.validation,
        dict(zip(frame["source"].to_list(), ready.kind.wanted(frame, ready.data.dataset.shape), strict=True)),
        positions=positions_of(ready.model)[0],
        seed=ready.settings.train.seed,
        group=group,
        progress=progress,
    )


def _padding(ready: Ready, group: Group) -> Measurement:
    """Padding of the whole plan, taken or not, so that a training that stopped early says the same.

    It is laid out once more for that, and by one process: the others wait.
    """
    planned = [now.batch for now in ready.planned]
    share = group.from_first(padding_share(planned, ready.train, ready.objective) if group.first else 0.0)
    exact = Interval.exact(share, n=len(ready.train.ids), unit="fraction")
    return Measurement(name="padding_share", subject="train", interval=exact)


def _report(
    ready: Ready,
    about: About,
    fitted: Fitted,
    before: NDArray[np.float32] | None,
    written: Sequence[Answer],
    merged: list[Verdict],
    padding: Measurement,
    steps: int,
    notes: list[str],
) -> Report:
    frame, known, train = ready.data.split("validation"), ready.data.dataset, ready.settings.train
    vocabulary = ready.model.get_input_embeddings().num_embeddings
    done = Evaluated(
        fitted.outputs, before, vocabulary, ready.train, ready.validation, frame, known.slices, known.labels
    )
    pairs = [Pair(one.written, one.wanted) for one in written]
    found = ready.kind.found(done._replace(written=pairs, seed=train.seed))
    precision, why = about.precision, about.precision_reason
    return Report(
        stage=STAGE,
        project=ready.settings.project,
        inputs={"prepared": ready.training.prepared, "base": ready.training.base},
        parameters={
            "seed": train.seed,
            "fresh": _model_section(ready.settings).fresh,
            "lora_rank": train.lora_rank,
            "activation_checkpointing": train.activation_checkpointing,
            "sharded": train.sharded,
            "precision": {"value": precision, "reason": why},
            **{name: {"value": value, "reason": reason} for name, (value, reason) in ready.derived.items()},
        },
        measurements=[*found.measurements, padding, *ready.cut],
        verdicts=[found.verdict, *merged],
        notes=[found.headline, *found.notes, *_notes(fitted, steps, ready.derived, precision, why), *notes],
    )


def _training_of(settings: ProjectSchema, data: Prepared, base: Path, derived: Mapping[str, Derived]) -> Training:
    """What is trained on what and how, before anything is."""
    plain = {"seed": settings.train.seed, "precision": settings.train.precision}
    if settings.train.lora_rank is not None:
        plain["lora_rank"] = settings.train.lora_rank
    if _model_section(settings).fresh:
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


def _fitting(ready: Ready, saved: Saved | None, group: Group) -> tuple[Ready, list[str]]:
    """Forward passes of as many tokens as the memory holds, or as before; and a note where that is not usual."""
    wanted = ready.settings.train.precision
    if saved is None:
        batches = [now.batch for now in ready.planned]
        precision: Precision = "fp32" if wanted == "auto" else wanted
        room = choose_tokens(ready.model, ready.train, batches, ready.objective, precision=precision, group=group)
    else:
        room = Derived(saved.state.tokens_per_forward, saved.state.tokens_per_forward_reason)
    derived = {**ready.derived, "tokens_per_forward": room}
    notes = usual_or_not(derived["tokens_per_batch"].value, room.value, ready.train, group.size)
    return replace(ready, objective=within(ready.objective, int(room.value)), derived=derived), notes


def _about(
    ready: Ready,
    facts: Mapping[str, Any],
    saved: Saved | None,
    record: Callable[[Mapping[str, Any]], None],
    group: Group,
    progress: Progress,
) -> About:
    """What the checkpoints belong to, with the precision: as it was where the training goes on, else chosen."""
    room = ready.derived["tokens_per_forward"]
    if saved is not None:
        return About(facts, saved.state.precision, saved.state.precision_reason, room)
    batches, wanted = [now.batch for now in ready.planned], ready.settings.train.precision
    precision, why, seconds = choose_precision(
        ready.model, ready.train, batches, ready.objective, wanted=wanted, group=group, progress=progress
    )
    record({"precision_seconds": seconds})
    return About(facts, precision, why, room)


def _varies(reason: str) -> list[str]:
    """The note that another training will not give the same bits, where torch says why."""
    return [f"not the same bit for bit when it is trained again: {reason}"] if reason else []


def _resumed(saved: Saved, processes: int, *, sharded: bool) -> list[str]:
    """The note that this training went on elsewhere than it began, where that may change its last bits."""
    differences = saved.differences(processes, sharded=sharded)
    if not differences:
        return []
    return [f"went on after step {saved.state.step} elsewhere than it began ({', '.join(differences)}): the same rows"]


def _peak(model: PreTrainedModel, precision: Precision, steps: Sequence[Scheduled], group: Group) -> float | None:
    """What this machine's matrix products reach, where the training is long enough for a second to pay."""
    return peak_flops(model.device, precision) if group.first and len(steps) >= LEAST_STEPS else None


def _cut_short(steps: Sequence[Scheduled], most: int) -> list[Scheduled]:
    """The first steps, of which the middle one and the last are evaluated."""
    kept = steps[:most]
    evaluated = {math.ceil(len(kept) / 2), len(kept)}
    return [now._replace(evaluate=now.step in evaluated) for now in kept]


def _read_rows(
    settings: ProjectSchema, kind: Kind, data: Prepared, base: Path, model: PreTrainedModel, progress: Progress
) -> tuple[Rows, Rows, Derived, list[Measurement]]:
    """Train and validation rows as token ids, where they were cut, and what share of each was."""
    tokenizer = load_tokenizer(base)
    check_tokenizer(tokenizer, model, base)
    uncut_train = kind.read(tokenizer, base, data, "train", progress)
    uncut_validation = kind.read(tokenizer, base, data, "validation", progress)
    max_length = chosen.max_length(_model_section(settings), kind.defaults, kind.needed(uncut_train), model)
    train_rows, cut_train = kind.cut(tokenizer, uncut_train, data, "train", int(max_length.value))
    validation_rows, cut_validation = kind.cut(tokenizer, uncut_validation, data, "validation", int(max_length.value))
    return train_rows, validation_rows, max_length, [*cut_train, *cut_validation]


def _kind(settings: ProjectSchema) -> Kind:
    """What the project's task does, where this version can train it."""
    if settings.task in KINDS:
        return KINDS[settings.task]
    message = f"the task is {settings.task}: this version trains {' and '.join(KINDS)}, and checks the data of others"
    raise InputError(Problem(message, "run `modelyard check`, or set another task", FILE_NAME))


def _model_section(settings: ProjectSchema) -> ModelSection:
    """The settings of the model."""
    if settings.model is None:
        next_step = "add model: {base: FOLDER}, as `modelyard fetch` prints it"
        raise InputError(Problem("there is no model to train", next_step, FILE_NAME))
    return settings.model


def _read_data(folder: Path, settings: ProjectSchema, kind: Kind) -> Prepared:
    data = read_prepared(folder)
    if data.dataset.task != settings.task:
        message = f"the prepared data are for {data.dataset.task}, the project's task is {settings.task}"
        raise InputError(Problem(message, "run `modelyard check` again", str(folder)))
    if problems := kind.problems(data):
        raise InputError(problems)
    return data


def _schedule(
    settings: ProjectSchema, lengths: Sequence[int], derived: Mapping[str, Derived], *, packs: bool
) -> list[Scheduled]:
    return list(
        schedule(
            lengths,
            epochs=int(derived["epochs"].value),
            tokens_per_batch=int(derived["tokens_per_batch"].value),
            learning_rate=derived["learning_rate"].value,
            evaluations_per_epoch=int(derived["evaluations_per_epoch"].value),
            seed=settings.train.seed,
            packs=packs,
        )
    )


def _write_model(model: PreTrainedModel, base: Path, training: Training, output: Path) -> None:
    with replacing_folder(output, mark=MARK) as folder:
        try:
            model.save_pretrained(folder, max_shard_size="1000GB")  # one file: `model.safetensors`
        except SafetensorError as error:  # its word for what the system refused
            raise unwritable(output, str(error), "--output") from error
        for name in TOKENIZER_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        write_json(folder / MARK, training)


def _notes(fitted: Fitted, steps: int, derived: Mapping[str, Derived], precision: str, why: str) -> list[str]:
    stopped = f"; stopped early after {PATIENCE} evaluations without a lower loss" if fitted.stopped_early else ""
    return [
        f"the weights are those of step {fitted.best_step} of {steps}, with the lowest validation loss{stopped}",
        f"precision {precision}: {why}",
        *(f"{name} {value:g}: {reason}" for name, (value, reason) in derived.items()),
    ]
