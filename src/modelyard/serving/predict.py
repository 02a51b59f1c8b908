"""What answers: a verified release or, on request, a plain model folder; without torch where its engine needs none."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.artifacts.candidate import Card, EngineName
from modelyard.artifacts.model import Training
from modelyard.artifacts.release import Limits, Release, describe
from modelyard.engines.base import Engine
from modelyard.errors import InputError, Problem
from modelyard.tasks.classification import Encoded, Prediction

_ANY = 4 * 1024 * 1024
DEFAULT_LATENCY_MS = 500.0
"""What a folder without a manifest promises: the default of `serve.objectives.latency_p95_ms`."""


@dataclass(frozen=True)
class Predictor:
    """A model that is ready to answer.

    Attributes:
        name: of the project or the folder.
        digest: of the release; `unsigned:DIGEST` of a folder that nobody vouches for.
        about: what `/info` says.
        labels: in the order of the logits.
        limits: of one request and one batch.
        latency_ms: 95th percentile of the response time that is promised.
        max_length_tokens: rows are cut to this many tokens.
        temperature: logits are divided by it before they become probabilities.
        encode: texts -> rows of token ids, and whether each text was cut.
        engine: rows of one batch -> logits; used from one thread at a time.
    """

    name: str
    digest: str
    about: dict[str, Any]
    labels: Sequence[str]
    limits: Limits
    latency_ms: float
    max_length_tokens: int
    temperature: float
    encode: Callable[[Sequence[str]], list[Encoded]]
    engine: Engine

    def answer(self, texts: Sequence[str]) -> list[Prediction]:
        """Predictions of texts, at most `limits.batch_rows` at a time, in the order in which they came."""
        from modelyard.engines.batching import run_in_batches
        from modelyard.tasks.classification import decode

        rows, truncated = zip(*self.encode(texts), strict=True)
        logits = run_in_batches(self.engine, rows, batch_rows=self.limits.batch_rows)
        return decode(logits, self.labels, temperature=self.temperature, truncated=truncated)


@contextlib.contextmanager
def opened(release: Release, *, threads: int | None = None) -> Iterator[Predictor]:
    """Load a verified release, and let go of it at the end.

    Args:
        release: from `open_release`.
        threads: of one batch; None leaves the engine's own number.

    Raises:
        InputError: the tokenizer or the artefact cannot be loaded.
        MissingDependency: the release's engine is not installed.
    """
    manifest = release.manifest
    encode = _encoder(release.folder, manifest.max_length_tokens)
    with _engine(release.folder, manifest.engine, manifest.artefact, threads) as engine:
        yield Predictor(
            name=manifest.project,
            digest=release.digest,
            about=describe(release),
            labels=manifest.labels,
            limits=manifest.limits,
            latency_ms=manifest.objectives.get("latency_p95_ms", DEFAULT_LATENCY_MS),
            max_length_tokens=manifest.max_length_tokens,
            temperature=manifest.temperature,
            encode=encode,
            engine=engine,
        )


@contextlib.contextmanager
def opened_candidate(folder: Path, card: Card, training: Training, *, name: str) -> Iterator[Predictor]:
    """Load a candidate before it is released, to be audited as it would be served.

    Args:
        folder: the candidate's own.
        card: its card.
        training: of the model that it was made from.
        name: of the project.

    Raises:
        InputError: the tokenizer or the artefact cannot be loaded.
    """
    # a row that `check` lets through is asked, however long: what a stranger may send is another question
    limits = Limits(batch_rows=card.batch_rows, characters=_ANY, body_bytes=64 * _ANY)
    with _engine(folder, card.engine, card.artefact, None) as engine:
        yield Predictor(
            name=name,
            digest=f"candidate:{card.digest}",
            about={"engine": card.engine},
            labels=training.labels,
            limits=limits,
            latency_ms=float("inf"),  # an audit is never refused
            max_length_tokens=training.max_length_tokens,
            temperature=1.0,
            encode=_encoder(folder, training.max_length_tokens),
            engine=engine,
        )


@contextlib.contextmanager
def opened_unsigned(folder: Path, *, threads: int | None = None) -> Iterator[Predictor]:
    """Load a plain Hugging Face sequence classifier, for which no evidence speaks.

    Raises:
        InputError: it is not safe to load (a pickle, a broken header), or it is no classifier.
    """
    from modelyard.artifacts.files import digest_folder
    from modelyard.compression.inputs import read_trained

    trained = read_trained(folder)
    digest = f"unsigned:{digest_folder(folder)}"
    limits = Limits()
    about = {
        "release": digest,
        "signer": None,
        "project": folder.resolve().name,
        "task": "classification",
        "labels": trained.labels,
        "max_length_tokens": trained.max_length_tokens,
        "engine": "torch",
        "limits": limits.model_dump(),
    }
    with _engine(folder, "torch", [], threads) as engine:
        yield Predictor(
            name=folder.resolve().name,
            digest=digest,
            about=about,
            labels=trained.labels,
            limits=limits,
            latency_ms=DEFAULT_LATENCY_MS,
            max_length_tokens=trained.max_length_tokens,
            temperature=1.0,
            encode=_encoder(folder, trained.max_length_tokens),
            engine=engine,
        )


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
    """One prediction as it stands in an answer: `label`, `probabilities` by name, `logits` in label order.

    `truncated` stands there only where it is true.
    """
    document = {"label": prediction.label, "probabilities": prediction.probabilities, "logits": prediction.logits}
    return {**document, "truncated": True} if prediction.truncated else document


def _encoder(folder: Path, max_length_tokens: int) -> Callable[[Sequence[str]], list[Encoded]]:
    from modelyard.tasks.classification import encode_marked, load_tokenizer

    tokenizer = load_tokenizer(folder)
    return lambda texts: encode_marked(tokenizer, texts, max_length_tokens=max_length_tokens)


def _engine(
    folder: Path, engine: EngineName, artefact: Sequence[str], threads: int | None
) -> contextlib.AbstractContextManager[Engine]:
    from modelyard.engines.opening import open_engine

    return contextlib.closing(open_engine(folder, engine, artefact, threads=threads))


def _is_unicode(text: str) -> bool:
    """Whether it has no lone surrogates: what is left of bytes that were not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
