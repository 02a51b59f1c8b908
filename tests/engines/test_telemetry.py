import sys
from types import ModuleType

import pytest

from modelyard.engines.telemetry import without_openvino_telemetry


def test_the_package_cannot_be_imported_inside_and_is_back_after(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", real)
    with without_openvino_telemetry(), pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
    assert sys.modules["openvino_telemetry"] is real


def test_what_was_hidden_before_stays_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)
    with without_openvino_telemetry():
        pass
    assert sys.modules["openvino_telemetry"] is None
