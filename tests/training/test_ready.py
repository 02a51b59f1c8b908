"""Which settings a checkpoint is held to: every one that decides the steps."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from modelyard.progress import silent
from modelyard.project.load import parse_settings
from modelyard.project.train import TrainSection
from modelyard.training import loop
from modelyard.training.batches import Rows
from modelyard.training.ready import Ready, facts_of, kind_of, make_ready, read_data
from modelyard.training.surroundings import quiet_transformers

DECIDE = {
    "epochs": 2,
    "precision": "fp32",
    "learning_rate": 1e-3,
    "tokens_per_batch": 128,
    "lora_rank": 2,
    "seed": 8,
}
"""Settings of `train:` that decide the steps, each with another value than its default."""
EXEMPT = {
    "activation_checkpointing": "the same gradients, bit for bit",
    "sharded": "the same rows; the last bits may differ, which `Saved.differences` tells",
    "hours_between_failures": "when it is saved, not what is trained",
}


def ready_of(base: Path, prepared: Path, **train: Any) -> Ready:
    project = {"schema": 1, "project": "tiny", "data": {"train": "rows.csv"}, "model": {"base": str(base)}}
    settings = parse_settings(json.dumps(project | {"train": {"epochs": 1, "learning_rate": 2e-3} | train}))
    kind = kind_of(settings)
    data = read_data(prepared, settings, kind)
    with quiet_transformers():
        return make_ready(settings, kind, data, base, torch.device("cpu"), silent, sharded=False)


@pytest.fixture(scope="module")
def plain(tiny_base: Path, tiny_prepared: Path) -> Ready:
    return ready_of(tiny_base, tiny_prepared)


def test_every_setting_of_the_section_is_held_to_or_exempt() -> None:
    assert {*DECIDE, *EXEMPT} == set(TrainSection.model_fields)
    assert not {*DECIDE} & {*EXEMPT}


@pytest.mark.parametrize("name", DECIDE)
def test_another_value_makes_another_training(plain: Ready, tiny_base: Path, tiny_prepared: Path, name: str) -> None:
    other = ready_of(tiny_base, tiny_prepared, **{name: DECIDE[name]})
    facts, again = (facts_of(ready, ready.planned) for ready in (plain, other))
    assert facts.get(name) != again[name]


@pytest.mark.parametrize(("name", "value"), [("activation_checkpointing", True), ("hours_between_failures", 3.0)])
def test_an_exempt_one_does_not(plain: Ready, tiny_base: Path, tiny_prepared: Path, name: str, value: Any) -> None:
    other = ready_of(tiny_base, tiny_prepared, **{name: value})
    assert facts_of(other, other.planned) == facts_of(plain, plain.planned)


def test_the_same_settings_with_rows_in_another_order_are_another_training(
    plain: Ready, tiny_base: Path, tiny_prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(lengths: Sequence[int], **options: Any) -> list[list[int]]:
        return plan(lengths, **options)[::-1]

    plan = loop.plan
    monkeypatch.setattr(loop, "plan", turned)
    facts = facts_of(plain, plain.planned)
    other = ready_of(tiny_base, tiny_prepared)
    again = facts_of(other, other.planned)
    assert {name for name in facts if facts[name] != again[name]} == {"plan"}


def test_other_tokens_of_the_same_lengths_are_another_training(plain: Ready) -> None:
    """As of another version of tokenizers; those of validation decide which weights are kept."""
    facts = facts_of(plain, plain.planned)

    def changed(rows: Rows, **fields: Any) -> Rows:
        ids = [list(row) for row in rows.ids]
        ids[1][2] += 1
        return replace(rows, **{"ids": ids} | fields)

    train = plain.train
    for other in (
        replace(plain, train=changed(train)),
        replace(plain, validation=changed(plain.validation)),
        replace(plain, train=changed(train, ids=train.ids, labels=1 - train.labels)),
        replace(plain, train=changed(train, ids=train.ids, learned=[b"\1" * length for length in train.lengths])),
    ):
        again = facts_of(other, other.planned)
        assert {name for name in facts if facts[name] != again[name]} == {"plan"}
    assert facts_of(replace(plain, train=changed(train, ids=[list(row) for row in train.ids])), plain.planned) == facts


def test_rows_that_change_their_batches_are_seen(plain: Ready) -> None:
    """The same rows in the same order, cut at another place."""
    one, two, *rest = plain.planned
    moved = [one._replace(batch=[*one.batch, two.batch[0]]), two._replace(batch=two.batch[1:]), *rest]
    facts, again = facts_of(plain, plain.planned), facts_of(replace(plain, planned=moved), moved)
    assert {name for name in facts if facts[name] != again[name]} == {"plan"}
