from pathlib import Path

import pytest

from modelyard.errors import InputError
from modelyard.pipeline.stages import Event, Failure, parse_failure, parse_line, read_stages
from modelyard.project.load import load_project

SETTINGS = "schema: 1\nproject: toy\ndata: {train: data/rows.csv}\nmodel: {base: base}\n"
CHECK = (
    "stages:\n  check:\n    cmd: modelyard check --exit-zero\n    deps: [data]\n"
    "    params: [{modelyard.yaml: [data]}]\n"
)


def read(folder: Path, pipeline: str | None, settings: str = SETTINGS) -> dict[str, dict[str, object]]:
    (folder / "modelyard.yaml").write_text(settings)
    if pipeline is not None:
        (folder / "dvc.yaml").write_text(pipeline)
    return read_stages(load_project(folder))


def problems(folder: Path, pipeline: str | None, settings: str = SETTINGS) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, pipeline, settings)
    return [str(problem) for problem in caught.value.problems]


def test_stages_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert list(read(tmp_path, CHECK + "  mine:\n    cmd: true\n")) == ["check", "mine"]


@pytest.mark.parametrize("pipeline", [None, "stages: [", "3", "stages: 3", "stages: {a: 3}", "x" * 2**21])
def test_what_is_no_pipeline_is_refused(tmp_path: Path, pipeline: str | None) -> None:
    assert "dvc.yaml" in problems(tmp_path, pipeline)[0]


def test_a_setting_that_the_pipeline_follows_must_be_written_out(tmp_path: Path) -> None:
    found = problems(tmp_path, CHECK.replace("[data]}", "[data, gates.drop_max, compress, mine.own]}"))
    assert len(found) == 3
    assert "compress is missing from modelyard.yaml" in found[0]
    assert "compress = {goal: fastest}" in found[0]
    assert "gates.drop_max = 0.01" in found[1]
    assert "take it out of the params" in found[2]


def test_data_that_check_does_not_depend_on_is_named(tmp_path: Path) -> None:
    settings = SETTINGS.replace("{train: data/rows.csv}", "{train: [data/a.csv, /far/b.csv], test: elsewhere}")
    found = problems(tmp_path, CHECK, settings)
    assert ["data.train names '/far/b.csv'" in found[0], "data.test names 'elsewhere'" in found[1]] == [True, True]


def test_a_check_stage_of_ones_own_may_depend_on_anything(tmp_path: Path) -> None:
    settings = SETTINGS.replace("data/rows.csv", "elsewhere.csv")
    assert list(read(tmp_path, CHECK.replace("modelyard check", "python own.py"), settings)) == ["check"]


# lines as DVC 3.67 prints them
@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("Running stage 'check':", Event("started", "check")),
        ("Stage 'check' didn't change, skipping", Event("unchanged", "check")),
        ("Stage 'check' is cached - skipping run, checking out outputs", Event("unchanged", "check")),
        ("check says hello", Event("output", "now", "check says hello")),
        ("", Event("output", "now", "")),
        ("> modelyard check --exit-zero", None),
        ("'data.dvc' didn't change, skipping", None),
        ("Generating lock file 'dvc.lock'", None),
        ("Use `dvc push` to send your updates to remote storage.", None),
        ("Data and pipelines are up to date.", None),
    ],
)
def test_lines_of_dvc(line: str, event: Event | None) -> None:
    assert parse_line(line, "now") == event


def test_the_stage_that_failed_and_its_status() -> None:
    text = "ERROR: failed to reproduce 'train': failed to run: modelyard train\n--exit-zero, exited with 2"
    assert parse_failure(text) == Failure("train", 2)
    assert parse_failure("ERROR: failed to reproduce 'a': missing data 'b'") == Failure("a", None)
    assert parse_failure("ERROR: failed to reproduce 'a': failed to run: x, exited with -9") == Failure("a", -9)
    assert parse_failure("ERROR: something else") is None


@pytest.mark.parametrize(("written", "refused"), [("2026-11-25", True), ('"2026-11-25"', False)])
def test_a_date_that_dvc_cannot_store_is_named_with_its_line(tmp_path: Path, written: str, refused: bool) -> None:
    waiver = f"    - {{rule: drop_max, by: Li, on: {written}, reason: so}}\n"
    settings = SETTINGS + "gates:\n  waivers:\n" + waiver
    if not refused:
        assert list(read(tmp_path, CHECK, settings)) == ["check"]
        return
    (problem,) = problems(tmp_path, CHECK, settings)
    assert "modelyard.yaml:7" in problem and 'write it in quotes: "2026-11-25"' in problem
