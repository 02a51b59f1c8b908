"""One tiny classifier, exported and compressed once for all tests of this room."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.project.schema import ProjectSchema


@pytest.fixture(scope="session")
def tiny_classifier(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_base` with a head for bad and good, its logits spread widely enough to be no ties."""
    import torch
    from transformers import BertForSequenceClassification

    from modelyard.engines.quiet import quietly

    folder = tmp_path_factory.mktemp("classifier") / "model"
    torch.manual_seed(3)
    with quietly():
        model = BertForSequenceClassification.from_pretrained(
            tiny_base, num_labels=2, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1}
        )
        torch.nn.init.normal_(model.classifier.weight, std=2.0)
        model.save_pretrained(folder)
    shutil.copyfile(tiny_base / "tokenizer.json", folder / "tokenizer.json")
    return folder


@dataclass(frozen=True)
class Compressed:
    """What `compress` made of the tiny classifier."""

    candidates: Path
    reports: Path
    report: Report
    told: list[str]


@pytest.fixture(scope="session")
def settings_of() -> Callable[[str], ProjectSchema]:
    """Settings with more lines at the end."""
    return lambda more: parse_settings(
        "schema: 1\nproject: tiny\ndata: {train: rows.csv}\nmodel: {base: models/tiny}\n" + more
    )


@pytest.fixture(scope="session")
def compressed(
    tiny_classifier: Path,
    tiny_prepared: Path,
    settings_of: Callable[[str], ProjectSchema],
    tmp_path_factory: pytest.TempPathFactory,
) -> Compressed:
    """The stage run once with the goal `smallest`, whose ranking does not depend on the clock."""
    from modelyard.compression.compress import compress

    folder = tmp_path_factory.mktemp("compressed")
    told: list[str] = []
    report = compress(
        settings_of("compress: {goal: smallest}\ngates: {drop_max: 0.2, slice_drop_max: 0.4}\n"),
        prepared=tiny_prepared,
        model=tiny_classifier,
        output=folder / "candidates",
        reports=folder / "reports",
        progress=lambda what, done, total: told.append(what),
    )
    return Compressed(folder / "candidates", folder / "reports", report, told)
