"""`modelyard train`: from `prepared/` and a base model to `model/` and `reports/train.json`."""

import contextlib
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import PreTrainedModel

from modelyard.artifacts.files import check_output, digest_folder, replacing_folder, write_json
from modelyard.artifacts.model import MARK
from modelyard.artifacts.reports import ANSWERS_FILE, METRICS_FILE, recording, refuse_failed, write_report
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement, Report
from modelyard.progress import Progress, silent
from modelyard.project.schema import ProjectSchema
from modelyard.tasks.written import Pair
from modelyard.training import lora
from modelyard.training import settings as chosen
from modelyard.training.base import TOKENIZER_FILES, find_base, positions_of
from modelyard.training.checkpoint_folder import agreed, checkpoints_of, held, newest, remove_all
from modelyard.training.checkpoint_state import About, Saved
from modelyard.training.derive import SET, Derived
from modelyard.training.diverging import loss_without_training
from modelyard.training.formats import Precision
from modelyard.training.group import Group, joined
from modelyard.training.kind import Evaluated
from modelyard.training.loop import PATIENCE, Fitted, Scheduled, evaluate, fit, mean_weight
from modelyard.training.memory import check_copy, choose_tokens, telling_what_lacks, usual_or_not, within
from modelyard.training.metrics import nobody, recorded, unwritable
from modelyard.training.precision import LEAST_STEPS, check_precision, choose_precision, step_on_copies
from modelyard.training.ready import Ready, facts_of, kind_of, make_ready, model_section, read_data
from modelyard.training.saving import Saver, noting_signals
from modelyard.training.sharding import gathered, is_sharded
from modelyard.training.surroundings import allow_what_has_none, for_training
from modelyard.training.watching import Watch, padding_share, peak_flops
from modelyard.training.writing import Answer, save_answers, write_to_rows

STAGE = "train"


