"""`modelyard.yaml`: what is wrong with it, each problem with its line, all at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import InputError
from modelyard.project.load import load_project, parse_settings
from modelyard.project.schema import ProjectSchema

MINIMAL = "schema: 1\nproject: reviews\ndata: {train: a.csv}\nmodel: {base: models/minilm}\n"


def problems(text: str) -> list[tuple[str, str]]:
    """Place and message with next step of every problem."""
    with pytest.raises(InputError) as found:
        parse_settings(text)
    return [(problem.where, f"{problem.message}. {problem.next_step}") for problem in found.value.problems]


def test_the_least_that_is_needed_takes_the_documented_defaults() -> None:
    settings = parse_settings(MINIMAL)
    assert (settings.data.split.validation, settings.data.split.test) == (0.15, 0.25)
    assert (settings.gates.drop_max, settings.gates.slice_drop_max) == (0.01, 0.03)


def test_all_problems_at_once_with_their_lines() -> None:
    text = "schema: 1\nproject: r\ndata:\n  train: a.csv\n  splits: {}\nmodle: {base: m}\ntrain:\n  epochs: two\n"
    found = dict(problems(text))
    assert set(found) == {"modelyard.yaml:5", "modelyard.yaml:6", "modelyard.yaml:8"}
    assert "split" in found["modelyard.yaml:5"]
    assert "model" in found["modelyard.yaml:6"]
    assert '"two"; it must be a whole number' in found["modelyard.yaml:8"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no settings"),
        ("- a\n- b\n", "no settings"),
        ("a:\n\tb: 1\n", "tab"),
        ("a: &x [1]\nb: *x\n", "alias"),
        (MINIMAL + "project: twice\n", "twice"),
        (MINIMAL + "train: {seed: 2026-99-99}\n", "2026-99-99"),
        (MINIMAL + "serve: !!python/object:os.system x\n", "python"),
        (MINIMAL + "gates: {drop_max: .nan}\n", "drop_max"),
        (MINIMAL + "gates: {drop_max: 2}\n", "drop_max"),
        (MINIMAL.replace("schema: 1", "schema: 2"), "schema"),
        (MINIMAL.replace("reviews", "a/b"), "a/b"),
        (MINIMAL.replace("{train: a.csv}", "{train: 3}"), "data.train"),
        (MINIMAL + "a: " + "[" * 60 + "]" * 60 + "\n", "20 levels"),
        ("data: \x00\n", "YAML"),
    ],
)
def test_what_cannot_be_read_says_why_and_where(text: str, word: str) -> None:
    found = problems(text)
    assert any(word in message for _, message in found), found
    assert all(where.startswith("modelyard.yaml") for where, _ in found)


def test_splits_that_leave_nothing_to_train_on() -> None:
    text = MINIMAL.replace("{train: a.csv}", "{train: a.csv, split: {validation: 0.5, test: 0.5}}")
    assert any("leave no rows" in message for _, message in problems(text))


def test_a_byte_order_mark_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="modelyard init"):
        load_project(tmp_path)
    (tmp_path / "modelyard.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    project = load_project(tmp_path)
    assert project.path("data") == tmp_path / "data"
    (tmp_path / "modelyard.yaml").write_bytes("schema: 1\nproject: é".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        load_project(tmp_path)
    (tmp_path / "modelyard.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(InputError, match="1 MiB"):
        load_project(tmp_path)


def test_every_field_is_described() -> None:
    def walk(node: Any) -> int:
        if not isinstance(node, dict):
            return 0
        count = 0
        for name, field in node.get("properties", {}).items():
            assert field.get("description"), name
            count += 1
        return count + sum(walk(child) for child in node.get("$defs", {}).values())

    assert walk(json.loads(json.dumps(ProjectSchema.model_json_schema(by_alias=True)))) >= 40


def test_a_waiver_has_a_name_a_day_and_a_reason() -> None:
    whole = "{rule: drop_max, by: Li, on: 2026-11-25, reason: why}"
    assert parse_settings(MINIMAL + f"gates: {{waivers: [{whole}]}}\n").gates.waivers[0].by == "Li"
    assert len(problems(MINIMAL + "gates: {waivers: [{rule: drop_max}]}\n")) == 3
