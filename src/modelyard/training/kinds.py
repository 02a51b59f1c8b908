"""The tasks that can be trained."""

from collections.abc import Mapping

import numpy as np

from modelyard.artifacts.prepared import MARK, Prepared
from modelyard.errors import Problem
from modelyard.tasks.classification import correct
from modelyard.training.base import load_causal, load_seq2seq, load_with_new_head
from modelyard.training.classifier import Classifier
from modelyard.training.derive import BOTH, DECODERS, ENCODERS
from modelyard.training.findings import accuracies, better_than_majority
from modelyard.training.kind import Evaluated, Found, Kind
from modelyard.training.language import language
from modelyard.training.language_findings import answers_judged, better_than_base, by_row, perplexities
from modelyard.training.language_rows import COLUMNS, cut_language_rows, encode_language_split, wanted_answers
from modelyard.training.rows import cut_rows, encode_split
from modelyard.training.seq2seq import seq2seq
from modelyard.training.seq2seq_rows import SHAPE as PAIRS
from modelyard.training.seq2seq_rows import cut_pair_rows, encode_pair_split, longer_sides


def _label_problems(data: Prepared) -> list[Problem]:
    labels = data.dataset.labels
    if len(set(labels)) == len(labels) > 1:
        return []
    message = f"the labels are {labels}: a classifier needs at least two, all different"
    next_step = "look at data.fields.label, then run `modelyard check` again"
    return [Problem(message, next_step, str(data.folder / MARK))]


def _classified(done: Evaluated) -> Found:
    right = correct(done.outputs, done.validation.labels)
    found = accuracies(right, done.frame, done.slices)
    overall = found[0].interval
    return Found(
        found,
        better_than_majority(right, done.validation.labels, done.train.labels),
        f"accuracy on validation {overall.estimate:.2%}, 95% interval {overall.low:.2%} to {overall.high:.2%} "
        f"(n={overall.n})",
    )


CLASSIFICATION = Kind(
    problems=_label_problems,
    load=lambda base, data, seed: load_with_new_head(base, data.dataset.labels, seed=seed),
    read=lambda tokenizer, base, data, split, progress: encode_split(tokenizer, data, split, progress=progress),
    needed=lambda rows: rows.lengths,
    cut=cut_rows,
    objective=lambda model, rows: Classifier(int(model.config.pad_token_id)),
    found=_classified,
    asks_before=False,
    wanted=lambda frame, shape: [None] * frame.height,
    defaults=ENCODERS,
)


def _shape_problems(data: Prepared) -> list[Problem]:
    if data.dataset.shape in COLUMNS:
        return []
    message = f"the rows are of the shape {data.dataset.shape}: a language model learns from {', '.join(COLUMNS)}"
    return [Problem(message, "look at data.fields, then run `modelyard check` again", str(data.folder / MARK))]


def _written(done: Evaluated) -> Found:
    assert done.before is not None  # `asks_before`
    losses, tokens = by_row(done.outputs[:, 0].astype(np.float64), done.validation, done.frame)
    before, _ = by_row(done.before[:, 0].astype(np.float64), done.validation, done.frame)
    found = perplexities(losses, tokens, done.frame, done.slices)
    overall, base = found[0].interval, perplexities(before, tokens, done.frame, [])[0].interval
    headline = (
        f"perplexity on validation {overall.estimate:.2f}, 95% interval {overall.low:.2f} to {overall.high:.2f} "
        f"(n={overall.n}); of the base model {base.estimate:.2f}"
    )
    answers = answers_judged(done.written, done.seed)
    return Found([*found, *answers.measurements], better_than_base(losses, before, tokens), headline, answers.notes)


CAUSAL_LM = Kind(
    problems=_shape_problems,
    load=lambda base, data, seed: load_causal(base),
    read=lambda tokenizer, base, data, split, progress: encode_language_split(
        tokenizer, base, data, split, progress=progress
    ),
    needed=lambda rows: rows.lengths,
    cut=lambda tokenizer, *rows: cut_language_rows(*rows),
    objective=language,
    found=_written,
    asks_before=True,
    wanted=wanted_answers,
    defaults=DECODERS,
)


def _pair_problems(data: Prepared) -> list[Problem]:
    if data.dataset.shape == PAIRS:
        return []
    message = f"the rows are of the shape {data.dataset.shape}: a sequence to sequence model learns from {PAIRS}"
    return [Problem(message, "look at data.fields, then run `modelyard check` again", str(data.folder / MARK))]


SEQ2SEQ_LM = CAUSAL_LM._replace(
    problems=_pair_problems,
    load=lambda base, data, seed: load_seq2seq(base),
    read=lambda tokenizer, base, data, split, progress: encode_pair_split(
        tokenizer, base, data, split, progress=progress
    ),
    needed=longer_sides,
    cut=cut_pair_rows,
    objective=seq2seq,
    defaults=BOTH,
)

KINDS: Mapping[str, Kind] = {"classification": CLASSIFICATION, "causal_lm": CAUSAL_LM, "seq2seq_lm": SEQ2SEQ_LM}
