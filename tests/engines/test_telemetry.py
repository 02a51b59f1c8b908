import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from modelyard.engines.telemetry import without_telemetry


def test_the_package_cannot_be_imported_inside_and_is_back_after(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", real)
    with without_telemetry(), pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
    assert sys.modules["openvino_telemetry"] is real


def test_what_was_hidden_before_stays_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)
    with without_telemetry():
        pass
    assert sys.modules["openvino_telemetry"] is None


@pytest.mark.parametrize("before", [None, "0"])
def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    if before is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", before)
    with without_telemetry():
        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert os.environ.get("ORT_DISABLE_TELEMETRY") == before


@pytest.mark.parametrize("engine", ["onnx_engine", "openvino_engine"])
def test_nothing_is_written_into_the_home_folder(tmp_path: Path, engine: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import modelyard.engines.{engine}"],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
