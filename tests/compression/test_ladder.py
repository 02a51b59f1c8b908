from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.candidate import read_card
from modelyard.artifacts.prepared import read_prepared
from modelyard.compression import ladder
from modelyard.compression.candidates import EXPORT, Candidate
from modelyard.compression.inputs import encode_rows, read_trained
from modelyard.compression.ladder import Climbed, JudgedRows, climb
from modelyard.compression.reference import read_reference
from modelyard.project.gates import GatesSection

NAMES = (EXPORT, "openvino-int8-static", "onnx-int8-dynamic")


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

    def call(change: Any, **gates: Any) -> Climbed:
        return climb(
            compressed.candidates,
            candidates,
            part("validation", change),
            part("test", change),
            slices=["site"],
            goal="smallest",
            gates=GatesSection(**gates),
        )

    return call


@pytest.mark.parametrize("compressed_gate", ["optional", "required"])
def test_too_few_rows_for_the_limit(again: Any, compressed_gate: str) -> None:
    """80 rows cannot prove a drop of at most 1 point: even without one discordant row that takes 381."""
    climbed = again(lambda reference: reference, compressed=compressed_gate)
    assert [v.outcome for v in climbed.tried[EXPORT].all_verdicts] == ["PASS"]
    for name in climbed.ranking.ranked:
        assert climbed.tried[name].verdicts["test"][0].outcome == "INCONCLUSIVE"
    first = climbed.ranking.ranked[0]
    assert climbed.decision.chosen == (EXPORT if compressed_gate == "optional" else first)


def test_a_trained_model_that_was_always_right(again: Any) -> None:
    """Candidates that are right on half of the rows fail, and an export with other answers is not the same model."""

    def always_right(reference: Any) -> Any:
        logits = reference.logits * 0
        logits[range(len(logits)), reference.label_indices] = 50
        return replace(reference, logits=logits)

    climbed = again(always_right)
    (parity,) = climbed.tried[EXPORT].all_verdicts
    assert (parity.rule, parity.outcome, parity.interval.estimate) == ("parity", "FAIL", 80)
    assert climbed.tried[EXPORT].accuracy == {}
    assert climbed.ranking.ranked == []
    assert climbed.decision.chosen == EXPORT
    for name in NAMES[1:]:
        assert list(climbed.tried[name].verdicts) == ["validation"]
        assert climbed.decision.not_chosen[name].words.startswith("loses too much accuracy on validation: FAIL of")
        assert "class:" in "".join(climbed.tried[name].losing["validation"])
