"""From the rows of a prepared split to what a language model learns: texts, answers to prompts, conversations."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from tokenizers import Tokenizer

from modelyard.artifacts.prepared import Prepared, Split
from modelyard.errors import InputError, Problem
from modelyard.evidence.report import Measurement
from modelyard.progress import Progress, silent
from modelyard.tasks.causal_lm import Learned, encode_answers, encode_spans, encode_texts, pieces
from modelyard.tasks.chat import read_template
from modelyard.tasks.rendering import Write, writing
from modelyard.tasks.special_tokens import token_id
from modelyard.training.batches import Rows
from modelyard.training.rows import CHUNK, read_split, share

COLUMNS = {"text": ("text",), "prompt_completion": ("prompt", "completion"), "messages": ("messages",)}
"""Shape of a data set that a language model learns from -> its columns."""
_NAMED = 20
log = logging.getLogger(__name__)


def encode_language_split(
    tokenizer: Tokenizer, base: Path, prepared: Prepared, split: Split, *, progress: Progress = silent
) -> Rows:
    """Encode one split, not cut. Of a text all is learned, else the answers alone.

    A conversation in which the assistant says nothing has no token.

    Raises:
        InputError: the split is empty, a row holds no text, or the chat template is missing, refuses a conversation or
            does not come to an end with one.
    """
    shape = prepared.dataset.shape
    frame = read_split(prepared, split, COLUMNS[shape])
    refuse_gaps(frame, COLUMNS[shape], split)
    sources = frame["source"].to_list()
    rows: list[Learned] = []
    with _encoder(tokenizer, base, shape) as encode:
        for start in range(0, frame.height, CHUNK):
            part = frame.slice(start, CHUNK)
            rows += encode([part[name].to_list() for name in COLUMNS[shape]], sources[start : start + CHUNK])
            progress(f"tokenise {split}", len(rows), frame.height)
    return Rows([row.ids for row in rows], sources, learned=[row.marks for row in rows])


def cut_language_rows(
    rows: Rows, prepared: Prepared, split: Split, max_length_tokens: int
) -> tuple[Rows, list[Measurement]]:
    """Rows of at most so many tokens: texts in pieces, of which nothing is lost; answers cut at their end.

    Rows in which nothing is left to learn, because the prompt alone is as long, are left out.

    Args:
        rows: from `encode_language_split`.
        prepared: where they are from.
        split: of the rows.
        max_length_tokens: at least 2, special tokens included.

    Returns:
        The rows, and what share of them was cut and left out.

    Raises:
        InputError: no row is left.
    """
    whole = prepared.dataset.shape == "text"
    kept: list[Learned] = []
    sources: list[str] = []
    cut = left_out = 0
    for ids, marks, source in zip(rows.ids, rows.learned, rows.sources, strict=True):
        found = list(pieces(Learned(ids, marks), max_length_tokens)) if len(ids) > 1 else []
        if not whole:
            found = [piece for piece in found[:1] if 1 in marks[:max_length_tokens]]
            cut += bool(found) and 1 in marks[max_length_tokens:]
        left_out += not found
        kept += found
        sources += [source] * len(found)
    if not kept:
        problem = f"no {split} row has a token to learn within {max_length_tokens}"
        next_step = "raise model.max_length_tokens, or shorten the prompts"
        raise InputError(Problem(problem, next_step, str(prepared.folder / f"{split}.parquet")))
    count = len(rows.ids)
    shares = [share("rows_left_out_share", split, left_out, count)]
    if not whole:
        shares = [share("rows_cut_share", split, cut, count), *shares]
    return Rows([row.ids for row in kept], sources, learned=[row.marks for row in kept]), shares


def wanted_answers(frame: pl.DataFrame, shape: str) -> list[str | None]:
    """The last text that each row teaches the model to write; None where it only calls a tool, or the row is a text."""
    if shape == "prompt_completion":
        return list(frame["completion"].to_list())
    if shape != "messages":
        return [None] * frame.height
    ends = [messages[-1] for messages in frame["messages"].to_list()]
    return [None if end.get("tool_calls") else end["content"] for end in ends]


Encoder = Callable[[Sequence[Sequence[Any]], Sequence[str]], list[Learned]]
"""Columns of some rows and where these came from -> the rows."""


@contextlib.contextmanager
def _encoder(tokenizer: Tokenizer, base: Path, shape: str) -> Iterator[Encoder]:
    if shape == "messages":
        with writing(read_template(base, tokenizer)) as write:
            yield lambda columns, sources: _conversations(tokenizer, write, columns[0], sources)
        return
    end = end_of_text(tokenizer, base)
    if shape == "text":
        yield lambda columns, _: encode_texts(tokenizer, columns[0], end)
    else:
        yield lambda columns, _: encode_answers(tokenizer, columns[0], columns[1], end)


def _conversations(
    tokenizer: Tokenizer, write: Write, conversations: Sequence[Any], sources: Sequence[str]
) -> list[Learned]:
    rendered, problems = [], []
    answered = [any(turn["role"] == "assistant" for turn in messages) for messages in conversations]
    for messages, source, has_answer in zip(conversations, sources, answered, strict=True):
        try:
            rendered += [write(messages, source)] if has_answer else []
        except ValueError as error:
            problems.append(Problem(str(error), "mend the conversation, or drop it", source))
    if problems:
        raise InputError(problems[:_NAMED])
    if skipped := sum(one.skipped for one in rendered):
        log.warning("%d answers are read, not learned: the chat template writes them otherwise later", skipped)
    rows = iter(encode_spans(tokenizer, [one.text for one in rendered], [one.answers for one in rendered]))
    return [next(rows) if has_answer else Learned((), b"") for has_answer in answered]


def end_of_text(tokenizer: Tokenizer, base: Path) -> int:
    """The id of the token that ends a text.

    Raises:
        InputError: nothing names it.
    """
    end = token_id(base, tokenizer, "eos_token")
    if end is None:
        message = "the tokenizer names no token that ends a text"
        raise InputError(Problem(message, "name it as eos_token in tokenizer_config.json", str(base)))
    return end


def refuse_gaps(frame: pl.DataFrame, columns: Sequence[str], split: str) -> None:
    """Refuse rows that hold nothing in a column.

    Raises:
        InputError: every such row, at most 20.
    """
    problems = [
        Problem(f"a {split} row has no {column}", "run `modelyard check` again", str(source))
        for column in columns
        for source in frame.filter(pl.col(column).is_null())["source"].head(_NAMED).to_list()
    ]
    if problems:
        raise InputError(problems[:_NAMED])
