"""Whether the evidence stands: every report is there, none failed, and each is about the folders on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.artifacts.candidate import MARK as CHOICE_FILE
from modelyard.artifacts.candidate import Card, Choice, digest_artefact
from modelyard.artifacts.files import digest_file, digest_folder
from modelyard.artifacts.model import Training
from modelyard.artifacts.prepared import MARK as DATASET_FILE
from modelyard.artifacts.prepared import Prepared
from modelyard.artifacts.reports import about_another, again, failures, read_report
from modelyard.compression.reference import FOLDER as REFERENCE
from modelyard.errors import InputError
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Report

STAGES = ("check", "train", "compress", "audit")
RULE = "evidence"


@dataclass(frozen=True)
class Folders:
    """What stands on disk, opened.

    Attributes:
        prepared: what `check` wrote.
        model: folder that `train` wrote.
        training: its `training.json`.
        candidates: folder that `compress` wrote.
        choice: its `choice.json`.
        card: of the chosen candidate.
        model_digest: digest of the model folder.
        prepared_digest: digest of `dataset.json`, by which stages name prepared data.
    """

    prepared: Prepared
    model: Path
    training: Training
    candidates: Path
    choice: Choice
    card: Card
    model_digest: str
    prepared_digest: str

    @property
    def chosen(self) -> Path:
        """Folder of the chosen candidate."""
        return self.candidates / self.choice.chosen


def digest_folders(prepared: Prepared, model: Path) -> tuple[str, str]:
    """Digest of the model folder and of `dataset.json`, as the stages' reports name them."""
    return digest_folder(model), digest_file(prepared.folder / DATASET_FILE)


def find_reports(folder: Path) -> list[Path]:
    """Reports of all stages but `release`, those that a project added included, in the order of their names."""
    return sorted(
        (
            path
            for path in folder.glob("*.json")
            if not path.name.startswith(".") and not path.name.endswith(".run.json") and path.stem != "release"
        ),
        key=lambda path: path.name,
    )


@dataclass(frozen=True)
class Served:
    """How the audit says the release is served.

    Attributes:
        batch_rows: rows of one batch.
        temperature: logits are divided by it before they become probabilities.
    """

    batch_rows: int
    temperature: float


def read_served(reports: Path, card: Card) -> Served:
    """What `audit.json` says; as its card says, where there is none to read (`judge_evidence` fails then).

    Never more rows than the card's: those are what `compress` judged.
    """
    try:
        found = read_report(reports / "audit.json").parameters
        batch_rows, temperature = int(found["batch_rows"]), float(found["temperature"])
    except (InputError, KeyError, TypeError, ValueError):
        return Served(card.batch_rows, 1.0)
    return Served(max(1, min(batch_rows, card.batch_rows)), temperature)


def judge_evidence(reports: Path, folders: Folders, *, found: Sequence[Verdict] = ()) -> list[Verdict]:
    """The rule `evidence`, a FAIL for each thing that is wrong or one PASS; then what upstream left INCONCLUSIVE.

    An INCONCLUSIVE keeps its own rule and scope, so that a waiver can name it.

    Args:
        reports: folder of the reports.
        folders: what they should be about.
        found: failures of the same rule that came up when the artefact was run.
    """
    read: dict[str, Report] = {}
    failed = [
        fail(stage, f"there is no {stage}.json in {reports}", f"run `modelyard {stage}`")
        for stage in STAGES
        if not (reports / f"{stage}.json").is_file()
    ]
    for path in find_reports(reports):
        try:
            read[path.stem] = read_report(path)
        except InputError as error:
            failed += [fail(path.stem, problem.message, problem.next_step) for problem in error.problems]
    for stage, report in read.items():
        failed += [
            fail(
                stage,
                f"{stage} failed: {verdict.rule} ({verdict.scope}): {verdict.reason}",
                verdict.next_step or f"mend it and run `modelyard {stage}` again",
            )
            for verdict in failures(report)
        ]
    failed += _stale(read, folders)
    failed += [*_changed(folders), *found]
    undecided = [
        verdict
        for report in read.values()
        for verdict in report.verdicts
        if verdict.blocks and verdict.outcome == "INCONCLUSIVE"
    ]
    if failed:
        return failed + undecided
    passed = Verdict(
        rule=RULE,
        interval=None,
        limit=None,
        outcome="PASS",
        reason=f"the reports of {', '.join(read)} stand, none failed, and all are about the folders on disk",
    )
    return [passed, *undecided]


