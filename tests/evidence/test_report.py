import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement, Report, RunRecord

ROWS = Interval.exact(3, n=10, unit="rows")


def test_a_report_is_the_same_after_writing_and_reading() -> None:
    report = Report(
        stage="check",
        project="reviews",
        inputs={"data": "sha256:00"},
        parameters={"seed": 7},
        measurements=[Measurement(name="duplicates", interval=ROWS)],
        verdicts=[judge(ROWS, at_most(5), rule="duplicates")],
        notes=["a note"],
    )
    text = report.model_dump_json(by_alias=True)
    assert Report.model_validate_json(text) == report
    assert list(json.loads(text)) == [
        "schema",
        "stage",
        "project",
        "inputs",
        "parameters",
        "measurements",
        "verdicts",
        "notes",
    ]


def test_a_report_starts_empty_and_shares_nothing_with_another() -> None:
    one, other = Report(stage="a", project="p"), Report(stage="b", project="p")
    one.notes.append("only here")
    one.verdicts.append(judge(ROWS, at_most(5), rule="r"))
    assert (other.notes, other.verdicts, other.measurements, other.inputs, other.parameters) == ([], [], [], {}, {})
    assert other.schema_version == 1


def test_a_newer_or_stranger_document_is_refused() -> None:
    with pytest.raises(ValidationError, match="schema"):
        Report.model_validate({"schema": 2, "stage": "a", "project": "p"})
    with pytest.raises(ValidationError, match="extra"):
        Report.model_validate({"schema": 1, "stage": "a", "project": "p", "surprise": 1})


def test_what_a_stage_took_is_a_document_of_its_own() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    record = RunRecord(
        stage="check",
        start=now,
        end=now,
        wall_seconds=1.5,
        cpu_seconds=1.0,
        peak_memory_bytes=1,
        machine={},
        versions={},
    )
    assert RunRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record


FIRST_VERSION = """{"schema": 1, "stage": "train", "start": "2026-11-25T00:00:00Z", "end": "2026-11-25T00:00:02Z",
"wall_seconds": 2.0, "cpu_seconds": 1.0, "gpu_seconds": 0.0, "peak_memory_bytes": 1, "machine": {}, "versions": {}}"""


def test_what_nobody_measured_is_null_and_older_files_are_read() -> None:
    older = RunRecord.model_validate_json(FIRST_VERSION)
    assert older.gpu_seconds == 0.0
    fields = older.model_dump() | {"schema": older.schema_version}
    del fields["gpu_seconds"], fields["schema_version"]
    assert json.loads(RunRecord(**fields).model_dump_json(by_alias=True))["gpu_seconds"] is None
