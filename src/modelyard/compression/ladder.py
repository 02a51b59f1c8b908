"""The ladder: measure every candidate, screen on validation, confirm on test, as served, in batches."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from modelyard.artifacts.candidate import Card, digest_artefact
from modelyard.artifacts.reports import cpu_flags
from modelyard.compression.candidates import EXPORT, Candidate
from modelyard.compression.choose import MAX_CONFIRMED, Decision, Facts, Goal, Ranking, decide, rank
from modelyard.compression.companions import judge_companions
from modelyard.compression.dtypes import count_dtypes
from modelyard.compression.judging import judge_drop, name_losing_scopes, outcome_of
from modelyard.compression.measure import Speed, measure_memory, measure_speed
from modelyard.compression.parity import SAMPLE_ROWS, choose_evenly, judge_parity, run_varied
from modelyard.compression.reference import JudgedSplit, Reference
from modelyard.engines.base import Engine, Row
from modelyard.engines.batching import BATCH_ROWS, run_in_batches
from modelyard.engines.opening import open_engine
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict
from modelyard.evidence.proportion import wilson
from modelyard.evidence.timing import time_ratio
from modelyard.progress import Progress, silent
from modelyard.project.gates import GatesSection
from modelyard.tasks.classification import correct


@dataclass(frozen=True)
class JudgedRows:
    """One split with what the trained model answered.

    Attributes:
        split: its name.
        frame: its rows.
        rows: the same rows, encoded.
        reference: the trained model's answers.
    """

    split: JudgedSplit
    frame: pl.DataFrame
    rows: list[Row]
    reference: Reference


@dataclass
class Tried:
    """A candidate and all that was found about it; `verdicts`, `accuracy` and `losing` by split.

    `batch_rows` rows are answered at once, because of what `companions` says. `losing` names the slices and classes
    that certainly lost accuracy, where a split did not pass.
    """

    candidate: Candidate
    batch_rows: int
    companions: Verdict | None
    size_bytes: int
    speed: Speed
    speed_ratio: Interval
    peak_memory_bytes: int
    accuracy: dict[str, Interval] = field(default_factory=dict)
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)
    losing: dict[str, list[str]] = field(default_factory=dict)

    @property
    def all_verdicts(self) -> list[Verdict]:
        """All verdicts, those of each split in the order in which they were judged."""
        first = [self.companions] if self.companions else []
        return first + [verdict for verdicts in self.verdicts.values() for verdict in verdicts]


@dataclass(frozen=True)
class Climbed:
    """What came out: every candidate by name, their order and the choice."""

    tried: dict[str, Tried]
    ranking: Ranking
    decision: Decision


def climb(
    folder: Path,
    candidates: Sequence[Candidate],
    validation: JudgedRows,
    test: JudgedRows,
    *,
    slices: Sequence[str],
    goal: Goal,
    gates: GatesSection,
    progress: Progress = silent,
) -> Climbed:
    """Measure, screen, confirm, choose.

    Args:
        folder: where each candidate has its folder.
        candidates: the export first.
        validation: rows that candidates are screened on.
        test: rows that at most two of them are confirmed on.
        slices: names of the slice columns.
        goal: what makes a candidate better than another.
        gates: the `gates:` section.
        progress: told of each step.
    """
    with contextlib.ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for candidate in candidates:
            engine = open_engine(folder / candidate.name, candidate.engine, candidate.artefact)
            engines[candidate.name] = stack.enter_context(contextlib.closing(engine))
        everyone = [*validation.rows, *test.rows]
        companions = {
            candidate.name: judge_companions(
                engines[candidate.name], everyone, subject=candidate.name, progress=progress
            )
            for candidate in candidates
            if candidate.compressed  # the export proves itself by parity, in batches of many sizes
        }
        tried = _measure(folder, candidates, engines, companions, validation.rows, progress)
        _prove_parity(tried[EXPORT], engines[EXPORT], validation, test, progress)
        compressed = {name: one for name, one in tried.items() if one.candidate.compressed}
        for name, one in compressed.items():
            _judge(one, engines[name], validation, slices, gates, progress)
        facts = {name: _facts(one) for name, one in tried.items()}
        export = facts.pop(EXPORT)
        ranking = rank(goal, export, facts)
        for name in ranking.ranked[:MAX_CONFIRMED]:
            _judge(tried[name], engines[name], test, slices, gates, progress)
            if outcome_of(tried[name].verdicts["test"]) == "PASS":
                break
    confirmed = {name: one.verdicts["test"] for name, one in compressed.items() if "test" in one.verdicts}
    decision = decide(goal, ranking, facts, confirmed, required=gates.compressed == "required")
    return Climbed(tried, ranking, decision)


def make_card(folder: Path, tried: Tried) -> Card:
    """The card of a candidate; `folder` is the candidate's own."""
    candidate = tried.candidate
    return Card(
        name=candidate.name,
        technique=candidate.technique,
        engine=candidate.engine,
        compressed=candidate.compressed,
        artefact=candidate.artefact,
        batch_rows=tried.batch_rows,
        digest=digest_artefact(folder, candidate.artefact),
        size_bytes=tried.size_bytes,
        dtypes=count_dtypes(folder, candidate.artefact),
        latency_ms=tried.speed.latency_ms,
        speed_ratio=tried.speed_ratio,
        peak_memory_bytes=tried.peak_memory_bytes,
        accuracy=tried.accuracy,
        verdicts=tried.all_verdicts,
        cpu_flags=cpu_flags(),
    )