def _stale(read: dict[str, Report], folders: Folders) -> Iterator[Verdict]:
    """Reports and documents that are about other folders than those on disk."""
    expected = {"prepared": folders.prepared_digest, "model": folders.model_digest}
    both = ("prepared", "model")
    for stage, names in (("train", ("prepared",)), ("compress", both), ("audit", both)):
        for name in names:
            if stage in read and (why := about_another(stage, name, read[stage].inputs.get(name), expected[name])):
                yield _stale_fail(stage, why)
    for stage, name in (("check", "prepared"), ("train", "model")):  # what it wrote
        if stage in read and (why := about_another(stage, name, read[stage].parameters.get(name), expected[name])):
            yield _stale_fail(stage, why)
    yield from _stale_documents(read, folders)


def _stale_documents(read: dict[str, Report], folders: Folders) -> Iterator[Verdict]:
    if folders.training.prepared != folders.prepared_digest:
        yield _stale_fail("train", "model/ was trained on another prepared/ than the one on disk")
    if folders.training.labels != folders.prepared.dataset.labels:
        yield _stale_fail("train", "model/ has other labels than prepared/, or in another order")
    if folders.choice.model != folders.model_digest:
        yield _stale_fail("compress", f"{CHOICE_FILE} is not about this model/ ({folders.model_digest})")
    if "compress" in read:
        yield from _other_than_reported(read["compress"], folders)
    if "audit" in read and read["audit"].inputs.get("artefact") != folders.card.digest:
        yield _stale_fail("audit", f"audit.json is not about {folders.card.name} as its card describes it")


def _other_than_reported(compress: Report, folders: Folders) -> Iterator[Verdict]:
    """The choice, the batches and the reference answers are those of the report, whose digest the release carries."""
    chosen, card = folders.choice.chosen, folders.card
    if compress.parameters.get("chosen") != chosen:
        yield _stale_fail("compress", f"compress.json chose another candidate than {CHOICE_FILE}")
    if compress.parameters.get("batch_rows", {}).get(chosen) != card.batch_rows:
        yield _stale_fail("compress", f"{chosen} was judged in other batches than its card's, {card.batch_rows} rows")
    if compress.inputs.get("reference") != digest_folder(folders.candidates / REFERENCE):
        yield _stale_fail("compress", "the trained model's answers in candidates/reference/ were changed afterwards")


def _changed(folders: Folders) -> Iterator[Verdict]:
    """The chosen artefact is the one that `compress` judged."""
    card, folder = folders.card, folders.chosen
    missing = [name for name in card.artefact if not (folder / name).is_file()]
    for name in missing:
        yield _stale_fail("compress", f"{card.name}/{name} is missing")
    if not missing and digest_artefact(folder, card.artefact) != card.digest:
        yield _stale_fail("compress", f"the artefact of {card.name} was changed after `compress` judged it")
    for name in ("config.json", "tokenizer.json"):
        own, trained = folder / name, folders.model / name
        if not own.is_file() or digest_file(own) != digest_file(trained):
            yield _stale_fail("compress", f"{card.name}/{name} is not the one of model/")


def _stale_fail(stage: str, reason: str) -> Verdict:
    return fail(stage, reason, again(stage))


def fail(stage: str, reason: str, next_step: str) -> Verdict:
    """The rule `evidence` failed for a stage."""
    return Verdict(
        rule=RULE,
        scope=f"stage:{stage}",
        interval=None,
        limit=None,
        outcome="FAIL",
        reason=reason,
        next_step=next_step,
    )
