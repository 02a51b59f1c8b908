"""One tiny classifier, exported and compressed once for all tests of this room."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.project.schema import ProjectSchema


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
