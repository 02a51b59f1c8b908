"""The reference: a Hugging Face folder run by torch in fp32."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from modelyard.engines.base import Logits, Row
from modelyard.engines.padding import pad, read_pad_id
from modelyard.engines.quiet import quietly
from modelyard.errors import InputError, Problem


def load_classifier(folder: Path) -> PreTrainedModel:
    """The folder's sequence classifier in fp32, for answering only; nothing is downloaded and no code of it is run.

    Raises:
        InputError: the folder holds no model that transformers knows, or weights are missing: transformers would make
            up random ones, as for the head of a base model that was never fine-tuned.
    """
    next_step = "name the folder of a fine-tuned sequence classifier that transformers can load"
    try:
        with quietly():
            model, found = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise InputError(Problem(f"the model cannot be loaded: {first_line}", next_step, str(folder))) from error
    missing = sorted(found["missing_keys"])
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise InputError(Problem(f"the weights of {shown} are missing from the model", next_step, str(folder)))
    loaded: PreTrainedModel = model.eval()
    return loaded


class TorchEngine:
    """Runs a Hugging Face folder on the CPU; `threads` None leaves torch's own number."""

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._pad_id = read_pad_id(folder)
        self._model: PreTrainedModel | None = load_classifier(folder)

    def run(self, rows: Sequence[Row]) -> Logits:
        """Logits of one batch, shape (rows, labels)."""
        if self._model is None:
            raise ValueError("the engine is closed")
        arrays = pad(rows, self._pad_id)
        inputs = {name: torch.from_numpy(arrays[name]) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            logits: Logits = self._model(**inputs).logits.float().numpy()
        return logits

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None
