from pathlib import Path

import pytest

from modelyard.data.change.places import baseline_file, refuse_models
from modelyard.errors import InputError


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (["manifest.json", "signature"], "a release"),
        (["choice.json"], "a folder of candidates"),
        (["card.json", "model.onnx"], "a candidate"),
        (["training.json"], "a model"),
        (["config.json", "model.safetensors"], "a model"),
    ],
)
def test_models_and_releases_are_refused(tmp_path: Path, files: list[str], what: str) -> None:
    (tmp_path / "it").mkdir()
    for name in files:
        (tmp_path / "it" / name).touch()
    with pytest.raises(InputError) as raised:
        refuse_models("it", tmp_path)
    assert f"it is {what}, and this version compares data sets, not models or releases" in str(raised.value)
    assert "Next: name the data; prepared folders, data files and a baseline.json can be compared now" in str(
        raised.value
    )


def test_the_data_of_a_release_can_be_compared(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    for name in ("manifest.json", "signature", "baseline.json"):
        (tmp_path / "release" / name).touch()
    with pytest.raises(InputError, match=r"Next: name its data: release/baseline\.json as OLD;"):
        refuse_models("release", tmp_path)
    refuse_models("release/baseline.json", tmp_path)


def test_a_file_of_weights_and_a_project(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").touch()
    with pytest.raises(InputError, match=r"m.safetensors is a model"):
        refuse_models("m.safetensors", tmp_path)
    (tmp_path / "modelyard.yaml").touch()
    with pytest.raises(InputError, match=r"is a project\. Next: name its prepared data"):
        refuse_models(".", tmp_path)


@pytest.mark.parametrize("name", ["rows.csv", "nowhere", "x" * 5000, "**/*.csv"])
def test_anything_else_is_for_reading(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.csv").touch()
    (tmp_path / "config.json").write_text("{}")  # of some other program: no weights stand beside it
    refuse_models(name, tmp_path)
    refuse_models(".", tmp_path)
    assert baseline_file(name, tmp_path) is None


def test_baselines_are_known_by_name_or_beginning(tmp_path: Path) -> None:
    (tmp_path / "baseline.json").write_text("{")
    (tmp_path / "may.json").write_text('{"schema": 1, "rows": 3, "labels": {}}')
    (tmp_path / "rows.json").write_text('[{"text": "a", "label": "b"}]')
    assert baseline_file("baseline.json", tmp_path) == tmp_path / "baseline.json"
    assert baseline_file("may.json", tmp_path) == tmp_path / "may.json"
    assert baseline_file("rows.json", tmp_path) is None