def _measure(
    folder: Path,
    candidates: Sequence[Candidate],
    engines: dict[str, Engine],
    companions: Mapping[str, tuple[Verdict, int]],
    rows: Sequence[Row],
    progress: Progress,
) -> dict[str, Tried]:
    batch_rows = {name: companions[name][1] if name in companions else BATCH_ROWS for name in engines}
    speeds = measure_speed(engines, rows, batch_rows, progress=progress)
    memory = measure_memory(folder, candidates, rows[:BATCH_ROWS], progress=progress)
    return {
        candidate.name: Tried(
            candidate,
            batch_rows[candidate.name],
            companions[candidate.name][0] if candidate.name in companions else None,
            sum((folder / candidate.name / file).stat().st_size for file in candidate.artefact),
            speeds[candidate.name],
            time_ratio(speeds[EXPORT].batch_seconds, speeds[candidate.name].batch_seconds),
            memory[candidate.name],
        )
        for candidate in candidates
    }


def _prove_parity(export: Tried, engine: Engine, validation: JudgedRows, test: JudgedRows, progress: Progress) -> None:
    """Judge the export on up to 1,000 test rows; where it gives the reference's answers it has its accuracy."""
    numbers = choose_evenly(len(test.rows), SAMPLE_ROWS)
    rows, reference = [test.rows[number] for number in numbers], test.reference.logits[numbers]
    verdicts = [judge_parity(reference, run_varied(engine, rows, progress=progress), subject=export.candidate.name)]
    export.verdicts["test"] = verdicts
    if outcome_of(verdicts) == "PASS":
        export.accuracy = {part.split: _accuracy(part) for part in (validation, test)}


def _accuracy(part: JudgedRows) -> Interval:
    return wilson(int(part.reference.right.sum()), len(part.rows))


def _judge(
    tried: Tried, engine: Engine, part: JudgedRows, slices: Sequence[str], gates: GatesSection, progress: Progress
) -> None:
    name = tried.candidate.name
    logits = run_in_batches(
        engine, part.rows, batch_rows=tried.batch_rows, progress=progress, what=f"judge {name} on {part.split}"
    )
    right = correct(logits, part.reference.label_indices)
    tried.accuracy[part.split] = wilson(int(right.sum()), len(right))
    tried.verdicts[part.split] = judge_drop(
        part.reference.right,
        right,
        part.frame,
        slices=slices,
        drop_max=gates.drop_max,
        slice_drop_max=gates.slice_drop_max,
        kind="candidate",
        subject=f"{name} on {part.split}",
    )
    if outcome_of(tried.verdicts[part.split]) != "PASS":
        tried.losing[part.split] = name_losing_scopes(part.reference.right, right, part.frame, slices=slices)


def _facts(tried: Tried) -> Facts:
    return Facts(tried.size_bytes, tried.speed_ratio, tried.peak_memory_bytes, tried.verdicts.get("validation", []))
