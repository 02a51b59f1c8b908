"""Which texts datatrove's filters drop, rule by rule: `datatrove_filters.py TEXTS.json LANGUAGE FOUND.json`.

Each rule is a filter with the others switched off, so that all of them are heard, not the first that drops a text. A
rule runs at the paper's thresholds (`paper`) and, where datatrove's own differ, at those (`own`). Where it counts
something else than the paper says, `read` is the paper's definition counted plainly over datatrove's words. `seconds`
is what its four filters take as they are released. One core.
"""

import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_words

warnings.filterwarnings("ignore")  # the mean of no words
texts_path, language, found_path = sys.argv[1:]

QUALITY = (
    "min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio",
    "max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words",
)  # fmt: skip
REPETITION = ("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")


def quality(**kept: float) -> GopherQualityFilter:
    """One rule of Gopher's table of qualities."""
    return GopherQualityFilter(**{name: kept.get(name) for name in QUALITY}, language=language)


def repetition(top: tuple = (), duplicate: tuple = (), **kept: float) -> GopherRepetitionFilter:
    """One rule of Gopher's table of repetitions."""
    rest = {name: kept.get(name) for name in REPETITION}
    return GopherRepetitionFilter(**rest, top_n_grams=top, dup_n_grams=duplicate, language=language)


def c4(**kept: object) -> C4QualityFilter:
    """One rule of C4: a text is dropped where no line is left, unless more sentences are asked for."""
    nothing = {
        "filter_no_terminal_punct": False, "min_num_sentences": 1, "min_words_per_line": -1, "max_word_length": -1,
        "filter_lorem_ipsum": False, "filter_javascript": False, "filter_curly_bracket": False, "filter_policy": False,
    }  # fmt: skip
    return C4QualityFilter(**{**nothing, **kept}, language=language)


def fineweb(**kept: float) -> FineWebQualityFilter:
    """One rule of FineWeb."""
    nothing = {"line_punct_thr": 0, "short_line_thr": 1, "char_duplicates_ratio": 1, "new_line_ratio": 1e9}
    return FineWebQualityFilter(**{**nothing, **kept}, language=language)


RULES = {
    "gopher_word_count": quality(min_doc_words=50, max_doc_words=100_000),
    "gopher_mean_word_length": quality(min_avg_word_length=3, max_avg_word_length=10),
    "gopher_symbol_ratio": quality(max_symbol_word_ratio=0.1),
    "gopher_alphabetic_words": quality(max_non_alpha_words_ratio=0.8),
    "gopher_stop_words": quality(min_stop_words=2),
    "gopher_bullet_lines": quality(max_bullet_lines_ratio=0.9),
    "gopher_ellipsis_lines": quality(max_ellipsis_lines_ratio=0.3),
    "gopher_repeated_lines": repetition(dup_line_frac=0.3),
    "gopher_repeated_line_characters": repetition(dup_line_char_frac=0.2),
    "gopher_repeated_paragraphs": repetition(dup_para_frac=0.3),
    "gopher_repeated_paragraph_characters": repetition(dup_para_char_frac=0.2),
    **{f"gopher_top_{n}_gram": repetition(top=((n, most),)) for n, most in ((2, 0.2), (3, 0.18), (4, 0.16))},
    **{
        f"gopher_duplicate_{n}_gram": repetition(duplicate=((n, most),))
        for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    },
    "c4_terminal_punctuation": c4(filter_no_terminal_punct=True),
    "c4_line_words": c4(min_words_per_line=5),
    "c4_javascript": c4(filter_javascript=True),
    "c4_policy": c4(filter_policy=True),
    "c4_sentences": c4(
        filter_no_terminal_punct=True,
        min_words_per_line=5,
        filter_javascript=True,
        filter_policy=True,
        min_num_sentences=3,
    ),
    "c4_curly_brace": c4(min_num_sentences=-1, filter_curly_bracket=True),
    "c4_lorem_ipsum": c4(min_num_sentences=-1, filter_lorem_ipsum=True),
    "fineweb_terminal_lines": fineweb(line_punct_thr=0.12),
    "fineweb_repeated_line_characters": fineweb(char_duplicates_ratio=0.1),
    "fineweb_short_lines": fineweb(short_line_thr=0.67, short_line_length=29),
}
OWN = {
    "c4_line_words": c4(min_words_per_line=3),
    "c4_sentences": c4(
        filter_no_terminal_punct=True,
        min_words_per_line=3,
        filter_javascript=True,
        filter_policy=True,
        min_num_sentences=5,
    ),
    "fineweb_repeated_line_characters": fineweb(char_duplicates_ratio=0.01),
    "fineweb_short_lines": fineweb(short_line_thr=0.67),
}


def dropped(rule: object, text: str, place: int) -> bool:
    """Whether the rule drops a text; one without words ends in a division by zero, which drops it too."""
    try:
        kept = rule.filter(Document(text=text, id=str(place)))
    except ZeroDivisionError:
        return True
    return kept is not True


TOP = {2: 0.2, 3: 0.18, 4: 0.16}
DUPLICATE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
CLOSERS = "\"'”’」』…"


def repeated_share(words: list[str], size: int, top: bool) -> float:
    """Share of the words' characters in n-grams that occur more than once, or in the most frequent of them."""
    grams = [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
    counts = {gram: count for gram, count in Counter(grams).items() if count > 1}
    if not counts:
        return 0.0
    kept = {max(counts, key=lambda gram: (counts[gram], len("".join(gram))))} if top else set(counts)
    covered = {place + more for place, gram in enumerate(grams) if gram in kept for more in range(size)}
    return sum(len(words[place]) for place in covered) / len("".join(words))


def read(text: str) -> set[str]:
    """The rules that a text breaks as the papers describe them."""
    words = [word for word in split_into_words(text, language) if any(sign not in PUNCTUATION_SET for sign in word)]
    broken = {f"gopher_top_{size}_gram" for size, most in TOP.items() if repeated_share(words, size, True) > most}
    broken |= {
        f"gopher_duplicate_{size}_gram" for size, most in DUPLICATE.items() if repeated_share(words, size, False) > most
    }
    spaced = text.split()
    if spaced and sum(any(sign.isalpha() for sign in word) for word in spaced) / len(spaced) < 0.8:
        broken.add("gopher_alphabetic_words")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    ended = [line.rstrip(")]").endswith((*TERMINAL_PUNCTUATION, *CLOSERS)) for line in lines]
    if lines and sum(ended) / len(lines) <= 0.12:
        broken.add("fineweb_terminal_lines")
    return broken


texts = json.loads(Path(texts_path).read_text(encoding="utf-8"))
dropped(RULES["gopher_word_count"], "one word", 0)  # loads the tokeniser
released = [
    GopherRepetitionFilter(language=language),
    GopherQualityFilter(language=language),
    C4QualityFilter(language=language),
    FineWebQualityFilter(language=language),
]
start = time.process_time()
for place, text in enumerate(texts):
    for stock in released:
        dropped(stock, text, place)
seconds = time.process_time() - start
found = {"paper": {name: [] for name in RULES}, "own": {name: [] for name in OWN}, "read": {}, "seconds": seconds}
for place, text in enumerate(texts):
    for kind, rules in (("paper", RULES), ("own", OWN)):
        for name, rule in rules.items():
            if dropped(rule, text, place):
                found[kind][name].append(place)
    for name in read(text):
        found["read"].setdefault(name, []).append(place)
Path(found_path).write_text(json.dumps(found), encoding="utf-8")
