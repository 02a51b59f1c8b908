"""The whole stage on a tiny encoder: what it writes, that it learns, that it is the same bit for bit, what it refuses."""

import json
from pathlib import Path

from modelyard.artifacts.files import digest_folder
from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.project.schema import ProjectSchema
from modelyard.training.train import train


def settings_of(base: Path, **train_section: object) -> ProjectSchema:
    return parse_settings(
        json.dumps(
            {
                "schema": 1,
                "project": "tiny",
                "data": {"train": "rows.csv"},
                "model": {"base": str(base)},
                "train": {"learning_rate": 0.003, "epochs": 4, **train_section},
            }
        )
    )


def run(base: Path, prepared: Path, place: Path, **train_section: object) -> Report:
    return train(
        settings_of(base, **train_section),
        root=place,
        prepared=prepared,
        output=place / "model",
        reports=place / "reports",
    )


def test_learns_and_repeats(tiny_base, tiny_prepared, tmp_path):
    report = run(tiny_base, tiny_prepared, tmp_path / "one")
    print(report.model_dump_json(indent=1))
    print((tmp_path / "one/model/training.json").read_text())
    print(sorted(p.name for p in (tmp_path / "one/model").iterdir()), (tmp_path / "one/model/config.json").read_text())
    run(tiny_base, tiny_prepared, tmp_path / "two")
    assert digest_folder(tmp_path / "one/model") == digest_folder(tmp_path / "two/model")