@dataclass(frozen=True)
class Excerpt:
    """A part of a training, for a proof.

    Attributes:
        steps: the first so many of the schedule are taken; the one in the middle and the last are evaluated.
        every_seconds: between two saves.
        tokens_per_forward: the most of a forward pass; None: as the memory holds.
    """

    steps: int
    every_seconds: float
    tokens_per_forward: int | None = None


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
    give the same bytes in all but the last, where `train.precision` is set or `auto` measures the same winner, and the
    memory that is free holds the same forward passes; also where the training was killed and went on from `output` with
    `.checkpoints` added to its name, which is removed in the end.

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
            memory is too small, or the checkpoints are of another training or cannot be written, or another training is
            going that writes to the same output.
        Stopped: SIGTERM or SIGINT asked for an end while steps were taken; the training is saved.
    """
    with joined() as group, recording(reports, STAGE) if group.first else contextlib.nullcontext():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind, section = kind_of(settings), model_section(settings)
        refuse_failed(reports, ["check"])
        check_output(output, mark=MARK)
        check_precision(settings.train.precision, device)
        data = read_data(prepared, settings, kind)
        chosen.check_fresh(section, settings.train)
        base = find_base(section.base, section.revision, root=root, fresh=section.fresh)
        sharded = settings.train.sharded and group.size > 1
        holding = held(checkpoints_of(output)) if group.first else contextlib.nullcontext()
        with holding, telling_what_lacks(), for_training(settings.train.seed):
            # no name here refers to the model: it is gone when the group ends, as `joined` needs it
            report = _train(
                make_ready(settings, kind, data, base, device, progress, sharded=sharded),
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


def _train(
    ready: Ready, output: Path, reports: Path, excerpt: Excerpt | None, group: Group, progress: Progress
) -> Report:
    model, section = ready.model, ready.settings.train
    steps = ready.planned if excerpt is None else _cut_short(ready.planned, excerpt.steps)
    check_copy(model, group)
    varies = allow_what_has_none(lambda: step_on_copies(model, ready.train, ready.objective))
    facts = facts_of(ready, steps)
    saved = agreed(newest(checkpoints_of(output), facts), group)
    ready, unusual = _fitting(ready, saved, excerpt, group)
    with recorded(reports / METRICS_FILE, saved) if group.first else contextlib.nullcontext(nobody) as record:
        about = group.from_first(_about(ready, facts, saved, record, group, progress))
        before = _of_base(ready, group, progress)
        peak = _peak(model, about.precision, steps, group)
        every = excerpt.every_seconds if excerpt else None
        with noting_signals() as asked:
            fitted = fit(
                model,
                ready.train,
                ready.validation,
                ready.objective,
                steps,
                precision=about.precision,
                seed=section.seed,
                record=record,
                step_weight=mean_weight(ready.train, ready.planned),
                saver=Saver(checkpoints_of(output), about, saved, record, asked, section.hours_between_failures, every),
                watch=Watch(model, ready.train, ready.objective, len(steps), group, peak),
                group=group,
                untrained_loss=loss_without_training(model, ready.validation, ready.objective, before),
                progress=progress,
            )
    merged = _merged(ready, fitted, group, progress)
    written = _written(ready, group, progress)
    model_digest = _write_model(ready, fitted, about.precision, output, reports, group)
    if group.first:
        save_answers(written, reports / ANSWERS_FILE)
    notes = [*unusual, *_varies(varies), *_resumed(saved, about, model, group)]
    done = _Done(about, fitted, before, written, merged, model_digest, len(steps))
    return _report(ready, done, _padding(ready, group), notes)


def _of_base(ready: Ready, group: Group, progress: Progress) -> NDArray[np.float32] | None:
    """What the base model gives for the validation rows, where the task asks and there is one."""
    if not ready.kind.asks_before or model_section(ready.settings).fresh:
        return None
    return evaluate(ready.model, ready.validation, ready.objective, group=group, progress=progress)


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
        ready.tokenizer,
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

    It is laid out once more for that.
    """
    share = padding_share([now.batch for now in ready.planned], ready.train, ready.objective, group.size)
    exact = Interval.exact(share, n=len(ready.train.ids), unit="fraction")
    return Measurement(name="padding_share", subject="train", interval=exact)


class _Done(NamedTuple):
    """What came of a training.

    Attributes:
        about: what its checkpoints belonged to.
        fitted: how it went.
        before: outputs of the base model, as in `Evaluated`.
        written: answers to rows of validation.
        merged: verdicts on a model to which LoRA's updates were added.
        model_digest: of the folder that was written.
        steps: of the schedule.
    """

    about: About
    fitted: Fitted
    before: NDArray[np.float32] | None
    written: Sequence[Answer]
    merged: list[Verdict]
    model_digest: str
    steps: int


def _report(ready: Ready, done: _Done, padding: Measurement, notes: list[str]) -> Report:
    frame, known, train = ready.data.split("validation"), ready.data.dataset, ready.settings.train
    vocabulary = ready.model.get_input_embeddings().num_embeddings
    evaluated = Evaluated(
        done.fitted.outputs, done.before, vocabulary, ready.train, ready.validation, frame, known.slices, known.labels
    )
    pairs = [Pair(one.written, one.wanted) for one in done.written]
    found = ready.kind.found(evaluated._replace(written=pairs, seed=train.seed))
    precision, why = done.about.precision, done.about.precision_reason
    return Report(
        stage=STAGE,
        project=ready.settings.project,
        inputs={"prepared": ready.training.prepared, "base": ready.training.base},
        parameters={
            "model": done.model_digest,
            "seed": train.seed,
            "fresh": model_section(ready.settings).fresh,
            "lora_rank": train.lora_rank,
            "activation_checkpointing": train.activation_checkpointing,
            "sharded": train.sharded,
            "precision": {"value": precision, "reason": why},
            **{name: {"value": value, "reason": reason} for name, (value, reason) in ready.derived.items()},
        },
        measurements=[*found.measurements, padding, *ready.cut],
        verdicts=[found.verdict, *done.merged],
        notes=[
            found.headline,
            *found.notes,
            *_notes(done.fitted, done.steps, ready.derived, precision, why),
            *notes,
        ],
    )


