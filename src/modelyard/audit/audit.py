"""`modelyard audit`: does the service answer what was trained, exported and judged, and how sure may it be?"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.artifacts.candidate import Card, read_card, read_choice
from modelyard.artifacts.files import digest_file, digest_folder
from modelyard.artifacts.model import Training, read_classifier
from modelyard.artifacts.prepared import MARK as DATASET_FILE
from modelyard.artifacts.prepared import Prepared, Split, read_prepared
from modelyard.artifacts.release import Limits
from modelyard.artifacts.reports import recording, refuse_another_model, refuse_failed, write_report
from modelyard.audit import findings
from modelyard.audit.asking import ask_over_http
from modelyard.compression.candidates import EXPORT
from modelyard.compression.companions import judge_flips
from modelyard.compression.parity import SAMPLE_ROWS, choose_evenly, judge_parity, run_varied
from modelyard.compression.reference import read_reference
from modelyard.engines.base import Logits
from modelyard.engines.batching import run_in_batches
from modelyard.engines.opening import open_engine
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Report
from modelyard.progress import Progress, silent
from modelyard.project.schema import ProjectSchema
from modelyard.serving.pace import Pace
from modelyard.serving.predict import opened_candidate
from modelyard.serving.service import started
from modelyard.serving.turns import BatchLimits
from modelyard.tasks.classification import correct, encode, load_tokenizer

STAGE = "audit"
ALONE_ROWS = 2000
"""Test rows asked one by one, as many as `compress` asks for the same rule."""


@dataclass(frozen=True)
class Audited:
    """What is audited."""

    prepared: Prepared
    training: Training
    candidates: Path
    card: Card

    @property
    def folder(self) -> Path:
        """The chosen candidate's own folder."""
        return self.candidates / self.card.name

    def texts(self, split: Split) -> list[str]:
        """Texts of a split, in its order."""
        return self.prepared.split(split)["text"].to_list()

    def truth(self, split: Split) -> NDArray[np.int64]:
        """Index of each row's label."""
        return np.array(self.prepared.label_indices(split), dtype=np.int64)


def audit(
    settings: ProjectSchema,
    *,
    prepared: Path,
    model: Path,
    candidates: Path,
    reports: Path,
    progress: Progress = silent,
) -> Report:
    """Ask the chosen candidate over HTTP and compare with what was trained, exported and judged.

    Three parities: the export against the trained model on validation rows (labels equal outside a tie, logits within
    1e-4); HTTP against the chosen engine, rows alone (within 1e-5); alone against in a batch (at most 0.5% of labels,
    else it is served row by row). Then accuracy as served, by slice and class, and calibration: a temperature is fitted
    on validation and stored where it certainly lowers the log loss.

    Args:
        settings: the project's.
        prepared: folder that `check` wrote.
        model: folder that `train` wrote.
        candidates: folder that `compress` wrote.
        reports: where `audit.json` goes; a FAIL of an earlier stage in it stops here, and a `train.json`
            about another model.
        progress: told how far it is.

    Raises:
        GateFailed: an earlier stage failed, or the model is not the one that was trained.
        InputError: a folder is missing or broken, or the service did not answer.
    """
    refuse_failed(reports, ["check", "train", "compress"])
    with recording(reports, STAGE):
        choice = read_choice(candidates)
        audited = Audited(
            read_prepared(prepared), read_classifier(model), candidates, read_card(candidates / choice.chosen)
        )
        model_digest = digest_folder(model)
        refuse_another_model(reports, model_digest)
        name, card = audited.card.name, audited.card
        verdicts = [_judge_export(audited, progress)]
        served, over_http, flips = _serve_as_released(settings, audited, progress)
        calibrated = findings.calibrate(served.validation, audited.truth("validation"), subject=name)
        verdicts += [over_http, flips, *([calibrated.verdict] if calibrated.verdict else [])]
        right = correct(served.test, audited.truth("test"))
        slices = audited.prepared.dataset.slices
        report = Report(
            stage=STAGE,
            project=settings.project,
            inputs={
                "prepared": digest_file(prepared / DATASET_FILE),
                "model": model_digest,
                "artefact": card.digest,
            },
            parameters={
                "chosen": name,
                "batch_rows": served.batch_rows,
                "temperature": calibrated.temperature,
            },
            measurements=[
                *findings.accuracies(audited.prepared.split("test"), right, slices, subject=name),
                *findings.calibration(served.test, right, calibrated.temperature, subject=name),
            ],
            verdicts=verdicts,
            notes=_notes(card, flips, calibrated),
        )
        write_report(reports, report)
    return report


