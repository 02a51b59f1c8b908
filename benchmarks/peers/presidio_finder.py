"""Presidio's pattern recognisers over texts, in an environment of its own: `presidio_finder.py TEXTS FOUND REGIONS`.

TEXTS is JSON lines of strings; FOUND gets one JSON document: seconds, and per text the findings as entity, start, end,
score. No language model: spaCy's blank pipeline gives the tokens that the context words are looked for in.
"""

import json
import sys
import time
from pathlib import Path

import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SlimSpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsPassportRecognizer,
    UsSsnRecognizer,
)
from spacy.language import Language
from spacy.tokens import Doc


@Language.component("lowered")
def lowered(words: Doc) -> Doc:
    """The word itself in place of a lemma, so that context words are found without a model."""
    for word in words:
        word.lemma_ = word.lower_
    return words


def engine(regions: list[str]) -> AnalyzerEngine:
    """The recognisers of the kinds that both sides know."""
    registry = RecognizerRegistry()
    phone = PhoneRecognizer(supported_regions=tuple(regions)) if regions else PhoneRecognizer()
    for recogniser in (
        CreditCardRecognizer(), EmailRecognizer(), IbanRecognizer(), IpRecognizer(), phone, UsPassportRecognizer(),
        UsSsnRecognizer(),
    ):  # fmt: skip
        registry.add_recognizer(recogniser)
    words = SlimSpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}], auto_download=False)
    pipeline = spacy.blank("en")
    pipeline.add_pipe("lowered")
    words.nlp = {"en": pipeline}
    return AnalyzerEngine(registry=registry, nlp_engine=words, supported_languages=["en"])


def main() -> None:
    """Find, and say how long it took."""
    texts = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    analyzer = engine([region for region in sys.argv[3].split(",") if region])
    analyzer.analyze("warm up 555-1234 a@b.com 1.2.3.4", language="en")
    start = time.perf_counter()
    found = [
        [(one.entity_type, one.start, one.end, one.score) for one in analyzer.analyze(text, language="en")]
        for text in texts
    ]
    seconds = time.perf_counter() - start
    Path(sys.argv[2]).write_text(json.dumps({"seconds": seconds, "found": found}), encoding="utf-8")


if __name__ == "__main__":
    main()
