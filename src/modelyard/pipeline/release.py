"""The stage `release`: the gate. The chosen artefact is judged once more, as it is now, and released if all pass."""

import contextlib
import shutil
import time
from pathlib import Path

import numpy as np
import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelyard import __version__
from modelyard.artifacts.candidate import Card, digest_artefact, read_card, read_choice
from modelyard.artifacts.files import (
    check_output,
    check_writable,
    digest_file,
    digest_folder,
    replacing_folder,
    write_text,
)
from modelyard.artifacts.git import git, head_commit
from modelyard.artifacts.keys import key_id, load_private_key, load_public_key
from modelyard.artifacts.model import read_classifier
from modelyard.artifacts.prepared import read_prepared, scopes
from modelyard.artifacts.release import MARK, Limits, Lineage, Manifest, safe_name, seal
from modelyard.artifacts.reports import read_report, recording, write_report
from modelyard.compression.judgements import Judgement, judge_wear, record_judgements
from modelyard.compression.judging import judge_drop
from modelyard.compression.parity import judge_parity
from modelyard.compression.reference import Reference, read_reference
from modelyard.engines.base import Engine, Row
from modelyard.engines.batching import run_in_batches
from modelyard.engines.opening import open_engine
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import at_least, at_most
from modelyard.evidence.judge import Verdict, Waiver, exit_status, judge
from modelyard.evidence.proportion import samples_for_proportion, wilson
from modelyard.evidence.report import Measurement, Report
from modelyard.evidence.timing import percentile_interval
from modelyard.pipeline.model_card import model_card
from modelyard.pipeline.upstream import (
    Folders,
    Served,
    digest_folders,
    fail,
    find_reports,
    judge_evidence,
    read_served,
)
from modelyard.progress import Progress, silent
from modelyard.project.gates import GatesSection, WaiverSection
from modelyard.project.load import FILE_NAME
from modelyard.project.release import ReleaseSection
from modelyard.project.schema import ProjectSchema
from modelyard.tasks.classification import correct, encode, load_tokenizer

STAGE = "release"
LATENCY_RUNS = 200
"""Single rows timed for `latency_p95_ms_max`: the upper end of a 95% interval of a 95th percentile needs 72."""


def release(
    settings: ProjectSchema,
    *,
    root: Path,
    prepared: Path,
    model: Path,
    candidates: Path,
    reports: Path,
    output: Path,
    progress: Progress = silent,
) -> Report:
    """Judge the chosen candidate against `gates:` and, if nothing blocks, build and sign the release.

    Args:
        settings: the project's.
        root: the project's folder: keys and Git.
        prepared: folder that `check` wrote.
        model: folder that `train` wrote.
        candidates: folder that `compress` wrote.
        reports: of the earlier stages; `release.json` goes there whatever the verdicts, and the count of what the test
            split has judged.
        output: where the release goes; what stands there stays when a gate refuses.
        progress: told how far it is.

    Raises:
        InputError: a folder or the signing key is missing or broken.
    """
    check_output(output, mark=MARK)
    check_writable(reports)
    folders = _open(prepared, model, candidates)
    key = _signing_key(settings.release, root)
    with recording(reports, STAGE):
        served = read_served(reports, folders.card)
        verdicts, measurements = _judge(settings.gates, folders, served, reports, progress)
        report = Report(
            stage=STAGE,
            project=settings.project,
            inputs={
                "prepared": folders.prepared_digest,
                "model": folders.model_digest,
                "candidates": digest_folder(candidates),
                "test": folders.prepared.dataset.digests["test"],
            },
            parameters={
                "chosen": folders.choice.chosen,
                "engine": folders.card.engine,
                "batch_rows": served.batch_rows,
            },
            measurements=measurements,
            verdicts=verdicts,
            notes=_notes(folders, verdicts),
        )
        write_report(reports, report)
        if exit_status(verdicts) == 0:
            manifest = _manifest(settings, root, folders, served, reports, report.inputs["candidates"])
            with replacing_folder(output, mark=MARK) as folder:
                _fill(folder, folders, reports, manifest, report)
                seal(folder, manifest, key)
    return report


