import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard.engines.opening import open_engine
from modelyard.errors import InputError, MissingDependency


@pytest.mark.parametrize(("engine", "files"), [("onnx", ["model.onnx"]), ("openvino", ["model.xml", "model.bin"])])
def test_opens_what_the_card_names(sums: Path, engine: Any, files: list[str]) -> None:
    opened = open_engine(sums, engine, files, threads=1)
    assert opened.run([[4, 4]]).tolist() == [[2, 8]]
    opened.close()


def test_torch_opens_the_folder_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="config"):
        open_engine(tmp_path, "torch", [])


def test_all_missing_files_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_engine(tmp_path, "openvino", ["model.xml", "model.bin"])
    assert [problem.message for problem in caught.value.problems] == ["model.xml is missing", "model.bin is missing"]


def test_a_missing_library_comes_with_its_command(sums: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "modelyard.engines.onnx_engine", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match="pip install onnxruntime") as caught:
        open_engine(sums, "onnx", ["model.onnx"])
    assert caught.value.exit_status == 4
