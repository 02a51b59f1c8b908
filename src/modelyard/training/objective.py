"""What a training minimises, as the loop sees it."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from modelyard.training.batches import Rows

Pass = Callable[[torch.nn.Module], torch.Tensor]
"""A forward pass of rows that are arrays already: from the model, or what adds up its gradients over several processes,
to the loss of each row in nats, at least in float32, shape (rows,)."""


class Objective(Protocol):
    """How rows go through the model, what each loses, and how an evaluation is judged.

    The mean loss is the sum of the rows' losses over the sum of their weights (`Rows.weights`). A dataclass, of which
    `memory.within` makes others of smaller `tokens_per_forward`.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def tokens_per_forward(self) -> int:
        """The most tokens of one forward pass in training, padding included."""
        ...

    @property
    def packs(self) -> bool:
        """Whether rows lie side by side, so that only their own tokens count."""
        ...

    def places(self, rows: Rows, part: Sequence[int]) -> int:
        """Tokens of the forward pass of a part, padding included."""
        ...

    def read(self, rows: Rows, part: Sequence[int]) -> Pass:
        """Put the rows of a part into arrays, in main memory; the pass copies them to its device.

        Args:
            rows: of the split.
            part: indices of some, at least one.
        """
        ...

    def width(self, model: PreTrainedModel) -> int:
        """How many numbers `outputs` gives of a row."""
        ...

    def outputs(self, model: PreTrainedModel, rows: Rows, part: Sequence[int]) -> NDArray[np.float32]:
        """What an evaluation keeps of each row of a part, shape (rows, width)."""
        ...

    def judged(self, outputs: NDArray[np.float32], rows: Rows) -> tuple[NDArray[np.float64], dict[str, float]]:
        """From the outputs of all rows: the loss of each, shape (rows,), and the figures of the evaluation by name."""
        ...