def _fitting(ready: Ready, saved: Saved | None, excerpt: Excerpt | None, group: Group) -> tuple[Ready, list[str]]:
    """Forward passes of as many tokens as the memory holds, and of no more than before; a note on unusual ones."""
    if excerpt is not None and excerpt.tokens_per_forward is not None:
        room = Derived(excerpt.tokens_per_forward, SET)
    else:
        room = choose_tokens(
            ready.model,
            ready.train,
            [now.batch for now in ready.planned],
            ready.objective,
            precision=ready.settings.train.precision if saved is None else saved.state.precision,
            group=group,
            most=None if saved is None else saved.state.tokens_per_forward,
        )
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


def _resumed(saved: Saved | None, about: About, model: PreTrainedModel, group: Group) -> list[str]:
    """The note that this training went on elsewhere than it began, where that may change its last bits."""
    if saved is None:
        return []
    tokens = about.tokens_per_forward.value
    differences = saved.differences(group.size, sharded=is_sharded(model), tokens_per_forward=tokens)
    if not differences:
        return []
    return [f"went on after step {saved.state.step} elsewhere than it began ({'; '.join(differences)}): the same rows"]


def _peak(model: PreTrainedModel, precision: Precision, steps: Sequence[Scheduled], group: Group) -> float | None:
    """What this machine's matrix products reach, where the training is long enough for a second to pay."""
    return peak_flops(model.device, precision) if group.first and len(steps) >= LEAST_STEPS else None


def _cut_short(steps: Sequence[Scheduled], most: int) -> list[Scheduled]:
    """The first steps, of which the middle one and the last are evaluated."""
    kept = steps[:most]
    evaluated = {math.ceil(len(kept) / 2), len(kept)}
    return [now._replace(evaluate=now.step in evaluated) for now in kept]


def _write_model(ready: Ready, fitted: Fitted, precision: Precision, output: Path, reports: Path, group: Group) -> str:
    """Write the model's folder, in the first process; the others give it their parts of the weights.

    The report of the model before is removed with it.

    Returns:
        The digest of the folder, by which its own report knows it.
    """
    weights = gathered(ready.model, first=group.first)
    if not group.first:
        return group.from_first("")
    used = ready.training.settings | {
        "precision": precision,
        "tokens_per_forward": ready.objective.tokens_per_forward,
    }
    now = {"settings": used, "history": fitted.history, "best_step": fitted.best_step}
    with replacing_folder(output, mark=MARK) as folder:
        try:
            # one file: `model.safetensors`
            ready.model.save_pretrained(folder, state_dict=weights, max_shard_size="1000GB")
        except SafetensorError as error:  # its word for what the system refused
            raise unwritable(output, str(error), "--output, where it begins anew") from error
        for name in TOKENIZER_FILES:
            if (ready.base / name).is_file():
                shutil.copyfile(ready.base / name, folder / name)
        write_json(folder / MARK, ready.training.model_copy(update=now))
    # killed from here on, it leaves a model without a report; between these two lines the digest in it tells
    (reports / f"{STAGE}.json").unlink(missing_ok=True)
    return group.from_first(digest_folder(output))


def _notes(fitted: Fitted, steps: int, derived: Mapping[str, Derived], precision: str, why: str) -> list[str]:
    stopped = f"; stopped early after {PATIENCE} evaluations without a lower loss" if fitted.stopped_early else ""
    return [
        f"the weights are those of step {fitted.best_step} of {steps}, with the lowest validation loss{stopped}",
        f"precision {precision}: {why}",
        *(f"{name} {value:g}: {reason}" for name, (value, reason) in derived.items()),
    ]
