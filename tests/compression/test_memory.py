import io
import sys
from typing import Any

import pytest

from modelyard.compression.memory import main, peak_bytes


def test_the_peak_is_at_least_what_was_held() -> None:
    before = peak_bytes()
    held = bytearray(before + 50_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert peak_bytes() >= len(held)


def test_writes_one_number(
    compressed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(compressed.candidates / "onnx-fp32")
    for arguments in ([], [folder, "onnx", "model.onnx"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO("[[2, 3]]"))
        main(arguments)
        assert int(capsys.readouterr().out) > 1_000_000


def test_an_unknown_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("[[2, 3]]"))
    with pytest.raises(ValueError, match="no engine"):
        main(["x", "pickle"])
