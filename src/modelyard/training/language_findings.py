"""What the report says about a trained language model: its perplexity on validation, and what it has learned.

A row is a text, a prompt with its answer or a conversation; the pieces of a long text count as one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.artifacts.prepared import scopes
from modelyard.evidence.interval import at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.ratio import ratio_of_sums
from modelyard.evidence.report import Measurement
from modelyard.tasks.causal_lm import perplexity
from modelyard.tasks.written import Pair, judged
from modelyard.training.batches import Rows
from modelyard.training.findings import SUBJECT

Numbers = NDArray[np.float64]


def by_row(losses: Numbers, pieces: Rows, frame: pl.DataFrame) -> tuple[Numbers, Numbers]:
    """Losses and learned tokens of the rows of a frame, each shape (rows,); zero where a row was left out.

    Args:
        losses: of each piece in nats, shape (pieces,).
        pieces: with the sources of the rows that they are of.
        frame: with `source`.
    """
    place = {source: number for number, source in enumerate(frame["source"].to_list())}
    owner = np.array([place[source] for source in pieces.sources])
    nats, tokens = (
        np.asarray(np.bincount(owner, weights=values, minlength=frame.height), dtype=np.float64)
        for values in (losses, pieces.weights.astype(np.float64))
    )
    return nats, tokens


def perplexities(losses: Numbers, tokens: Numbers, frame: pl.DataFrame, slices: Sequence[str]) -> list[Measurement]:
    """Perplexity with its interval: overall and of each slice in which a token was judged.

    Args:
        losses: of each row in nats, shape (rows,).
        tokens: learned ones of each row, shape (rows,).
        frame: the same rows in the same order.
        slices: columns of `frame`.
    """
    parts = [("overall", np.ones(len(losses), np.bool_)), *scopes(frame, label=None, slices=slices)]
    parts = [(scope, rows & (tokens > 0)) for scope, rows in parts]
    return [
        Measurement(name="perplexity", scope=scope, subject=SUBJECT, interval=perplexity(losses[rows], tokens[rows]))
        for scope, rows in parts
        if rows.any()
    ]


class Answers(NamedTuple):
    """What the report says of the texts that a model wrote."""

    measurements: list[Measurement]
    notes: tuple[str, ...]


def answers_judged(written: Sequence[Pair], seed: int) -> Answers:
    """Exact match, ROUGE and BLEU of what the model wrote; nothing where it wrote nothing.

    Args:
        written: with what was wanted.
        seed: of the resampling.
    """
    if not written:
        return Answers([], ())
    figures, signature = judged(written, seed=seed)
    exact, rouge, bleu = figures["exact_match"], figures["rouge_l"], figures["bleu"]
    note = (
        f"of {len(written)} answers that it wrote {exact.estimate:.1%} are the wanted text, 95% interval "
        f"{exact.low:.1%} to {exact.high:.1%}; ROUGE-L {rouge.estimate:.1%}; BLEU {bleu.estimate:.1f}, "
        f"{bleu.low:.1f} to {bleu.high:.1f} ({signature})"
    )
    return Answers(
        [Measurement(name=name, subject=SUBJECT, interval=found) for name, found in figures.items()], (note,)
    )


def better_than_base(losses: Numbers, before: Numbers, tokens: Numbers) -> Verdict:
    """Whether the model has learned anything: its loss on the same rows against that of the base model.

    FAIL is one that does worse than before it was trained; one that answers as before is INCONCLUSIVE.

    Args:
        losses: of each row in nats, shape (rows,).
        before: the same by the base model.
        tokens: learned ones of each row, shape (rows,).
    """
    return _judged(
        losses,
        before,
        tokens,
        rule="better_than_base",
        next_step="set a lower train.learning_rate, or give it more rows like those it is judged on",
    )


def better_than_frequencies(losses: Numbers, frequencies: Numbers, tokens: Numbers) -> Verdict:
    """Whether a model of new weights has learned more than how often each token comes.

    FAIL is one that does worse than that without looking at what stands before.

    Args:
        losses: of each row in nats, shape (rows,).
        frequencies: the same by `frequency_losses`.
        tokens: learned ones of each row, shape (rows,).
    """
    return _judged(
        losses,
        frequencies,
        tokens,
        rule="better_than_frequencies",
        next_step="train on more rows or for more epochs, or set another train.learning_rate",
    )


def frequency_losses(train: Rows, judged: Rows, vocabulary: int) -> Numbers:
    """Loss of each row in nats where every token is given with its share among those that train learns.

    Each token is counted once more than it comes (Laplace), so that none is impossible.

    Args:
        train: rows that are counted.
        judged: rows of the same tokenizer.
        vocabulary: token ids that there are.

    Returns:
        Shape (rows of `judged`,).
    """
    counts = np.ones(vocabulary)
    for ids, marks in zip(train.ids, train.learned, strict=True):
        np.add.at(counts, _learned(ids, marks), 1.0)
    nats = -np.log(counts / counts.sum())
    rows = zip(judged.ids, judged.learned, strict=True)
    return np.array([nats[_learned(ids, marks)].sum() for ids, marks in rows], dtype=np.float64)


def _learned(ids: Sequence[int], marks: bytes) -> NDArray[np.int64]:
    learned: NDArray[np.int64] = np.asarray(ids, np.int64)[np.frombuffer(marks, np.uint8) == 1]
    return learned


def _judged(losses: Numbers, others: Numbers, tokens: Numbers, *, rule: str, next_step: str) -> Verdict:
    """Whether the loss of a learned token is below another's on the same rows."""
    rows = tokens > 0
    return judge(
        ratio_of_sums((losses - others)[rows], tokens[rows], unit="nats"),
        at_most(0.0),
        rule=rule,
        scope=f"split:{SUBJECT}",
        severity="warning",
        next_step=next_step,
    )
