"""Answering texts from a verified release, without torch or transformers where its engine needs neither."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.artifacts.release import Limits, Release
from modelyard.errors import InputError, Problem
from modelyard.tasks.classification import Prediction

Answer = Callable[[Sequence[str]], list[Prediction]]
"""Predictions of texts, in their order."""


@dataclass(frozen=True)
class Predictor:
    """A release that is ready to answer: `answer` is called from one thread at a time."""

    release: Release
    answer: Answer


@contextlib.contextmanager
def opened(release: Release) -> Iterator[Predictor]:
    """Load a verified release, and let go of it at the end.

    Texts go through the tokenizer, the engine and the batches that the release was judged with: at most
    `limits.batch_rows` rows at a time, in the order in which they came.

    Raises:
        InputError: the tokenizer or the artefact cannot be loaded.
        MissingDependency: the release's engine is not installed.
    """
    from modelyard.engines.batching import run_in_batches
    from modelyard.engines.opening import open_engine
    from modelyard.tasks.classification import decode, encode, load_tokenizer

    manifest = release.manifest
    tokenizer = load_tokenizer(release.folder)
    engine = open_engine(release.folder, manifest.engine, manifest.artefact)

    def answer(texts: Sequence[str]) -> list[Prediction]:
        rows = encode(tokenizer, texts, max_length_tokens=manifest.max_length_tokens)
        return decode(run_in_batches(engine, rows, batch_rows=manifest.limits.batch_rows), manifest.labels)

    try:
        yield Predictor(release, answer)
    finally:
        engine.close()


def check_texts(texts: Sequence[str], limits: Limits, *, names: Sequence[str] | None = None) -> None:
    """Refuse texts that have no answer.

    Args:
        texts: what is asked.
        limits: of the release.
        names: where each text stands (`stdin:3`); `inputs[3]` where None.

    Raises:
        InputError: every text that is empty, too long or not Unicode.
    """
    problems = []
    for index, text in enumerate(texts):
        where = names[index] if names is not None else f"inputs[{index}]"
        if not text.strip():
            problems.append(Problem("the text is empty", "send a text with at least one letter", where))
        elif len(text) > limits.characters:
            problems.append(
                Problem(
                    f"the text has {len(text)} characters, at most {limits.characters} are read",
                    "shorten it or cut it into parts",
                    where,
                )
            )
        elif not _is_unicode(text):
            problems.append(Problem("the text is not valid Unicode", "send it as UTF-8", where))
    if problems:
        raise InputError(problems)


def as_document(prediction: Prediction) -> dict[str, Any]:
    """One prediction as it stands in an answer: `label`, `probabilities` by name, `logits` in label order."""
    return {"label": prediction.label, "probabilities": prediction.probabilities, "logits": prediction.logits}


def _is_unicode(text: str) -> bool:
    """Whether it has no lone surrogates: what is left of bytes that were not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
