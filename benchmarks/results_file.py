"""Where a benchmark's figures go: the same report schema that stages write, with the machine beside them."""

from pathlib import Path
from typing import Any

from modelyard.artifacts.files import write_json
from modelyard.artifacts.reports import describe_machine, installed_versions
from modelyard.evidence.judge import Verdict
from modelyard.evidence.report import Measurement, Report

FOLDER = Path(__file__).parent / "results"


def write_results(
    name: str,
    *,
    verdicts: list[Verdict],
    measurements: list[Measurement],
    parameters: dict[str, Any],
    notes: list[str],
) -> Path:
    """Write `results/NAME.json`: the claims as verdicts, the figures, and the machine and versions they came from."""
    report = Report(
        stage=f"benchmark:{name}",
        project="modelyard",
        parameters={**parameters, "machine": describe_machine(), "versions": installed_versions()},
        measurements=measurements,
        verdicts=verdicts,
        notes=notes,
    )
    path = FOLDER / f"{name}.json"
    write_json(path, report)
    return path
