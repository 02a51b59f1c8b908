"""Sequence to sequence: one text is read, another is written.

A row is what the encoder reads followed by what the decoder learns to write, told apart by their marks.
"""

from array import array
from collections.abc import Sequence

from tokenizers import Tokenizer

from modelyard.tasks.causal_lm import Learned, ended


def encode_pairs(tokenizer: Tokenizer, sources: Sequence[str], targets: Sequence[str], end: int) -> list[Learned]:
    """Pairs of texts, each as the tokenizer writes one by itself; a target always ends with the end token.

    Args:
        tokenizer: of the model, without truncation.
        sources: what is read.
        targets: what is to be written, as many.
        end: id of the token that ends a text.
    """
    read = [list(encoding.ids) for encoding in tokenizer.encode_batch(list(sources))]
    written = [ended(encoding.ids, end) for encoding in tokenizer.encode_batch(list(targets))]
    return [joined(source or [end], target) for source, target in zip(read, written, strict=True)]


def joined(source: Sequence[int], target: Sequence[int]) -> Learned:
    """One row of both sides."""
    return Learned(array("i", [*source, *target]), b"\0" * len(source) + b"\1" * len(target))


def sides(ids: Sequence[int], marks: bytes) -> tuple[Sequence[int], Sequence[int]]:
    """The source and the target of a row."""
    place = marks.index(1)
    return ids[:place], ids[place:]


def closing(tokenizer: Tokenizer) -> int:
    """How many special tokens the tokenizer sets behind a text."""
    mask = tokenizer.encode("a").special_tokens_mask
    return next((place for place, special in enumerate(reversed(mask)) if not special), len(mask))


def shortened(side: Sequence[int], most: int, closing: int) -> list[int]:
    """A side of at most `most` tokens; the special ones behind a source stay, as where the tokenizer cuts it.

    Args:
        side: token ids.
        most: tokens, more than `closing`.
        closing: tokens at the end that stay.
    """
    if len(side) <= most:
        return list(side)
    return [*side[: most - closing], *side[len(side) - closing :]]
