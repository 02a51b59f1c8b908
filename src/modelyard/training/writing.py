"""What a trained model writes: it is asked with prompts of the validation split, and answers greedily."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, PreTrainedModel

from modelyard.artifacts.files import write_text
from modelyard.progress import Progress, silent
from modelyard.training.batches import Rows, cut
from modelyard.training.derive import COVERED
from modelyard.training.group import ALONE, Group
from modelyard.training.sharding import generated, is_sharded

MOST_ASKED = 128
"""Rows: a share of half is known to within 9 points by then, and writing takes a forward pass a token."""
MOST_NEW_TOKENS = 512
TOKENS_TOGETHER = 4_096
"""Of one batch, the answers included: what is kept of every token is a small part of the weights."""
log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """A question to the model.

    Attributes:
        ids: what it reads.
        source: of the row.
        wanted: the text that it was taught to write.
    """

    ids: Sequence[int]
    source: str
    wanted: str


class Answer(NamedTuple):
    """What the model wrote to the question of a row, and what it was taught to write."""

    source: str
    prompt: str
    wanted: str
    written: str


class Ends(NamedTuple):
    """Where an answer ends: at a token, or after so many."""

    token: int
    new_tokens: int


def ends_of(train: Rows) -> Ends | None:
    """As the train rows end: with their most common last token, or after as many as 99.9% of such answers have.

    None where not even half of the rows end alike: they were cut, or nothing is set behind an answer, and the commonest
    token is a word like any other.
    """
    ended = [(row[-1], len(row) - _answer(marks)) for row, marks in zip(train.ids, train.learned, strict=True)]
    counts = Counter(token for token, length in ended if length)
    token, count = max(counts.items(), key=lambda item: item[1], default=(0, 0))
    if 2 * count < len(ended) or not count:
        log.warning("the model is asked nothing: of %d train rows %d end with the same token", len(ended), count)
        return None
    needed = int(np.quantile([length for last, length in ended if last == token], COVERED, method="inverted_cdf"))
    return Ends(token, min(needed, MOST_NEW_TOKENS))


def questions(rows: Rows, wanted: Mapping[str, str | None], ends: Ends, *, most_tokens: int, seed: int) -> list[Asked]:
    """At most `MOST_ASKED` rows, drawn by the seed, in their order; none that was cut or wants a longer answer.

    Args:
        rows: of a split, cut.
        wanted: source of each row -> its last answer as text; None where there is none.
        ends: of the answers.
        most_tokens: of a question, so that the model has places left for an answer.
        seed: of the draw.
    """
    whole = [
        Asked(ids[: _answer(marks)], source, text)
        for ids, marks, source in zip(rows.ids, rows.learned, rows.sources, strict=True)
        if ids[-1] == ends.token
        and 0 < len(ids) - _answer(marks) <= ends.new_tokens
        and (text := wanted[source]) is not None
        and 0 < _answer(marks) <= most_tokens
    ]
    drawn = np.random.default_rng(seed).permutation(len(whole))[:MOST_ASKED]
    return [whole[place] for place in sorted(drawn)]


def write_to_rows(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    train: Rows,
    rows: Rows,
    wanted: Mapping[str, str | None],
    *,
    positions: int,
    seed: int,
    group: Group = ALONE,
    progress: Progress = silent,
) -> list[Answer]:
    """What the model writes to some rows of a split; nothing where no row wants a text.

    Args:
        model: causal, or sequence to sequence.
        tokenizer: of the model.
        train: rows, by which it is known how answers end.
        rows: of the split.
        wanted: as in `questions`.
        positions: the most tokens that the model reads.
        seed: of the draw.
        group: the processes that share the questions.
        progress: told after every batch.
    """
    if all(text is None for text in wanted.values()):  # a classifier's rows have no answer to end
        return []
    ends = ends_of(train)
    if ends is None:
        return []
    # the answer of an encoder and decoder takes no places of the question's, which were cut to what it reads
    room = max(rows.lengths) if model.config.is_encoder_decoder else positions - ends.new_tokens
    asked = questions(rows, wanted, ends, most_tokens=room, seed=seed)
    return write(model, tokenizer, asked, ends, group=group, progress=progress)


def save_answers(answers: Sequence[Answer], path: Path) -> None:
    """A JSON line for each answer; no file where there is none."""
    if not answers:
        path.unlink(missing_ok=True)
        return
    write_text(path, "".join(json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in answers))


def write(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    asked: Sequence[Asked],
    ends: Ends,
    *,
    group: Group = ALONE,
    progress: Progress = silent,
) -> list[Answer]:
    """What the model writes to each question: at every place the likeliest token, in fp32.

    Args:
        model: causal, or sequence to sequence.
        tokenizer: of the model.
        asked: the questions.
        ends: of the answers.
        group: the processes that share the questions; each gives all answers.
        progress: told after every batch.
    """
    lengths = [len(one.ids) + ends.new_tokens for one in asked]
    order = sorted(range(len(asked)), key=lambda place: lengths[place])
    batches = cut(order, lengths, TOKENS_TOGETHER)
    share = group.share(batches)
    found: dict[int, str] = {}
    training, usual = model.training, model.generation_config
    model.eval()
    model.generation_config = GenerationConfig(
        max_new_tokens=ends.new_tokens,
        do_sample=False,
        pad_token_id=ends.token,  # what fills a batch is masked: any token will do
        eos_token_id=ends.token,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )
    try:
        for batch in share:
            progress("write answers", len(found), len(asked))
            for place, ids in zip(batch, _generated(model, [asked[one].ids for one in batch]), strict=True):
                end = ids.index(ends.token) if ends.token in ids else len(ids)
                found[place] = tokenizer.decode(ids[:end], skip_special_tokens=True)
        if is_sharded(model) and len(share) * group.size < len(batches):
            _generated(model, [asked[one].ids for one in batches[0]])  # for nothing: the others wait for its weights
    finally:
        model.generation_config = usual
        model.train(training)
    texts = {place: text for part in group.gather(found) for place, text in part.items()}
    return [
        Answer(one.source, tokenizer.decode(list(one.ids), skip_special_tokens=True), one.wanted, texts[place])
        for place, one in enumerate(asked)
    ]


def _generated(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Tokens that follow each row, padded on the left of a decoder's, on the right of an encoder's."""
    both = bool(model.config.is_encoder_decoder)
    width = max(map(len, rows))
    ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
    for number, row in enumerate(rows):
        place = slice(0, len(row)) if both else slice(width - len(row), width)
        ids[number, place], mask[number, place] = row, 1
    out = generated(
        model, input_ids=torch.from_numpy(ids).to(model.device), attention_mask=torch.from_numpy(mask).to(model.device)
    )
    found: list[list[int]] = out[:, 1 if both else width :].tolist()
    return found


def _answer(marks: bytes) -> int:
    """Where the last answer of a row begins: after the last token that is only read."""
    return marks.rindex(0) + 1
