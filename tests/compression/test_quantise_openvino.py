import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from modelyard.compression.quantise_openvino import quantise_static
from modelyard.engines.openvino_engine import OpenvinoEngine

ROWS = [[2, 5 + number % 20, 6, 7 + number % 9, 3] for number in range(12)]


def test_equal_work_gives_equal_bytes_in_the_same_process(compressed: Any, tmp_path: Path) -> None:
    model = compressed.candidates / "onnx-fp32" / "model.onnx"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert quantise_static(model, tmp_path / name, ROWS, cpu_flags=["avx2"]) == ["model.xml", "model.bin"]
    for file in ("model.xml", "model.bin"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_an_answer_does_not_depend_on_its_companions(compressed: Any) -> None:
    engine = OpenvinoEngine(compressed.candidates / "openvino-int8-static", ["model.xml", "model.bin"])
    alone = [engine.run([row])[0].tolist() for row in ROWS]
    together = engine.run(ROWS).tolist()
    assert all(
        abs(a - b) < 1e-4 for one, other in zip(alone, together, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_no_network_and_nothing_in_the_home_folder(compressed: Any, tmp_path: Path) -> None:
    """The whole of NNCF in a process without pytest, which NNCF looks for, and with sockets that raise."""
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    code = """
import json, socket, sys
from pathlib import Path
def refuse(*a, **k): raise SystemExit("a socket was opened")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from modelyard.compression.quantise_openvino import quantise_static
quantise_static(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), cpu_flags=[])
"""
    model: Path = compressed.candidates / "onnx-fp32" / "model.onnx"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(model), str(out), json.dumps(ROWS)],
        env={"HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(home.iterdir()) == []
    assert {path.name for path in out.iterdir()} == {"model.xml", "model.bin"}
