from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.candidate import read_card
from modelyard.artifacts.prepared import read_prepared
from modelyard.compression import ladder
from modelyard.compression.candidates import DYNAMIC, EXPORT, STATIC, Candidate
from modelyard.compression.inputs import encode_rows, read_trained
from modelyard.compression.ladder import Climbed, JudgedRows, climb
from modelyard.compression.measure import Speed, Way
from modelyard.compression.reference import read_reference
from modelyard.evidence.timing import median_interval
from modelyard.project.gates import GatesSection

NAMES = (EXPORT, STATIC, DYNAMIC)


@pytest.fixture
def again(compressed: Any, tiny_classifier: Path, tiny_prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Climb once more with the candidates that were made, after a change to what the trained model answered."""
    monkeypatch.setattr(ladder, "measure_memory", lambda folder, candidates, rows, progress: dict.fromkeys(NAMES, 9))
    prepared, trained = read_prepared(tiny_prepared), read_trained(tiny_classifier)
    cards = [read_card(compressed.candidates / name) for name in NAMES]
    candidates = [Candidate(card.name, card.technique, card.engine, card.artefact) for card in cards]

    def part(split: Any, change: Any) -> JudgedRows:
        frame, reference = prepared.split(split), read_reference(compressed.candidates, split)
        return JudgedRows(split, frame, encode_rows(trained, frame), change(reference))

    def call(change: Any, goal: Any = "smallest", **gates: Any) -> Climbed:
        return climb(
            compressed.candidates,
            candidates,
            part("validation", change),
            part("test", change),
            slices=["site"],
            goal=goal,
            gates=GatesSection(**gates),
        )

    return call


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say how many times as fast as the export each compressed candidate is, in batches and row by row."""

    def call(ratios: dict[str, tuple[float, float]]) -> None:
        def measure_speed(engines: Any, rows: Any, ways: Any, *, progress: Any) -> dict[Way, Speed]:
            seconds = {
                way: 10.0 if way.name == EXPORT else 10.0 / ratios[way.name][way.batch_rows == 1] for way in ways
            }
            return {way: Speed([time] * 24, median_interval([time] * 40)) for way, time in seconds.items()}

        monkeypatch.setattr(ladder, "measure_speed", measure_speed)

    return call


def test_no_row_is_asked_of_who_cannot_be_chosen(again: Any, timed: Any) -> None:
    """Slower in batches and row by row, it is not judged."""
    timed({STATIC: (0.8, 0.9), DYNAMIC: (0.5, 2.0)})
    climbed = again(lambda reference: reference, goal="fastest")
    slow, quick = climbed.tried[STATIC], climbed.tried[DYNAMIC]
    assert (slow.all_verdicts, slow.accuracy) == ([], {})
    assert slow.ratios[slow.batch_rows].estimate == pytest.approx(0.9)  # the better of its two ways
    assert climbed.decision.not_chosen[STATIC].words.startswith("not certainly faster than onnx-fp32")
    assert quick.companions is not None
    timed({STATIC: (0.8, 0.9), DYNAMIC: (0.5, 0.6)})
    assert not any(again(lambda reference: reference, goal="fastest").tried[name].all_verdicts for name in NAMES[1:])


def test_where_a_compressed_one_must_be_chosen_the_slow_and_accurate_one_is(
    again: Any, timed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed({STATIC: (0.8, 0.9), DYNAMIC: (2.0, 2.0)})
    real = ladder._answer

    def answer(tried: Any, *arguments: Any) -> Any:
        logits = real(tried, *arguments)
        return -logits if tried.candidate.name == DYNAMIC else logits  # the fast one is wrong wherever it was right

    monkeypatch.setattr(ladder, "_answer", answer)
    climbed = again(lambda reference: reference, goal="fastest", compressed="required")
    assert climbed.decision.not_chosen[DYNAMIC].words.startswith("loses too much accuracy on validation: FAIL")
    assert climbed.decision.chosen == STATIC


def test_fast_only_in_a_way_that_its_companions_forbid(again: Any, timed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faster in batches, where its answers depend on their company: it has its `batch_flips`, and is not screened."""
    timed({STATIC: (0.8, 0.9), DYNAMIC: (2.0, 0.6)})
    real = ladder.judge_companions
    monkeypatch.setattr(ladder, "judge_companions", lambda *a, **k: real(*a, **k)._replace(batch_rows=1))
    one = again(lambda reference: reference, goal="fastest").tried[DYNAMIC]
    assert one.companions is not None
    assert one.batch_rows == 1
    assert one.verdicts == {}


def test_a_row_answered_alone_is_not_asked_again(again: Any, timed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Served row by row, the rows that the companions were judged on have their answers, whatever is asked now."""
    asked: list[str] = []
    real_answers, real_companions = ladder.run_in_batches, ladder.judge_companions

    def companions(*arguments: Any, **options: Any) -> Any:
        return real_companions(*arguments, **options)._replace(batch_rows=1)

    def run_in_batches(engine: Any, rows: Any, **options: Any) -> Any:
        asked.append(options["what"])
        return real_answers(engine, rows, **options)

    timed(dict.fromkeys(NAMES[1:], (2.0, 2.0)))
    monkeypatch.setattr(ladder, "judge_companions", companions)
    monkeypatch.setattr(ladder, "run_in_batches", run_in_batches)
    climbed = again(lambda reference: reference, goal="fastest")
    assert asked == []  # 160 rows, all of them answered alone for the companions
    assert [climbed.tried[name].accuracy["validation"].n for name in NAMES[1:]] == [60, 60]


@pytest.mark.parametrize("compressed_gate", ["optional", "required"])
def test_too_few_rows_for_the_limit(again: Any, compressed_gate: str) -> None:
    """80 rows cannot prove a drop of at most 1 point: even without one discordant row that takes 381."""
    climbed = again(lambda reference: reference, compressed=compressed_gate)
    assert [v.outcome for v in climbed.tried[EXPORT].all_verdicts] == ["PASS"]
    for name in climbed.ranking.ranked:
        assert climbed.tried[name].verdicts["test"][0].outcome == "INCONCLUSIVE"
    first = climbed.ranking.ranked[0]
    assert climbed.decision.chosen == (EXPORT if compressed_gate == "optional" else first)


def test_a_trained_model_that_was_always_right(again: Any, timed: Any) -> None:
    """Candidates that are right on half of the rows fail, and an export with other answers is not the same model."""

    def always_right(reference: Any) -> Any:
        logits = reference.logits * 0
        logits[range(len(logits)), reference.label_indices] = 50
        return replace(reference, logits=logits)

    timed(dict.fromkeys(NAMES[1:], (2.0, 2.0)))
    climbed = again(always_right, goal="fastest")
    (parity,) = climbed.tried[EXPORT].all_verdicts
    assert (parity.rule, parity.outcome, parity.interval.estimate) == ("parity", "FAIL", 80)
    assert climbed.tried[EXPORT].accuracy == {}
    assert climbed.ranking.ranked == []
    assert climbed.decision.chosen == EXPORT
    for name in NAMES[1:]:
        assert list(climbed.tried[name].verdicts) == ["validation"]
        assert climbed.decision.not_chosen[name].words.startswith("loses too much accuracy on validation: FAIL of")
        assert "class:" in "".join(climbed.tried[name].losing["validation"])
