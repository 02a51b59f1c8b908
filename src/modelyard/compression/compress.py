"""The stage `compress`: from a trained model to candidates, each with its evidence, and the chosen one."""

import contextlib
from pathlib import Path

from modelyard.artifacts.candidate import MARK, Choice, digest_artefact
from modelyard.artifacts.files import (
    check_output,
    check_writable,
    digest_file,
    digest_folder,
    replacing_folder,
    write_json,
)
from modelyard.artifacts.prepared import MARK as PREPARED_MARK
from modelyard.artifacts.prepared import SPLITS, Prepared, read_prepared
from modelyard.artifacts.reports import cpu_flags, recording, refuse_another_model, refuse_failed, write_report
from modelyard.compression.candidates import make_candidates
from modelyard.compression.export import OPSET
from modelyard.compression.inputs import Trained, encode_rows, index_labels, read_trained
from modelyard.compression.judgements import Judgement, record_judgements
from modelyard.compression.ladder import Climbed, JudgedRows, climb, make_card
from modelyard.compression.parity import choose_evenly
from modelyard.compression.quantise_onnx import can_overflow
from modelyard.compression.quantise_openvino import CALIBRATION_ROWS
from modelyard.compression.reference import FOLDER as REFERENCE
from modelyard.compression.reference import JudgedSplit, Reference, write_reference
from modelyard.engines.base import Row
from modelyard.engines.batching import run_by_length
from modelyard.engines.opening import open_engine
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement, Report
from modelyard.progress import Progress, silent
from modelyard.project.schema import ProjectSchema

STAGE = "compress"


def compress(
    settings: ProjectSchema,
    *,
    prepared: Path,
    model: Path,
    output: Path,
    reports: Path,
    progress: Progress = silent,
) -> Report:
    """Make candidates, judge them against the trained model and choose one.

    Clock times and memory stand in the cards and in `choice.json`; `compress.json` holds what equal work
    finds again; which candidates were judged, and which one is chosen, follows from times.

    Args:
        settings: the project's; `compress:` and `gates:` are used.
        prepared: folder that `check` wrote.
        model: folder that `train` wrote, or any Hugging Face sequence classifier.
        output: where `NAME/`, `reference/` and `choice.json` go; replaced in one step.
        reports: where `compress.json` and `compress.run.json` go; a FAIL in its `check.json` or
            `train.json` stops here, and a `train.json` about another model.
        progress: told how far it is.

    Returns:
        The report, also written. Its candidate verdicts set no exit status, the release verdict `parity` does.

    Raises:
        GateFailed: an earlier stage failed, or the model is not the one that was trained.
        InputError: a folder is missing, broken or somebody else's, or the model does not know the rows' labels.
        MissingDependency: an engine's library is not installed.
    """
    refuse_failed(reports, ["check", "train"])
    check_output(output, mark=MARK)
    check_writable(reports)
    opened, trained = read_prepared(prepared), read_trained(model)
    _check_rows(opened, trained)
    with recording(reports, STAGE):
        model_digest = digest_folder(model)
        refuse_another_model(reports, model_digest)
        with replacing_folder(output, mark=MARK) as folder:
            reference = _answer(folder, opened, trained, progress)
            calibration = _calibration_rows(opened, trained)
            candidates = make_candidates(model, folder, calibration, cpu_flags=cpu_flags(), progress=progress)
            climbed = climb(
                folder,
                candidates,
                *reference,
                slices=opened.dataset.slices,
                goal=settings.compress.goal,
                gates=settings.gates,
                progress=progress,
            )
            _write(folder, climbed, model_digest)
            answers = digest_folder(folder / REFERENCE)
            _record(reports, folder, climbed, opened.dataset.digests["test"])
        inputs = {
            "model": model_digest,
            "prepared": digest_file(prepared / PREPARED_MARK),
            "test": opened.dataset.digests["test"],
            "reference": answers,
        }
        report = _report(settings, inputs, climbed, reference, len(calibration))
        write_report(reports, report)
    return report


