"""The objective of a sequence to sequence model: cross-entropy of the target's tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from modelyard.engines.padding import pad
from modelyard.tasks.seq2seq_lm import sides
from modelyard.training.batches import Rows
from modelyard.training.objective import Pass
from modelyard.training.output_layer import only, summed_losses, tokens_per_forward


@dataclass(frozen=True)
class Seq2Seq:
    """Sources and targets are padded to the longest of their part, each side by itself.

    The decoder reads the target moved on by one place, behind its own first token, as in Vaswani et al. (2017),
    Attention is all you need, section 3.1. An evaluation keeps the loss of each row, summed over its target.

    Attributes:
        pad_id: token id of padding.
        start_id: token id that the decoder begins with.
        tokens_per_forward: as in `Objective`.
    """

    pad_id: int
    start_id: int
    tokens_per_forward: int
    packs: bool = False

    def places(self, rows: Rows, part: Sequence[int]) -> int:
        """As in `Objective`: of both sides."""
        split = [sides(rows.ids[index], rows.learned[index]) for index in part]
        return len(part) * sum(max(len(one[side]) for one in split) for side in (0, 1))

    def read(self, rows: Rows, part: Sequence[int]) -> Pass:
        """As in `Objective`."""
        split = [sides(rows.ids[index], rows.learned[index]) for index in part]
        read = pad([source for source, _ in split], self.pad_id)
        written = pad([target for _, target in split], self.pad_id)
        targets, judged = written["input_ids"], written["attention_mask"] == 1
        shifted = np.concatenate([np.full((len(part), 1), self.start_id), targets[:, :-1]], axis=1)

        def row_losses(called: torch.nn.Module) -> torch.Tensor:
            device = next(called.parameters()).device
            with only(called, torch.from_numpy(judged).to(device)):
                logits = called(
                    input_ids=torch.from_numpy(read["input_ids"]).to(device),
                    attention_mask=torch.from_numpy(read["attention_mask"]).to(device),
                    decoder_input_ids=torch.from_numpy(shifted).to(device),
                    use_cache=False,
                ).logits
            return summed_losses(logits, targets[judged], np.nonzero(judged)[0], len(part))

        return row_losses

    def width(self, model: PreTrainedModel) -> int:
        """The loss alone."""
        return 1

    def outputs(self, model: PreTrainedModel, rows: Rows, part: Sequence[int]) -> NDArray[np.float32]:
        """The loss of each row in nats, shape (rows, 1)."""
        return np.asarray(self.read(rows, part)(model).float().cpu().numpy()[:, None])

    def judged(self, outputs: NDArray[np.float32], rows: Rows) -> tuple[NDArray[np.float64], dict[str, float]]:
        """As in `Objective`; the perplexity is the loss said otherwise."""
        return outputs[:, 0].astype(np.float64), {}


def seq2seq(model: PreTrainedModel, rows: Rows) -> Seq2Seq:
    """The objective for a model from `load_seq2seq`."""
    config = model.config
    return Seq2Seq(int(config.pad_token_id), int(config.decoder_start_token_id), tokens_per_forward(model))
