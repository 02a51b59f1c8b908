"""The shingles of `data/duplicates/shingles.py` in plain Python: for the plain rensa loop, and the judge's reference.

Holds for the benchmark's texts, which have letters, digits, Han and ASCII punctuation and no other symbol.
"""

import re
import unicodedata

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff"
TOKEN = re.compile(f"[{HAN}]|[^\\W_{HAN}]+")


def shingles(text: str) -> list[str]:
    """Runs of five tokens, one run of all where there are fewer; a Han character or a word is a token."""
    tokens = TOKEN.findall(unicodedata.normalize("NFKC", text).lower())
    if len(tokens) < 5:
        return [" ".join(tokens)] if tokens else []
    return [" ".join(run) for run in zip(tokens, tokens[1:], tokens[2:], tokens[3:], tokens[4:], strict=False)]