def _check_rows(opened: Prepared, trained: Trained) -> None:
    """Every split has rows, and the model knows their labels: all problems of all splits at once."""
    problems: list[Problem] = []
    for split in SPLITS:
        if opened.split(split).is_empty():
            where = str(opened.folder / f"{split}.parquet")
            problems.append(Problem(f"the {split} split has no rows", "give `modelyard check` more rows", where))
        try:
            index_labels(trained, opened, split)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def _answer(folder: Path, opened: Prepared, trained: Trained, progress: Progress) -> tuple[JudgedRows, JudgedRows]:
    """Validation and test with the trained model's answers, which are written to `reference/`."""
    with contextlib.closing(open_engine(trained.folder, "torch", [])) as engine:

        def one(split: JudgedSplit) -> JudgedRows:
            frame = opened.split(split)
            rows = encode_rows(trained, frame)
            logits = run_by_length(engine, rows, progress=progress, what=f"ask the trained model on {split}")
            reference = Reference(frame["id"].to_list(), logits, index_labels(trained, opened, split))
            write_reference(folder, split, reference)
            return JudgedRows(split, frame, rows, reference)

        validation, test = one("validation"), one("test")
    labels = validation.reference.logits.shape[1]
    if labels != len(trained.labels):
        raise InputError(
            Problem(
                f"the model has {labels} outputs and {len(trained.labels)} label names",
                "train it again, or name each output in config.json",
                str(trained.folder),
            )
        )
    return validation, test


def _calibration_rows(opened: Prepared, trained: Trained) -> list[Row]:
    frame = opened.split("train")
    return encode_rows(trained, frame[choose_evenly(frame.height, CALIBRATION_ROWS)])


def _write(folder: Path, climbed: Climbed, model_digest: str) -> None:
    for name, tried in climbed.tried.items():
        write_json(folder / name / "card.json", make_card(folder / name, tried))
    choice = Choice(
        chosen=climbed.decision.chosen,
        ranked=climbed.ranking.ranked,
        not_chosen={name: str(reason) for name, reason in sorted(climbed.decision.not_chosen.items())},
        model=model_digest,
    )
    write_json(folder / MARK, choice)


def _record(reports: Path, folder: Path, climbed: Climbed, test: str) -> None:
    """Count what was judged on the test split, chosen or not."""
    record_judgements(
        reports,
        [
            Judgement(test=test, artefact=digest_artefact(folder / name, tried.candidate.artefact), candidate=name)
            for name, tried in climbed.tried.items()
            if tried.candidate.compressed and "test" in tried.verdicts
        ],
    )


def _report(
    settings: ProjectSchema,
    inputs: dict[str, str],
    climbed: Climbed,
    reference: tuple[JudgedRows, JudgedRows],
    calibration_rows: int,
) -> Report:
    """The report, without the numbers that depend on the clock."""
    gates = settings.gates
    measurements = [
        Measurement(
            name="accuracy",
            scope=f"split:{part.split}",
            subject="trained",
            interval=wilson(int(part.reference.right.sum()), len(part.rows)),
        )
        for part in reference
    ]
    for name, tried in climbed.tried.items():
        size = Interval.exact(tried.size_bytes, n=len(tried.candidate.artefact), unit="bytes")
        measurements.append(Measurement(name="size", subject=name, interval=size))
        measurements += [
            Measurement(name="accuracy", scope=f"split:{split}", subject=name, interval=interval)
            for split, interval in tried.accuracy.items()
        ]
    return Report(
        stage=STAGE,
        project=settings.project,
        inputs=inputs,
        parameters={
            "goal": settings.compress.goal,
            "drop_max": gates.drop_max,
            "slice_drop_max": gates.slice_drop_max,
            "compressed": gates.compressed,
            "opset": OPSET,
            "calibration_rows": calibration_rows,
            "batch_rows": {
                name: tried.batch_rows
                for name, tried in climbed.tried.items()
                if tried.companions or not tried.candidate.compressed  # of the others nobody knows what they may
            },
            "reduce_range": can_overflow(cpu_flags()),
            "chosen": climbed.decision.chosen,
        },
        measurements=measurements,
        verdicts=[verdict for tried in climbed.tried.values() for verdict in tried.all_verdicts],
        notes=_notes(climbed),
    )


def _notes(climbed: Climbed) -> list[str]:
    decision = climbed.decision
    technique = climbed.tried[decision.chosen].candidate.technique
    notes = [f"chosen: {decision.chosen}, {technique}"]
    notes += [f"{name} was not chosen: {reason.words}" for name, reason in sorted(decision.not_chosen.items())]
    for name, tried in climbed.tried.items():
        notes += [
            f"{name} certainly lost accuracy on {split} in {', '.join(scopes)} (Holm's method, family-wise 5%)"
            for split, scopes in tried.losing.items()
            if scopes
        ]
    return notes
