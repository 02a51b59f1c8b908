"""Multi-label classification: one text, any number of labels, each of which it has or has not."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def losses(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """Binary cross-entropy of each row in nats, the mean over its labels, at least in float32.

    The mean over a batch is that of `torch.nn.BCEWithLogitsLoss`, which transformers trains such a model with.

    Args:
        logits: shape (rows, labels).
        labels: 1 where a row has a label, else 0, shape (rows, labels).

    Returns:
        Shape (rows,).
    """
    import torch  # only training needs it

    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    found = torch.nn.functional.binary_cross_entropy_with_logits(wide, labels.to(wide.dtype), reduction="none")
    return found.mean(dim=1)


def marks(
    logits: NDArray[np.float32], labels: NDArray[np.signedinteger]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels each row has, and which it is given: those whose probability is above one half.

    Args:
        logits: shape (rows, labels).
        labels: 1 where a row has a label, else 0, shape (rows, labels).

    Returns:
        Both of shape (rows, labels).
    """
    return labels == 1, logits > 0.0


def exact(logits: NDArray[np.float32], labels: NDArray[np.signedinteger]) -> NDArray[np.bool_]:
    """Whether each row is given the labels that it has and no other, shape (rows,): its mean is the subset accuracy.

    Args:
        logits: shape (rows, labels).
        labels: as in `marks`.
    """
    truth, given = marks(logits, labels)
    return np.asarray((truth == given).all(axis=1))
