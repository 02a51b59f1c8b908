"""The ladder: measure every candidate, screen on validation, confirm on test, as served, in batches where it may."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from modelyard.artifacts.candidate import Card, digest_artefact
from modelyard.artifacts.reports import cpu_flags
from modelyard.compression.candidates import EXPORT, Candidate
from modelyard.compression.choose import MAX_CONFIRMED, Decision, Facts, Goal, Ranking, decide, no_better, rank
from modelyard.compression.companions import judge_companions
from modelyard.compression.dtypes import count_dtypes
from modelyard.compression.judging import judge_drop, name_losing_scopes, outcome_of
from modelyard.compression.measure import Speed, Way, measure_memory, measure_speed
from modelyard.compression.parity import SAMPLE_ROWS, choose_evenly, judge_parity, run_varied
from modelyard.compression.reference import JudgedSplit, Reference
from modelyard.engines.base import Engine, Logits, Row
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

    Attributes:
        candidate: what it is.
        speeds: by the rows answered at once, its times.
        ratios: likewise, time of the export over its own; above 1 is faster.
        size_bytes: of its artefact.
        peak_memory_bytes: of a process that answers with it.
        batch_rows: rows that it answers at once: what `companions` allows, before that its faster way.
        companions: None for the export, and where it was not worth judging.
        alone: logits of rows that it answered alone, by their token ids.
        losing: slices and classes that certainly lost accuracy, where a split did not pass.
    """

    candidate: Candidate
    speeds: dict[int, Speed]
    ratios: dict[int, Interval]
    size_bytes: int
    peak_memory_bytes: int
    batch_rows: int
    companions: Verdict | None = None
    alone: dict[tuple[int, ...], Logits] = field(default_factory=dict)
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

    Only candidates that could be chosen are screened: those that beat the export by the goal in one way of answering
    at least, in batches or row by row. All are where `gates.compressed` is `required`. So which ones are depends on
    times, as the choice does.

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
    required = gates.compressed == "required"
    with contextlib.ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for candidate in candidates:
            engine = open_engine(folder / candidate.name, candidate.engine, candidate.artefact)
            engines[candidate.name] = stack.enter_context(contextlib.closing(engine))
        tried = _measure(folder, candidates, engines, validation.rows, progress)
        _prove_parity(tried[EXPORT], engines[EXPORT], validation, test, progress)
        compressed = {name: one for name, one in tried.items() if one.candidate.compressed}
        export = _facts(tried[EXPORT])
        for name in _worth_judging(goal, export, compressed, required=required):
            one = compressed[name]
            _find_companions(one, engines[name], [*validation.rows, *test.rows], progress)
            if required or no_better(goal, export, _facts(one)) is None:
                _judge(one, engines[name], validation, slices, gates, progress)
        facts = {name: _facts(one) for name, one in compressed.items()}
        ranking = rank(goal, export, facts)
        for name in ranking.ranked[:MAX_CONFIRMED]:
            _judge(tried[name], engines[name], test, slices, gates, progress)
            if outcome_of(tried[name].verdicts["test"]) == "PASS":
                break
    confirmed = {name: one.verdicts["test"] for name, one in compressed.items() if "test" in one.verdicts}
    decision = decide(goal, ranking, facts, confirmed, required=required)
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
        latency_ms=tried.speeds[tried.batch_rows].latency_ms,
        speed_ratio=tried.ratios[tried.batch_rows],
        peak_memory_bytes=tried.peak_memory_bytes,
        accuracy=tried.accuracy,
        verdicts=tried.all_verdicts,
        cpu_flags=cpu_flags(),
    )


def _measure(
    folder: Path,
    candidates: Sequence[Candidate],
    engines: dict[str, Engine],
    rows: Sequence[Row],
    progress: Progress,
) -> dict[str, Tried]:
    """Size, memory, and speed: the export in batches, every other one row by row, too."""
    ways = [Way(one.name, BATCH_ROWS) for one in candidates]
    ways += [Way(one.name, 1) for one in candidates if one.compressed]
    speeds = measure_speed(engines, rows, ways, progress=progress)
    memory = measure_memory(folder, candidates, rows[:BATCH_ROWS], progress=progress)
    base = speeds[Way(EXPORT, BATCH_ROWS)].batch_seconds
    tried = {}
    for candidate in candidates:
        own = {way.batch_rows: speed for way, speed in speeds.items() if way.name == candidate.name}
        ratios = {batch_rows: time_ratio(base, speed.batch_seconds) for batch_rows, speed in own.items()}
        tried[candidate.name] = Tried(
            candidate,
            own,
            ratios,
            sum((folder / candidate.name / file).stat().st_size for file in candidate.artefact),
            memory[candidate.name],
            batch_rows=max(ratios, key=lambda batch_rows: ratios[batch_rows].estimate),
        )
    return tried


def _worth_judging(goal: Goal, export: Facts, compressed: Mapping[str, Tried], *, required: bool) -> list[str]:
    """Names of the candidates that could be chosen: where a compressed one must be, any may be the least bad."""
    return [
        name
        for name, one in compressed.items()
        if required or any(no_better(goal, export, _facts(one, rows)) is None for rows in one.ratios)
    ]


def _find_companions(tried: Tried, engine: Engine, rows: Sequence[Row], progress: Progress) -> None:
    """Find out whether it may answer in batches."""
    found = judge_companions(engine, rows, subject=tried.candidate.name, progress=progress)
    tried.companions, tried.batch_rows, tried.alone = found


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
    logits = _answer(tried, engine, part.rows, progress, f"judge {name} on {part.split}")
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


def _answer(tried: Tried, engine: Engine, rows: Sequence[Row], progress: Progress, what: str) -> Logits:
    """Logits as served; who answers row by row is not asked again about a row that it answered alone before."""
    if tried.batch_rows > 1:
        return run_in_batches(engine, rows, batch_rows=tried.batch_rows, progress=progress, what=what)
    if fresh := [row for row in rows if tuple(row) not in tried.alone]:
        answers = run_in_batches(engine, fresh, batch_rows=1, progress=progress, what=what)
        tried.alone |= {tuple(row): logits for row, logits in zip(fresh, answers, strict=True)}
    return np.stack([tried.alone[tuple(row)] for row in rows])


def _facts(tried: Tried, batch_rows: int | None = None) -> Facts:
    """What the choice needs, answering `batch_rows` at once or as it does now."""
    ratio = tried.ratios[batch_rows or tried.batch_rows]
    return Facts(tried.size_bytes, ratio, tried.peak_memory_bytes, tried.verdicts.get("validation", []))
