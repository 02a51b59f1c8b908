import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from modelyard.compression import export
from modelyard.compression.export import export_onnx
from modelyard.engines.onnx_engine import OnnxEngine
from modelyard.engines.torch_engine import TorchEngine
from modelyard.errors import InputError


def test_gives_the_trained_answers_at_any_batch_and_length(tiny_classifier: Path, compressed: Any) -> None:
    exported = OnnxEngine(compressed.candidates / "onnx-fp32", ["model.onnx"])
    trained = TorchEngine(tiny_classifier)
    for rows in ([[2, 3]], [[2]], [[2, 5, 3], [2, 9, 9, 9, 9, 9, 3]], [list(range(2, 42))] * 9, [[7] * 64]):
        np.testing.assert_allclose(exported.run(rows), trained.run(rows), atol=1e-5)


def test_the_file_says_what_was_asked_and_nothing_of_this_machine(compressed: Any) -> None:
    path: Path = compressed.candidates / "onnx-fp32" / "model.onnx"
    model = onnx.load(str(path))
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    assert [value.name for value in model.graph.input] == ["input_ids", "attention_mask"]
    assert [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", "length"]
    assert b"site-packages" not in path.read_bytes()
    assert b"modelyard" not in path.read_bytes()


def test_large_weights_go_beside_the_graph(
    tiny_classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MAX_SINGLE_FILE_BYTES", 1000)
    assert export_onnx(tiny_classifier, tmp_path) == ["model.onnx", "model.onnx.data"]
    shutil.copyfile(tiny_classifier / "config.json", tmp_path / "config.json")
    rows = [[2, 5, 3], [2, 3]]
    answers = OnnxEngine(tmp_path, ["model.onnx", "model.onnx.data"]).run(rows)
    np.testing.assert_allclose(answers, TorchEngine(tiny_classifier).run(rows), atol=1e-5)


def test_equal_work_gives_equal_bytes(tiny_classifier: Path, compressed: Any, tmp_path: Path) -> None:
    export_onnx(tiny_classifier, tmp_path)
    first = compressed.candidates / "onnx-fp32" / "model.onnx"
    assert (tmp_path / "model.onnx").read_bytes() == first.read_bytes()


def test_a_model_that_cannot_be_loaded_is_named(tiny_classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_classifier, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "no-such-model"}))
    with pytest.raises(InputError, match="the model cannot be loaded"):
        export_onnx(folder, tmp_path)


def test_what_the_exporter_cannot_do_is_named(
    tiny_classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise torch.onnx.errors.OnnxExporterError("no translation for aten::strange\nand a page of text")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(InputError, match=r"cannot be exported to ONNX: no translation for aten::strange\. Next"):
        export_onnx(tiny_classifier, tmp_path)
