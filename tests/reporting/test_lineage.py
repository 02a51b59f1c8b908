from collections.abc import Callable
from typing import Any

from modelyard.artifacts.files import write_json
from modelyard.artifacts.reports import read_report, read_run_record, write_report
from modelyard.evidence.report import Report
from modelyard.reporting.collect import collect
from modelyard.reporting.lineage import lineage_view

Make = Callable[..., Any]
OTHER = "sha256:" + "1" * 64


def test_a_chain_from_the_raw_files_to_the_release(make: Make) -> None:
    found = lineage_view(collect(make().folder))
    assert [link.name for link in found.links] == ["rows.csv", "prepared/", "", "model/", "candidates/", "release/"]
    assert "99 rows" in found.links[0].note
    assert "read by train, compress, release" in found.links[1].note
    assert "commit abc" in found.links[-1].note
    assert [(stage, same) for stage, _, same in found.reports] == [
        ("check", True),
        ("train", True),
        ("compress", True),
        ("release", True),
    ]


def test_stages_that_read_different_things_are_two_links(make: Make) -> None:
    made = make()
    report = read_report(made.reports / "compress.json")
    write_report(made.reports, report.model_copy(update={"inputs": {**report.inputs, "prepared": OTHER}}))
    found = lineage_view(collect(made.folder))
    prepared = [(link.digest, link.note) for link in found.links if link.name == "prepared/"]
    assert len(prepared) == 2 and prepared[1][0] == OTHER and "read by compress" in prepared[1][1]
    assert [same for stage, _, same in found.reports if stage == "compress"] == [False]


def test_without_a_release_and_prepared_data(make: Make) -> None:
    made = make(released=False)
    (made.folder / "prepared" / "dataset.json").unlink()
    write_report(made.reports, Report(stage="mine", project="p", inputs={"mine": OTHER}))
    found = lineage_view(collect(made.folder))
    assert found.links[0].name == "" and "read by check" in found.links[0].note
    assert all(same is None for _, _, same in found.reports)
    assert "mine" in [stage for stage, _, _ in found.reports]


def test_time_and_memory(make: Make) -> None:
    found = lineage_view(collect(make().folder))
    assert [one.stage for one in found.taken] == ["check", "train", "compress", "release"]
    one = found.taken[0]
    assert (one.start, one.memory) == ("2026-11-25 17:00:00", "2.0 GB")
    assert "1 min 1 s" in one.wall and "1 分 1 秒" in one.wall


def test_facts_say_which_stage_where_they_differ(make: Make) -> None:
    made = make()
    record = read_run_record(made.reports / "train.run.json")
    write_json(made.reports / "train.run.json", record.model_copy(update={"versions": {"torch": "2.14.0"}}))
    facts = {fact.name: fact.values for fact in lineage_view(collect(made.folder)).facts}
    assert facts["torch"] == [("2.13.0", ["check", "compress", "release"]), ("2.14.0", ["train"])]
    assert facts["memory_bytes"] == [("25.0 GB", ["check", "train", "compress", "release"])]
    assert facts["cpu_flags"][0][0] == "avx2"
