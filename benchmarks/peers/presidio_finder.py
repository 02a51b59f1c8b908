"""Presidio's pattern recognisers, in an environment of its own: `presidio_finder.py REGIONS`, a worker on pipes.

Each line of stdin is a path to JSON lines of texts and a path for what was found: per text the findings as entity,
start, end, score. The answer is a line with the seconds. No language model: spaCy's blank pipeline gives the tokens in
which the context words are looked for.
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
    others = (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        UsPassportRecognizer,
        UsSsnRecognizer,
    )
    for recogniser in (phone, *(other() for other in others)):
        registry.add_recognizer(recogniser)
    words = SlimSpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}], auto_download=False)
    pipeline = spacy.blank("en")
    pipeline.max_length = 10**8
    pipeline.add_pipe("lowered")
    words.nlp = {"en": pipeline}
    return AnalyzerEngine(registry=registry, nlp_engine=words, supported_languages=["en"])


def main() -> None:
    """Find, and say how long it took, for each pair of paths."""
    analyzer = engine([region for region in sys.argv[1].split(",") if region])
    analyzer.analyze("warm up 555-1234 a@b.com 1.2.3.4", language="en")
    print("ready", flush=True)
    for line in sys.stdin:
        source, target = json.loads(line)
        texts = [json.loads(text) for text in Path(source).read_text(encoding="utf-8").splitlines()]
        start = time.perf_counter()
        found = [
            [(one.entity_type, one.start, one.end, one.score) for one in analyzer.analyze(text, language="en")]
            for text in texts
        ]
        seconds = time.perf_counter() - start
        Path(target).write_text(json.dumps(found), encoding="utf-8")
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
