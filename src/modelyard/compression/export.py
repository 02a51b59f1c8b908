"""From the trained torch model to ONNX, by the dynamo exporter."""

from pathlib import Path

import onnx_ir
import torch
from torch import Tensor
from transformers import PreTrainedModel

from modelyard.engines.quiet import quietly
from modelyard.engines.telemetry import without_telemetry
from modelyard.engines.torch_engine import load_classifier
from modelyard.errors import InputError, Problem

OPSET = 20  # the first with Gelu as one operator, which ONNX Runtime and OpenVINO run as one kernel
FILE_NAME = "model.onnx"
EXTERNAL_NAME = "model.onnx.data"  # the name that onnxscript gives
MAX_SINGLE_FILE_BYTES = 1_900_000_000  # protobuf stops at 2 GiB; the graph needs room beside the weights


class _Logits(torch.nn.Module):
    """The model with two tensors in and one out: what a graph can say."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask of shape (batch, length) to logits of shape (batch, labels)."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def export_onnx(model_folder: Path, folder: Path) -> list[str]:
    """Export a sequence classifier; batch and length stay free.

    Attention is exported `eager`: plain matrix products, which ONNX Runtime runs slightly faster than the graph of
    `sdpa` (144 against 148 ms for 32 rows of 25 tokens, MiniLM) and which T5 needs (findings.md 5).

    Args:
        model_folder: the trained model.
        folder: where `model.onnx` is written; weights above 1.9 GB go to `model.onnx.data` beside it.

    Returns:
        Names of the files written.

    Raises:
        InputError: the model cannot be loaded or cannot be exported.
    """
    model = load_classifier(model_folder)
    model.set_attn_implementation("eager")
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    external = size > MAX_SINGLE_FILE_BYTES
    free = {0: "batch", 1: "length"}
    try:
        with quietly(), without_telemetry():
            program = torch.onnx.export(
                _Logits(model).eval(),
                _example(model.config.vocab_size),
                dynamo=True,
                opset_version=OPSET,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_shapes=(free, free),
                verbose=False,
            )
            if program is None:
                raise RuntimeError("the exporter gave no program")
            _strip(program.model)
            program.save(folder / FILE_NAME, external_data=external)
    except RuntimeError as error:  # torch.onnx.errors.OnnxExporterError is one
        first_line = str(error).strip().partition("\n")[0]
        raise InputError(
            Problem(
                f"the model cannot be exported to ONNX: {first_line}",
                "train one of the encoders that `modelyard train` lists, or report this model",
                str(model_folder),
            )
        ) from error
    return [FILE_NAME, EXTERNAL_NAME] if external else [FILE_NAME]


def _strip(model: onnx_ir.Model) -> None:
    """Remove what the exporter remembers of this machine: stack traces with paths, in every node and value."""
    for graph in model.graphs():
        graph.metadata_props.clear()
        for value in [*graph.inputs, *graph.initializers.values()]:
            value.metadata_props.clear()
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
    model.metadata_props.clear()


def _example(vocabulary: int) -> tuple[Tensor, Tensor]:
    """3 rows of 7 tokens, one of them padded: sizes that no other dimension has, so that none is taken for fixed."""
    input_ids = torch.arange(21).reshape(3, 7) % vocabulary
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 4:] = 0
    return input_ids, attention_mask