@dataclass(frozen=True)
class _Served:
    """Answers over HTTP to all of validation and test, so many rows together, and to some test rows alone.

    Those alone are over HTTP, by the engine, and as they stand among those to all.
    """

    batch_rows: int
    validation: Logits
    test: Logits
    engine: Logits
    alone: Logits
    alone_in_batches: Logits


def _serve_as_released(
    settings: ProjectSchema, audited: Audited, progress: Progress
) -> tuple[_Served, Verdict, Verdict]:
    """Answers of so many rows together as will be served, and the verdicts: over HTTP, and in a batch.

    Where a batch changes answers the rows go one by one: accuracy and calibration are those of what will be served.
    """
    name, batch_rows = audited.card.name, audited.card.batch_rows
    served = _serve(settings, audited, batch_rows, progress)
    over_http = findings.judge_served(served.engine, served.alone, subject=name)
    flips = judge_flips(served.alone, served.alone_in_batches, batch_rows=batch_rows, subject=name)
    if flips.outcome != "PASS" and batch_rows > 1:
        served = _serve(settings, audited, 1, progress)
    return served, over_http, flips


def _serve(settings: ProjectSchema, audited: Audited, batch_rows: int, progress: Progress) -> _Served:
    training, card = audited.training, audited.card
    longest = training.max_length_tokens
    with opened_candidate(audited.folder, card, training, name=settings.project) as predictor:
        # whole requests are batches, however fast this machine is: equal work gives an equal report
        pace = Pace(0.0, BatchLimits(batch_rows, batch_rows * longest, batch_rows * longest), 0.0)
        with started(predictor, pace) as service:

            def ask(texts: list[str], per_request: int, what: str) -> Logits:
                return ask_over_http(service.app, texts, texts_per_request=per_request, progress=progress, what=what)

            many = max(Limits().batch_rows, card.batch_rows)
            validation = ask(audited.texts("validation"), many, "ask the service, validation")
            texts = audited.texts("test")
            test = ask(texts, many, "ask the service, test")
            places = choose_evenly(len(texts), ALONE_ROWS)
            some = [texts[place] for place in places]
            alone = ask(some, 1, "ask the service row by row")
        rows = [encoded.row for encoded in predictor.encode(some)]
        what = "ask the engine row by row"
        engine = run_in_batches(predictor.engine, rows, batch_rows=1, progress=progress, what=what)
    return _Served(batch_rows, validation, test, engine, alone, test[places])


def _judge_export(audited: Audited, progress: Progress) -> Verdict:
    """`parity` of the uncompressed export on validation rows, which `compress` did not judge it on."""
    card = read_card(audited.candidates / EXPORT)
    folder = audited.candidates / EXPORT
    reference = read_reference(audited.candidates, "validation")
    places = choose_evenly(len(reference.ids), SAMPLE_ROWS)
    texts = audited.texts("validation")
    tokenizer = load_tokenizer(folder)
    rows = encode(tokenizer, [texts[place] for place in places], max_length_tokens=audited.training.max_length_tokens)
    with contextlib.closing(open_engine(folder, card.engine, card.artefact)) as engine:
        answers = run_varied(engine, rows, progress=progress, what="ask the export")
    return judge_parity(reference.logits[places], answers, subject=EXPORT)


def _notes(card: Card, flips: Verdict, calibrated: findings.Calibrated) -> list[str]:
    notes = []
    if flips.outcome != "PASS" or card.batch_rows == 1:
        notes.append(f"{card.name} will be served row by row: in a batch an answer may depend on its companions")
    return [*notes, calibrated.note]
