"""From the rows of a prepared split to pairs of sequences: the prompt is read, the completion is written."""

from pathlib import Path

from tokenizers import Tokenizer

from modelyard.artifacts.prepared import Prepared, Split
from modelyard.evidence.report import Measurement
from modelyard.progress import Progress, silent
from modelyard.tasks.seq2seq_lm import closing, encode_pairs, joined, shortened, sides
from modelyard.training.batches import Rows
from modelyard.training.language_rows import COLUMNS, end_of_text, refuse_gaps
from modelyard.training.rows import CHUNK, read_split, share

SHAPE = "prompt_completion"


def encode_pair_split(
    tokenizer: Tokenizer, base: Path, prepared: Prepared, split: Split, *, progress: Progress = silent
) -> Rows:
    """Encode one split, not cut.

    Raises:
        InputError: the split is empty, a row lacks a side, or nothing names the token that ends a text.
    """
    frame = read_split(prepared, split, COLUMNS[SHAPE])
    refuse_gaps(frame, COLUMNS[SHAPE], split)
    end = end_of_text(tokenizer, base)
    prompts, completions, sources = (frame[name].to_list() for name in (*COLUMNS[SHAPE], "source"))
    ids, learned = [], []
    for start in range(0, frame.height, CHUNK):
        part = slice(start, start + CHUNK)
        rows = encode_pairs(tokenizer, prompts[part], completions[part], end)
        ids += [row.ids for row in rows]
        learned += [row.marks for row in rows]
        progress(f"tokenise {split}", len(ids), frame.height)
    return Rows(ids, sources, learned=learned)


def longer_sides(rows: Rows) -> list[int]:
    """Tokens of the longer side of each row: what the model's positions must hold."""
    return [max(map(len, sides(ids, marks))) for ids, marks in zip(rows.ids, rows.learned, strict=True)]


def cut_pair_rows(
    tokenizer: Tokenizer, rows: Rows, prepared: Prepared, split: Split, max_length_tokens: int
) -> tuple[Rows, list[Measurement]]:
    """Rows of which each side has at most so many tokens, cut at its end, and what share of them was longer.

    Args:
        tokenizer: of the model.
        rows: from `encode_pair_split`.
        prepared: where they are from.
        split: of the rows.
        max_length_tokens: of each side, special tokens included.
    """
    tail = closing(tokenizer)
    long = [index for index, length in enumerate(longer_sides(rows)) if length > max_length_tokens]
    ids, learned = list(rows.ids), list(rows.learned)
    for index in long:
        source, target = sides(ids[index], learned[index])
        ids[index], learned[index] = joined(shortened(source, max_length_tokens, tail), target[:max_length_tokens])
    return Rows(ids, rows.sources, learned=learned), [share("rows_cut_share", split, len(long), len(ids))]
