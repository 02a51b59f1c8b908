"""What every engine is."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Row = Sequence[int]
"""One encoded row: its token ids, special tokens included, not padded."""

Logits = NDArray[np.float32]


class Engine(Protocol):
    """Runs a classifier.

    `run` takes the rows of one batch, pads them to the longest of them, and returns their logits in the same order,
    shape (rows, labels), float32. It changes nothing between calls and may be called from one thread at a time.
    """

    def run(self, rows: Sequence[Row]) -> Logits:
        """Logits of one batch."""
        ...

    def close(self) -> None:
        """Release what the engine holds; it is not run again."""
        ...
