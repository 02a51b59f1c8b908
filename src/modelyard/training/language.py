"""The objective of a causal language model: cross-entropy of the tokens that are learned, in rows laid side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from modelyard.training.base import alike
from modelyard.training.batches import Rows
from modelyard.training.objective import Pass
from modelyard.training.output_layer import only, summed_losses, tokens_per_forward
from modelyard.training.packing import Laid, fill, lay

_PROBE_TOKENS = 32


@dataclass(frozen=True)
class Language:
    """Cross-entropy of what is learned; an evaluation keeps the loss of each row, summed over its tokens.

    Attributes:
        packs: whether rows are laid side by side: where the model keeps them apart.
        tokens_per_forward: as in `Objective`.
        hidden_size: of the model.
    """

    packs: bool
    tokens_per_forward: int
    hidden_size: int

    def places(self, rows: Rows, part: Sequence[int]) -> int:
        """As in `Objective`."""
        lengths = [len(rows.ids[index]) for index in part]
        lines = self._lines(rows, part)
        return len(lines) * max(sum(lengths[place] for place in line) for line in lines)

    def read(self, rows: Rows, part: Sequence[int]) -> Pass:
        """As in `Objective`."""
        laid = lay(rows, part, self._lines(rows, part))

        def row_losses(called: torch.nn.Module) -> torch.Tensor:
            return summed_losses(_logits(called, laid, packs=self.packs), laid.targets, laid.owners, len(part))

        return row_losses

    def _lines(self, rows: Rows, part: Sequence[int]) -> list[list[int]]:
        if not self.packs:
            return [[place] for place in range(len(part))]
        return fill(tuple(len(rows.ids[index]) for index in part), self.hidden_size)

    def width(self, model: PreTrainedModel) -> int:
        """The loss alone."""
        return 1

    def outputs(self, model: PreTrainedModel, rows: Rows, part: Sequence[int]) -> NDArray[np.float32]:
        """The loss of each row in nats, shape (rows, 1)."""
        return np.asarray(self.read(rows, part)(model).float().cpu().numpy()[:, None])

    def judged(self, outputs: NDArray[np.float32], rows: Rows) -> tuple[NDArray[np.float64], dict[str, float]]:
        """As in `Objective`; the perplexity is the loss said otherwise."""
        return outputs[:, 0].astype(np.float64), {}


def language(model: PreTrainedModel, rows: Rows) -> Language:
    """The objective for a model and its rows: what fits one forward pass, and whether rows may lie side by side.

    Args:
        model: in fp32.
        rows: of the train split.
    """
    width = model.get_input_embeddings().embedding_dim
    return Language(keeps_apart(model, rows), tokens_per_forward(model), hidden_size=width)


def keeps_apart(model: PreTrainedModel, rows: Rows) -> bool:
    """Whether the model gives a row the same answers beside another as alone, tried on the start of the two longest.

    A model that takes no positions, or carries a state from token to token, does not.
    """
    longest = sorted(range(len(rows.ids)), key=lambda index: -len(rows.ids[index]))[:2]
    starts = [rows.ids[index][:_PROBE_TOKENS] for index in longest * (2 // len(longest))]
    tried = Rows(starts, ["", ""], learned=[b"\0" + b"\1" * (len(start) - 1) for start in starts])
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            alone = [_logits(model, lay(tried, [place], [[0]]), packs=False) for place in (0, 1)]
            beside = _logits(model, lay(tried, [0, 1], [[0, 1]]), packs=True)
    except (TypeError, ValueError, RuntimeError, IndexError):  # it takes no positions, or none that begin anew
        return False
    finally:
        model.train(training)
    return alike(torch.cat(alone), beside)


def _logits(called: torch.nn.Module, laid: Laid, *, packs: bool) -> torch.Tensor:
    """Logits of the places that are judged, shape (judged, vocabulary)."""
    device = next(called.parameters()).device
    given = {"position_ids": torch.from_numpy(laid.positions).to(device)} if packs else {}
    with only(called, torch.from_numpy(laid.judged).to(device)):
        logits: torch.Tensor = called(input_ids=torch.from_numpy(laid.ids).to(device), use_cache=False, **given).logits
    return logits