def _judge(
    gates: GatesSection, folders: Folders, served: Served, reports: Path, progress: Progress
) -> tuple[list[Verdict], list[Measurement]]:
    """Everything that a release is held against, waivers applied, and what was measured for it."""
    unusable, verdicts, measurements = _judge_artefact(gates, folders, served, progress)
    verdicts = judge_evidence(reports, folders, found=unusable) + verdicts
    verdicts.append(_judge_compressed(gates, folders))
    if folders.card.compressed:
        test = folders.prepared.dataset
        judged = Judgement(test=test.digests["test"], artefact=folders.card.digest, candidate=folders.card.name)
        verdicts.append(judge_wear(record_judgements(reports, [judged]), test.counts["test"]))
    return _waive(verdicts, gates.waivers), measurements


def _open(prepared: Path, model: Path, candidates: Path) -> Folders:
    """Open what the earlier stages wrote."""
    opened, choice = read_prepared(prepared), read_choice(candidates)
    for folder, name in ((prepared, "baseline.json"), (model, "config.json"), (model, "tokenizer.json")):
        if not (folder / name).is_file():
            raise InputError(Problem(f"{name} is missing", "run the stage that writes it again", str(folder / name)))
    model_digest, prepared_digest = digest_folders(opened, model)
    return Folders(
        prepared=opened,
        model=model,
        training=read_classifier(model),
        candidates=candidates,
        choice=choice,
        card=_read_card(candidates, choice.chosen),
        model_digest=model_digest,
        prepared_digest=prepared_digest,
    )


def _read_card(candidates: Path, name: str) -> Card:
    """The card of a candidate, whose names stay inside its folder."""
    path = candidates / name / "card.json"
    try:
        safe_name(name)
        card = read_card(candidates / name)
        for file in card.artefact:
            safe_name(file)
    except ValueError as error:
        raise InputError(Problem(str(error), "run `modelyard compress` again", str(path))) from error
    return card


def _signing_key(section: ReleaseSection, root: Path) -> Ed25519PrivateKey:
    """The key that signs, which the project must trust itself: else it could not load its own release.

    Raises:
        InputError: a key is missing or broken, or the signing key is not the private half of a trusted one.
    """
    key = load_private_key(root / section.private_key)
    trusted = [key_id(load_public_key(root / name)) for name in section.trusted_keys]
    signer = key_id(key.public_key())
    if signer not in trusted:
        raise InputError(
            Problem(
                f"the signing key {signer} is not the private half of any of release.trusted_keys: "
                f"{', '.join(trusted) or 'there is none'}",
                "list its public half there; `modelyard keys new` makes a pair",
                "modelyard.yaml",
            )
        )
    return key


def _judge_artefact(
    gates: GatesSection, folders: Folders, served: Served, progress: Progress
) -> tuple[list[Verdict], list[Verdict], list[Measurement]]:
    """Run the chosen artefact on the test split as it will be served, and judge its answers and its speed.

    Returns:
        A FAIL of `evidence` where it cannot be run or has nothing to be compared with, else its verdicts and numbers.
    """
    try:
        return [], *_judge_answers(gates, folders, served, progress)
    except InputError as error:
        return [fail("compress", problem.message, problem.next_step) for problem in error.problems], [], []


