"""Text classification: one text, one label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from modelyard.errors import InputError, Problem

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """One answer: the winning label, the probability of each label by name, and the logits in label order.

    `truncated`: the text is longer than the model reads, and its end was left out.
    """

    label: str
    probabilities: dict[str, float]
    logits: list[float]
    truncated: bool = False


class Encoded(NamedTuple):
    """A text as the model reads it: its token ids, and whether its end was left out."""

    row: list[int]
    truncated: bool


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a model or release folder, from its `tokenizer.json`, without padding or truncation.

    Training, judging and serving all encode through this one function: equal texts are equal tokens everywhere.

    Raises:
        InputError: `tokenizer.json` is missing or is not a tokenizer.
    """
    file = path / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(
            Problem(
                f"tokenizer.json cannot be read: {error}",
                "copy or download the tokenizer of this model again",
                str(file),
            )
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], *, max_length_tokens: int) -> list[list[int]]:
    """Token ids of each text, special tokens included, cut at `max_length_tokens` with the special tokens kept."""
    tokenizer.enable_truncation(max_length_tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def encode_marked(tokenizer: Tokenizer, texts: Sequence[str], *, max_length_tokens: int) -> list[Encoded]:
    """`encode`, and whether each text was cut."""
    tokenizer.enable_truncation(max_length_tokens)
    encodings = tokenizer.encode_batch(list(texts))
    # what was cut off is copied when it is asked for: only of rows that are full
    return [Encoded(one.ids, len(one) == max_length_tokens and bool(one.overflowing)) for one in encodings]


def decode(
    logits: NDArray[np.float32],
    labels: Sequence[str],
    *,
    temperature: float = 1.0,
    truncated: Sequence[bool] | None = None,
) -> list[Prediction]:
    """Answers from logits of shape (rows, labels): the first of equal maxima wins; probabilities by `softmax`.

    Args:
        logits: shape (rows, labels).
        labels: names in the order of the logits.
        temperature: as in `softmax`.
        truncated: whether each row's text was cut; None: nobody asked.
    """
    winners, chances = logits.argmax(axis=1).tolist(), softmax(logits, temperature).tolist()
    cuts = truncated or [False] * len(winners)
    return [
        Prediction(labels[winner], dict(zip(labels, shares, strict=True)), row, cut)
        for winner, shares, row, cut in zip(winners, chances, logits.tolist(), cuts, strict=True)
    ]


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of each row's labels, shape (rows, labels), from logits divided by a temperature above zero.

    The temperature changes how sure an answer is, never which one it is (Guo, Pleiss, Sun and Weinberger 2017, On
    calibration of modern neural networks, ICML, section 4.2).
    """
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def losses(logits: "Tensor", labels: "Tensor") -> "Tensor":
    """Cross-entropy of each row in nats, at least in float32 whatever the precision of the forward pass.

    Args:
        logits: shape (rows, labels).
        labels: index of each row's label, shape (rows,).

    Returns:
        Shape (rows,): the caller sums and divides, so that parts of a batch add up to the whole.
    """
    import torch  # only training needs it; serving encodes and decodes without

    return torch.nn.functional.cross_entropy(
        logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="none"
    )


def marks(
    logits: NDArray[np.float32], labels: NDArray[np.signedinteger]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which label each row has, and which it is given, each of shape (rows, labels) with one true value a row.

    Args:
        logits: shape (rows, labels); ties as in `decode`.
        labels: index of each row's label, shape (rows,).
    """
    every = np.arange(logits.shape[1])
    return labels[:, None] == every, logits.argmax(axis=1)[:, None] == every


def correct(logits: NDArray[np.float32], labels: NDArray[np.signedinteger]) -> NDArray[np.bool_]:
    """Whether each row's answer is its label; ties as in `decode`.

    Args:
        logits: shape (rows, labels).
        labels: index of each row's label, shape (rows,).

    Returns:
        Shape (rows,).
    """
    return np.asarray(logits.argmax(axis=1) == labels)
