"""Causal language models: rows as token ids, which of them are learned, and perplexity."""

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from modelyard.evidence.interval import Interval
from modelyard.evidence.ratio import ratio_of_sums

Span = tuple[int, int]
"""Start and end of a part of a text, in characters."""


class Learned(NamedTuple):
    """A row as the model reads it.

    Attributes:
        ids: token ids, special ones included.
        marks: for each of them 1 where the model learns to give it, 0 where it is only read. The first is only read:
            nothing stands before it.
    """

    ids: Sequence[int]
    marks: bytes


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], end: int) -> list[Learned]:
    """Whole texts, each with the end token behind it: every token but the first is learned."""
    encodings = tokenizer.encode_batch(list(texts))
    return [_marked([(ended(_plain(encoding), end), True)]) for encoding in encodings]


def encode_answers(tokenizer: Tokenizer, prompts: Sequence[str], completions: Sequence[str], end: int) -> list[Learned]:
    """Prompts and what follows them: the completion and the end token behind it are learned.

    The prompt's tokens are those of the prompt alone, as a user will send it: where the two joined would begin with
    others, they are encoded apart.
    """
    alone = tokenizer.encode_batch(list(prompts))
    joined = tokenizer.encode_batch([a + b for a, b in zip(prompts, completions, strict=True)])
    rows = []
    for prompt, both, completion in zip(map(_plain, alone), map(_plain, joined), completions, strict=True):
        begins = both[: len(prompt)] == prompt
        answer = ended(both[len(prompt) :] if begins else _continued(tokenizer, completion), end)
        rows.append(_marked([(prompt, False), (answer, True)]))
    return rows


def encode_spans(tokenizer: Tokenizer, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> list[Learned]:
    """Texts that hold their special tokens themselves, of which some spans are learned.

    No token reaches across the border of a span: what stands before it is encoded as it will be when the model is
    asked.
    """
    rows = []
    for text, parts in zip(texts, spans, strict=True):
        segments: list[tuple[Sequence[int], bool]] = []
        place = 0
        for start, stop in [*parts, (len(text), len(text))]:
            for first, last, learned in ((place, start, False), (start, stop, True)):
                if first < last:
                    encode = _continued if first else _begun
                    segments.append((encode(tokenizer, text[first:last]), learned))
            place = stop
        rows.append(_marked(segments))
    return rows


def pieces(row: Learned, most: int) -> Iterator[Learned]:
    """A long row in pieces of at most `most` tokens, at least 2; each begins with the last token of the one before.

    So every learned token is learned once, with at least one before it. Pieces in which nothing is learned are left
    out.
    """
    for start in range(0, max(1, len(row.ids) - 1), most - 1):
        marks = b"\0" + row.marks[start + 1 : start + most]
        if 1 in marks:
            yield Learned(row.ids[start : start + most], marks)


def ended(ids: Sequence[int], end: int) -> list[int]:
    """Token ids with the end token behind them, once."""
    return list(ids) if ids and ids[-1] == end else [*ids, end]


def perplexity(losses: NDArray[np.float64], tokens: NDArray[np.float64]) -> Interval:
    """The exponential of the mean loss of a token, with its interval over rows.

    Args:
        losses: of each row, in nats, summed over its tokens, shape (rows,).
        tokens: that were judged of each row, shape (rows,).
    """
    mean = ratio_of_sums(losses, tokens, unit="nats")
    low, estimate, high = (math.exp(min(max(value, 0.0), _MOST_NATS)) for value in (mean.low, mean.estimate, mean.high))
    return Interval(low=low, estimate=estimate, high=high, n=mean.n, unit="perplexity", method=mean.method)


_MOST_NATS = 700.0
"""The exponential of more is no finite number."""


def _plain(encoding: Encoding) -> list[int]:
    """Token ids without the special ones that the tokenizer sets behind a text: something follows it."""
    ids, special = list(encoding.ids), encoding.special_tokens_mask
    while ids and special[len(ids) - 1]:
        ids.pop()
    return ids


def _begun(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _continued(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text that follows another; many tokenizers would set a space before one that begins."""
    line, after = _begun(tokenizer, "\n"), _begun(tokenizer, f"\n{text}")
    return after[len(line) :] if line and after[: len(line)] == line else _begun(tokenizer, text)


def _marked(segments: Sequence[tuple[Sequence[int], bool]]) -> Learned:
    marks = bytearray(b"".join((b"\1" if learned else b"\0") * len(ids) for ids, learned in segments))
    if marks:
        marks[0] = 0  # nothing stands before it
    return Learned(array("i", [token for ids, _ in segments for token in ids]), bytes(marks))