def _judge_answers(
    gates: GatesSection, folders: Folders, served: Served, progress: Progress
) -> tuple[list[Verdict], list[Measurement]]:
    card, frame = folders.card, folders.prepared.split("test")
    reference = _reference(folders, frame)
    tokenizer = load_tokenizer(folders.chosen)
    length = folders.training.max_length_tokens
    rows: list[Row] = list(encode(tokenizer, frame["text"].to_list(), max_length_tokens=length))
    with contextlib.closing(open_engine(folders.chosen, card.engine, card.artefact)) as engine:
        logits = run_in_batches(
            engine, rows, batch_rows=served.batch_rows, progress=progress, what="ask the chosen artefact on test"
        )
        verdicts = [] if gates.latency_p95_ms_max is None else [_judge_latency(engine, rows, gates, card.name)]
    right = correct(logits, reference.label_indices) & np.isfinite(logits).all(axis=1)
    if card.compressed:
        verdicts += judge_drop(
            reference.right,
            right,
            frame,
            slices=folders.prepared.dataset.slices,
            drop_max=gates.drop_max,
            slice_drop_max=gates.slice_drop_max,
            kind="release",
            subject=card.name,
        )
    else:
        verdicts.append(judge_parity(reference.logits, logits, subject=card.name))
    accuracy = wilson(int(right.sum()), right.size)
    if gates.accuracy_min is not None:
        limit = at_least(gates.accuracy_min)
        needed = samples_for_proportion(accuracy.estimate, limit)
        verdicts.append(judge(accuracy, limit, rule="accuracy_min", subject=card.name, samples_needed=needed))
    return verdicts, _accuracies(frame, right, reference, folders)


def _reference(folders: Folders, frame: pl.DataFrame) -> Reference:
    """The trained model's answers on the test split as it stands.

    Raises:
        InputError: they are about other rows.
    """
    reference = read_reference(folders.candidates, "test")
    labels = folders.prepared.dataset.labels
    truth = [labels.index(label) for label in frame["label"]]
    if reference.ids != frame["id"].to_list() or reference.label_indices.tolist() != truth:
        raise InputError(
            Problem(
                "candidates/reference/test.parquet is not about the test rows in prepared/",
                "run `modelyard compress` again",
                str(folders.candidates),
            )
        )
    return reference


def _judge_latency(engine: Engine, rows: list[Row], gates: GatesSection, subject: str) -> Verdict:
    """The 95th percentile of the time of one row, on rows spread over the test split."""
    chosen = np.linspace(0, len(rows) - 1, LATENCY_RUNS).round().astype(int)
    for index in chosen:  # OpenVINO compiles for a length when it meets it
        engine.run([rows[index]])
    times_ms = []
    for index in chosen:
        start = time.perf_counter()
        engine.run([rows[index]])
        times_ms.append(1000 * (time.perf_counter() - start))
    limit = at_most(gates.latency_p95_ms_max or 0)
    return judge(percentile_interval(times_ms, 95), limit, rule="latency_p95_ms_max", subject=subject)


def _accuracies(frame: pl.DataFrame, right: np.ndarray, reference: Reference, folders: Folders) -> list[Measurement]:
    """Accuracy of the chosen artefact and of the trained model, overall, by slice and by class."""
    parts = [("overall", np.ones(right.size, dtype=bool))]
    parts += scopes(frame, label="label", slices=folders.prepared.dataset.slices)
    return [
        Measurement(
            name="accuracy", scope=scope, subject=name, interval=wilson(int(found[rows].sum()), int(rows.sum()))
        )
        for scope, rows in parts
        for name, found in ((folders.card.name, right), ("trained", reference.right))
    ]


def _judge_compressed(gates: GatesSection, folders: Folders) -> Verdict:
    """Whether the chosen artefact is compressed where that is required."""
    card = folders.card
    passed = card.compressed or gates.compressed == "optional"
    kind = "compressed" if card.compressed else "the uncompressed export"
    return Verdict(
        rule="compressed",
        subject=card.name,
        interval=None,
        limit=None,
        outcome="PASS" if passed else "FAIL",
        reason=f"{card.name} is {kind}; compression is {gates.compressed}",
        next_step="" if passed else "see in compress.json why no compressed candidate was chosen, or make it optional",
    )


