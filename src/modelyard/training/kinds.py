"""The tasks that can be trained."""

from collections.abc import Mapping

import numpy as np
import torch

from modelyard.artifacts.prepared import MARK, Prepared
from modelyard.errors import Problem
from modelyard.evidence.f1 import f1, macro_f1
from modelyard.tasks import multi_label
from modelyard.tasks.classification import correct, marks
from modelyard.training.base import load_causal, load_seq2seq, load_with_new_head
from modelyard.training.classifier import Classifier, several_labels_figures
from modelyard.training.derive import BOTH, DECODERS, ENCODERS
from modelyard.training.f1_findings import f1_of_labels, f1s, told_macro_f1
from modelyard.training.findings import accuracies, better_than_majority, better_than_shares, exact_matches
from modelyard.training.kind import Evaluated, Found, Kind
from modelyard.training.language import language
from modelyard.training.language_findings import (
    answers_judged,
    better_than_base,
    better_than_frequencies,
    by_row,
    frequency_losses,
    perplexities,
)
from modelyard.training.language_rows import COLUMNS, cut_language_rows, encode_language_split, wanted_answers
from modelyard.training.rows import cut_rows, encode_split
from modelyard.training.seq2seq import seq2seq
from modelyard.training.seq2seq_rows import SHAPE as PAIRS
from modelyard.training.seq2seq_rows import cut_pair_rows, encode_pair_split, longer_sides


def _label_problems(data: Prepared, least: int) -> list[Problem]:
    labels = data.dataset.labels
    if len(set(labels)) == len(labels) >= least:
        return []
    message = f"the labels are {labels}: a classifier needs at least {('one', 'two')[least - 1]}, all different"
    next_step = "look at data.fields.label, then run `modelyard check` again"
    return [Problem(message, next_step, str(data.folder / MARK))]


def _classified(done: Evaluated) -> Found:
    right = correct(done.outputs, done.validation.labels)
    found, marked = accuracies(right, done.frame, done.slices), marks(done.outputs, done.validation.labels)
    overall = found[0].interval
    headline = (
        f"accuracy on validation {overall.estimate:.2%}, 95% interval {overall.low:.2%} to {overall.high:.2%} "
        f"(n={overall.n}){told_macro_f1(*marked)}"
    )
    return Found(
        [*found, *f1s(macro_f1, "macro_f1", *marked, done.frame, done.slices)],
        better_than_majority(right, done.validation.labels, done.train.labels),
        headline,
    )


CLASSIFICATION = Kind(
    problems=lambda data: _label_problems(data, 2),
    load=lambda base, data, seed, fresh: load_with_new_head(base, data.dataset.labels, seed=seed, fresh=fresh),
    read=lambda tokenizer, base, data, split, progress: encode_split(tokenizer, data, split, progress=progress),
    needed=lambda rows: rows.lengths,
    cut=cut_rows,
    objective=lambda model, rows: Classifier(int(model.config.pad_token_id)),
    found=_classified,
    asks_before=False,
    wanted=lambda frame, shape: [None] * frame.height,
    defaults=ENCODERS,
)


def _marked(done: Evaluated) -> Found:
    losses = multi_label.losses(torch.from_numpy(done.outputs).double(), torch.from_numpy(done.validation.labels))
    marked = multi_label.marks(done.outputs, done.validation.labels)
    found = exact_matches(multi_label.exact(done.outputs, done.validation.labels), done.frame, done.slices)
    overall = found[0].interval
    headline = (
        f"exact match on validation {overall.estimate:.2%}, 95% interval {overall.low:.2%} to {overall.high:.2%} "
        f"(n={overall.n}){told_macro_f1(*marked)}"
    )
    measured = [
        *found,
        *f1s(macro_f1, "macro_f1", *marked, done.frame, done.slices),
        *f1s(f1, "micro_f1", *marked, done.frame, done.slices),
        *f1_of_labels(*marked, done.labels),
    ]
    return Found(measured, better_than_shares(losses.numpy(), done.validation.labels, done.train.labels), headline)


MULTI_LABEL = CLASSIFICATION._replace(
    problems=lambda data: _label_problems(data, 1),
    load=lambda base, data, seed, fresh: load_with_new_head(
        base, data.dataset.labels, seed=seed, several=True, fresh=fresh
    ),
    read=lambda tokenizer, base, data, split, progress: encode_split(
        tokenizer, data, split, several=True, progress=progress
    ),
    objective=lambda model, rows: Classifier(
        int(model.config.pad_token_id), losses=multi_label.losses, figures=several_labels_figures
    ),
    found=_marked,
)


def _shape_problems(data: Prepared) -> list[Problem]:
    if data.dataset.shape in COLUMNS:
        return []
    message = f"the rows are of the shape {data.dataset.shape}: a language model learns from {', '.join(COLUMNS)}"
    return [Problem(message, "look at data.fields, then run `modelyard check` again", str(data.folder / MARK))]


def _written(done: Evaluated) -> Found:
    losses, tokens = by_row(done.outputs[:, 0].astype(np.float64), done.validation, done.frame)
    # of weights drawn anew nothing is known before, and anything is better than that
    known = frequency_losses(done.train, done.validation, done.vocabulary) if done.before is None else done.before[:, 0]
    before, _ = by_row(known.astype(np.float64), done.validation, done.frame)
    found = perplexities(losses, tokens, done.frame, done.slices)
    overall, compared = found[0].interval, perplexities(before, tokens, done.frame, [])[0].interval
    headline = (
        f"perplexity on validation {overall.estimate:.2f}, 95% interval {overall.low:.2f} to {overall.high:.2f} "
        f"(n={overall.n}); of "
    )
    if done.before is None:
        verdict = better_than_frequencies(losses, before, tokens)
        headline = f"{headline}the tokens' frequencies {compared.estimate:.2f}"
    else:
        verdict = better_than_base(losses, before, tokens)
        headline = f"{headline}the base model {compared.estimate:.2f}"
    answers = answers_judged(done.written, done.seed)
    return Found([*found, *answers.measurements], verdict, headline, answers.notes)


CAUSAL_LM = Kind(
    problems=_shape_problems,
    load=lambda base, data, seed, fresh: load_causal(base, seed=seed, fresh=fresh),
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
    load=lambda base, data, seed, fresh: load_seq2seq(base, seed=seed, fresh=fresh),
    read=lambda tokenizer, base, data, split, progress: encode_pair_split(
        tokenizer, base, data, split, progress=progress
    ),
    needed=longer_sides,
    cut=cut_pair_rows,
    objective=seq2seq,
    defaults=BOTH,
)

KINDS: Mapping[str, Kind] = {
    "classification": CLASSIFICATION,
    "multi_label_classification": MULTI_LABEL,
    "causal_lm": CAUSAL_LM,
    "seq2seq_lm": SEQ2SEQ_LM,
}
