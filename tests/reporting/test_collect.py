import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.files import digest_file
from modelyard.errors import InputError
from modelyard.reporting.collect import collect
from modelyard.reporting.curves import MAX_LINE_BYTES

Make = Callable[..., Any]


def test_everything_is_found(make: Make) -> None:
    made = make()
    found = collect(made.folder)
    assert [report.stage for report in found.reports] == ["check", "train", "compress", "release"]
    assert list(found.runs) == ["check", "train", "compress", "release"]
    assert found.report_digests["release"] == digest_file(made.reports / "release.json")
    assert found.unread == {}
    assert found.data and found.curves and found.ladder and found.mistakes and found.release
    assert list(found.ladder.cards) == ["int8", "int4", "fp32"]  # the chosen one, then by rank, then the others
    assert found.release.digest == digest_file(made.folder / "release" / "manifest.json")


def test_a_folder_of_reports_is_as_good_as_the_project(make: Make) -> None:
    made = make()
    assert collect(made.reports).data == collect(made.folder).data is not None


def test_labels_are_counted_in_every_split(make: Make) -> None:
    found = collect(make(labels=2).folder)
    assert found.data is not None
    assert found.data.labels == {
        "label 000": {"train": 4, "validation": 4, "test": 4},
        "label 001": {"train": 4, "validation": 4, "test": 4},
    }


def test_curves_keep_what_is_no_number_and_pass_over_broken_lines(make: Make) -> None:
    found = collect(make().folder)
    assert found.curves is not None
    assert len(found.curves.metrics.steps) == 19
    assert [step for step, loss in found.curves.metrics.steps if math.isnan(loss)] == [5.0]
    assert found.curves.metrics.skipped == 1  # the last line was cut short by a kill
    assert found.curves.best_step == 20 and len(found.curves.evaluations) == 2


def test_the_metrics_file_alone_is_enough_for_curves(make: Make) -> None:
    made = make()
    shutil.rmtree(made.folder / "model")
    lines = [
        {"step": 1, "loss": 0.5},
        {"step": 1, "validation_loss": 0.4},
        [1],
        {"step": math.inf, "loss": 1},
        {"a": "b"},
    ]
    text = "\n".join([*map(json.dumps, lines), '{"step": 1' + "0" * 400 + ', "loss": 1}'])
    (made.reports / "train.metrics.jsonl").write_text(text)
    found = collect(made.folder)
    assert found.curves is not None
    assert found.curves.metrics.steps == [(1.0, 0.5)] and found.curves.evaluations == [
        {"step": 1.0, "validation_loss": 0.4}
    ]
    assert (found.curves.best_step, found.curves.metrics.skipped) == (None, 3)


def test_a_line_without_end_is_never_held_whole(make: Make) -> None:
    made = make()
    metrics = made.reports / "train.metrics.jsonl"
    metrics.write_bytes(b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": ' + b"1" * (3 * MAX_LINE_BYTES - 50) + b"}\n")
    found = collect(made.folder)
    assert found.curves is not None
    assert found.curves.metrics.steps == [(1.0, 0.5)]
    assert found.curves.metrics.skipped == 3  # three pieces, none of them figures


@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        ("prepared", {"data", "mistakes"}),
        ("model", set()),  # the metrics file draws curves too
        ("candidates", {"ladder", "mistakes"}),
        ("candidates/reference", {"mistakes"}),
        ("release", {"release"}),
    ],
)
def test_what_is_missing_is_left_out_without_a_word(make: Make, gone: str, missing: set[str]) -> None:
    made = make()
    shutil.rmtree(made.folder / gone)
    found = collect(made.folder)
    sections = ("data", "curves", "ladder", "mistakes", "release")
    assert {name for name in sections if getattr(found, name) is None} == missing
    assert found.unread == {}


@pytest.mark.parametrize(
    ("broken", "section"),
    [
        ("prepared/dataset.json", "data"),
        ("prepared/baseline.json", "data"),
        ("prepared/train.parquet", "data"),
        ("prepared/dropped.parquet", "data"),
        ("prepared/test.parquet", "data"),
        ("model/training.json", "training"),
        ("candidates/choice.json", "ladder"),
        ("candidates/int4/card.json", "ladder"),
        ("candidates/reference/test.parquet", "mistakes"),
        ("release/manifest.json", "release"),
        ("reports/train.run.json", "lineage"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_the_reason(make: Make, broken: str, section: str) -> None:
    made = make()
    (made.folder / broken).write_bytes(b"{")
    found = collect(made.folder)
    assert section in found.unread
    assert all(problem.message and problem.next_step for problem in found.unread[section])


def test_answers_about_other_rows_are_left_out(make: Make) -> None:
    made = make()
    shutil.copyfile(made.folder / "prepared" / "train.parquet", made.folder / "prepared" / "test.parquet")
    assert "not about these rows" in collect(made.folder).unread["mistakes"][0].message


def test_every_broken_report_is_named(make: Make) -> None:
    made = make()
    for stage in ("check", "release"):
        (made.reports / f"{stage}.json").write_text("{")
    with pytest.raises(InputError) as caught:
        collect(made.folder)
    assert len(caught.value.problems) == 2


def test_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no report"):
        collect(tmp_path)


def test_the_evidence_inside_a_release_names_that_release(make: Make, tmp_path: Path) -> None:
    made = make()
    evidence = made.folder / "release" / "evidence"
    shutil.copytree(made.reports, evidence)
    found = collect(evidence)
    assert found.release is not None and found.release.folder == (made.folder / "release").resolve()
    assert found.data is None
