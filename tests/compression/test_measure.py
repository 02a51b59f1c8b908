import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelyard.compression import measure
from modelyard.compression.candidates import Candidate
from modelyard.compression.measure import Way, measure_memory, measure_speed
from modelyard.errors import ModelyardError


def test_engines_take_turns_on_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int]] = []
    clock = iter(range(10_000))
    # a tick at the start and one at the end of each timed batch: every one takes one second
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))

    def engine(name: str) -> Any:
        return SimpleNamespace(run=lambda rows: calls.append((name, len(rows))))

    rows = [[1] * (1 + number % 3) for number in range(100)]
    ways = [Way("a", 32), Way("b", 32)]
    speeds = measure_speed({"a": engine("a"), "b": engine("b")}, rows, ways)
    assert list(speeds) == ways
    assert [len(speed.batch_seconds) for speed in speeds.values()] == [24, 24]
    assert speeds[ways[0]].latency_ms.estimate == 1000
    assert speeds[ways[0]].latency_ms.n == 40
    warm_up = 2 * 9
    assert calls[warm_up : warm_up + 8] == [("a", 1), ("a", 32), ("b", 1), ("b", 32)] * 2
    assert calls[-4:] == [("a", 1), ("a", 1), ("b", 1), ("b", 1)]


def test_fewer_rows_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = set()
    engine = SimpleNamespace(run=lambda rows: sizes.add(len(rows)))
    measure_speed({"a": engine}, [[1], [1, 2], [1]], [Way("a", 32)])  # type: ignore[dict-item]
    assert sizes == {3, 1}


def test_one_engine_is_timed_in_batches_and_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only calls move: 32 rows in one call cost one second, one by one they cost 32."""
    sizes: list[int] = []
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(len(sizes)))
    engine = SimpleNamespace(run=lambda rows: sizes.append(len(rows)))
    speeds = measure_speed({"a": engine}, [[1, 2]] * 40, [Way("a", 32), Way("a", 1)])  # type: ignore[dict-item]
    assert set(speeds[Way("a", 32)].batch_seconds) == {1.0}
    assert set(speeds[Way("a", 1)].batch_seconds) == {32.0}


def test_memory_grows_with_the_model(compressed: Any) -> None:
    """A model with 40 MB more weights takes about 40 MB more, whatever the library itself takes."""
    import onnx
    from onnx import TensorProto, helper

    folder: Path = compressed.candidates.parent / "memory"
    for name, words in (("small", 10), ("large", 1_000_000)):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
        table = onnx.numpy_helper.from_array(np.zeros((words, 10), dtype=np.float32), "table")
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
            helper.make_node("ReduceMax", ["vectors", "axis"], ["logits"], keepdims=0),
        ]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
            [table, helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.save(model, str(folder / name / "model.onnx"))
    candidates = [Candidate(name, "", "onnx", ["model.onnx"]) for name in ("small", "large")]
    peaks = measure_memory(folder, candidates, [[1, 2]])
    assert peaks["small"] > 1_000_000
    assert peaks["large"] - peaks["small"] > 35_000_000


def test_a_process_that_ends_badly_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelyardError, match=r"measures memory ended badly: .*config\.json"):
        measure_memory(tmp_path, [Candidate("none", "", "onnx", [])], [[1]])
    with pytest.raises(ModelyardError, match=r"ended badly: ValueError: 'no' is no engine"):
        measure_memory(tmp_path, [Candidate("none", "", "no", [])], [[1]])  # type: ignore[arg-type]


def test_a_process_that_never_ends_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **options: Any) -> Any:
        raise subprocess.TimeoutExpired(sys.executable, 600)

    monkeypatch.setattr(measure.subprocess, "run", never)
    with pytest.raises(ModelyardError, match="more than 600 seconds"):
        measure_memory(tmp_path, [], [[1]])
