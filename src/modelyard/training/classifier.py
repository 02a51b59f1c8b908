"""The objective of a classifier, of one label a row or of several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from modelyard.engines.padding import pad
from modelyard.evidence.f1 import macro_f1
from modelyard.evidence.interval import Interval
from modelyard.tasks import multi_label
from modelyard.tasks.classification import correct, losses, marks
from modelyard.training.batches import Rows
from modelyard.training.objective import Pass

# activations of one forward pass of BERT-base on rows of 128 tokens: 3.3 GB in 16 bits, twice that in fp32
# (Korthikanti et al. 2022, Reducing activation recomputation, equation 1: tokens x h x (34 + 5as/h) bytes a layer)
TOKENS_PER_FORWARD = 8_192
Labels = NDArray[np.signedinteger]
"""As in `Rows`."""


def one_label_figures(logits: NDArray[np.float32], labels: Labels) -> dict[str, float]:
    """Accuracy, and macro-F1."""
    found = macro_f1(*marks(logits, labels))
    return {"validation_accuracy": float(correct(logits, labels).mean()), **_estimate("validation_macro_f1", found)}


def several_labels_figures(logits: NDArray[np.float32], labels: Labels) -> dict[str, float]:
    """Exact match, and macro-F1 where a row has a label or is given one."""
    found = macro_f1(*multi_label.marks(logits, labels))
    exact = float(multi_label.exact(logits, labels).mean())
    return {"validation_exact_match": exact, **_estimate("validation_macro_f1", found)}


def _estimate(name: str, found: Interval | None) -> dict[str, float]:
    return {} if found is None else {name: found.estimate}


@dataclass(frozen=True)
class Classifier:
    """Rows are padded to the longest of their part; an evaluation keeps their logits.

    Attributes:
        pad_id: token id of padding.
        losses: of each row in nats, from logits and labels.
        figures: of an evaluation by name, from logits and labels.
    """

    pad_id: int
    tokens_per_forward: int = TOKENS_PER_FORWARD
    packs: bool = False
    losses: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = losses
    figures: Callable[[NDArray[np.float32], Labels], Mapping[str, float]] = one_label_figures

    def places(self, rows: Rows, part: Sequence[int]) -> int:
        """As in `Objective`."""
        return len(part) * max(len(rows.ids[index]) for index in part)

    def read(self, rows: Rows, part: Sequence[int]) -> Pass:
        """As in `Objective`."""
        arrays, labels = pad([rows.ids[index] for index in part], self.pad_id), torch.from_numpy(rows.labels[part])

        def row_losses(called: torch.nn.Module) -> torch.Tensor:
            logits = forward(called, arrays)
            return self.losses(logits, labels.to(logits.device))

        return row_losses

    def width(self, model: PreTrainedModel) -> int:
        """One logit a label."""
        return int(model.config.num_labels)

    def outputs(self, model: PreTrainedModel, rows: Rows, part: Sequence[int]) -> NDArray[np.float32]:
        """Logits, shape (rows, labels)."""
        logits = forward(model, pad([rows.ids[index] for index in part], self.pad_id))
        return np.asarray(logits.float().cpu().numpy())

    def judged(self, outputs: NDArray[np.float32], rows: Rows) -> tuple[NDArray[np.float64], dict[str, float]]:
        """As in `Objective`."""
        found = self.losses(torch.from_numpy(outputs).double(), torch.from_numpy(rows.labels)).numpy()
        return found, dict(self.figures(outputs, rows.labels))


def forward(called: torch.nn.Module, arrays: Mapping[str, NDArray[np.int64]]) -> torch.Tensor:
    """Logits of padded rows, shape (rows, labels)."""
    device = next(called.parameters()).device
    logits: torch.Tensor = called(
        input_ids=torch.from_numpy(arrays["input_ids"]).to(device),
        attention_mask=torch.from_numpy(arrays["attention_mask"]).to(device),
    ).logits
    return logits