def _waive(verdicts: list[Verdict], waivers: list[WaiverSection]) -> list[Verdict]:
    """Put each waiver on the INCONCLUSIVE verdict that it names; one that names none is a warning."""
    by_name = {(waiver.rule, waiver.scope): waiver for waiver in waivers}
    used = set()
    found = []
    for verdict in verdicts:
        name = (verdict.rule, verdict.scope)
        if verdict.outcome == "INCONCLUSIVE" and name in by_name:
            used.add(name)
            waiver = by_name[name]
            stamp = Waiver(by=waiver.by, on=waiver.on, reason=waiver.reason)
            found.append(verdict.model_copy(update={"waiver": stamp}))
        else:
            found.append(verdict)
    return found + [_idle_waiver(waiver) for name, waiver in by_name.items() if name not in used]


def _idle_waiver(waiver: WaiverSection) -> Verdict:
    return Verdict(
        rule="waiver",
        scope=waiver.scope,
        subject=waiver.rule,
        interval=None,
        limit=None,
        outcome="FAIL",
        reason=f"the waiver of {waiver.rule} ({waiver.scope}) by {waiver.by} names no INCONCLUSIVE verdict",
        next_step="remove it from gates.waivers; a FAIL cannot be waived",
        severity="warning",
    )


def _notes(folders: Folders, verdicts: list[Verdict]) -> list[str]:
    notes = [f"chosen: {folders.card.name}, {folders.card.technique}"]
    notes += [f"{name} was not chosen: {reason}" for name, reason in folders.choice.not_chosen.items()]
    notes += [
        f"{verdict.rule} ({verdict.scope}) was waived by {verdict.waiver.by} on {verdict.waiver.on}: "
        f"{verdict.waiver.reason}"
        for verdict in verdicts
        if verdict.waiver
    ]
    return notes


def _manifest(
    settings: ProjectSchema, root: Path, folders: Folders, served: Served, reports: Path, digest: str
) -> Manifest:
    stages = [*find_reports(reports), reports / f"{STAGE}.json"]
    return Manifest(
        project=settings.project,
        task=settings.task,
        labels=folders.training.labels,
        max_length_tokens=folders.training.max_length_tokens,
        candidate=folders.card.name,
        engine=folders.card.engine,
        artefact=folders.card.artefact,
        dtypes=folders.card.dtypes,
        cpu_flags=folders.card.cpu_flags,
        limits=Limits(batch_rows=served.batch_rows),
        temperature=served.temperature,
        objectives=settings.serve.objectives.model_dump(),
        lineage=Lineage(
            prepared=folders.prepared_digest,
            model=folders.model_digest,
            candidates=digest,
            reports={path.stem: digest_file(path) for path in stages},
            commit=_git_commit(root),
            modelyard=__version__,
        ),
    )


def _git_commit(root: Path) -> str | None:
    """The project's commit, `-dirty` behind it where settings or pipeline differ from it; None outside Git."""
    commit = head_commit(root)
    if not commit:
        return None
    # reports and dvc.lock change in every run: what counts is what a person writes
    return f"{commit}-dirty" if git(root, "status", "--porcelain", "--", FILE_NAME, "dvc.yaml") else commit


def _fill(folder: Path, folders: Folders, reports: Path, manifest: Manifest, report: Report) -> None:
    """Everything of a release but its manifest and signature."""
    for name in (*folders.card.artefact, "tokenizer.json", "config.json"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folders.chosen / name, target)
    if digest_artefact(folder, folders.card.artefact) != folders.card.digest:
        raise InputError(
            Problem(
                f"{folders.card.name} was changed while it was judged",
                "run `modelyard release` again when nothing else writes there",
                str(folders.chosen),
            )
        )
    shutil.copyfile(folders.prepared.folder / "baseline.json", folder / "baseline.json")
    (folder / "evidence").mkdir()
    for path in (*find_reports(reports), reports / f"{STAGE}.json"):
        shutil.copyfile(path, folder / "evidence" / path.name)
    write_text(
        folder / "MODEL_CARD.md", model_card(manifest, folders, report, checked=read_report(reports / "check.json"))
    )
