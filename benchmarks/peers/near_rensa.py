"""A plain rensa loop, run in rensa's own environment by benchmarks/near_duplicates.py.

    python -m venv /tmp/peers/near-rensa && /tmp/peers/near-rensa/bin/pip install rensa==0.5.0

    near_rensa.py INPUT.jsonl OUTPUT.json {"how": "batch", "tokens": "shingles"}

`batch`: signatures by from_token_sets, insert_many and query_all of an RMinHashLSH; candidates whose estimated
similarity reaches the threshold are joined. `rho`: the README's fastest, which tells only whether a row is like any
other. Tokens are Modelyard's shingles, or with `split` the words between spaces, as in the README. The text is read
before the clock.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from near_shingles import shingles
from rensa import RMinHash, RMinHashLSH

Cut = Callable[[str], list[str]]

THRESHOLD, PLACES, BANDS, SEED = 0.8, 128, 16, 42


def batch(texts: list[str], cut: Cut) -> list[tuple[int, int]]:
    """Pairs of rows that are alike."""
    signed = RMinHash.from_token_sets(map(cut, texts), num_perm=PLACES, seed=SEED)
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PLACES, num_bands=BANDS)
    index.insert_many(signed)
    return [
        (row, other)
        for row, near in enumerate(index.query_all(signed))
        for other in near
        if other < row and signed[row].jaccard(signed[other]) >= THRESHOLD
    ]


def rho(texts: list[str], cut: Cut) -> list[bool]:
    """Whether each row is like any other."""
    matrix = RMinHash.digest_matrix_from_token_sets_rho(map(cut, texts), PLACES, SEED)
    return RMinHashLSH(threshold=THRESHOLD, num_perm=PLACES, num_bands=8).query_duplicate_flags_matrix_one_shot(matrix)


def main() -> None:
    """Warm up, run once by the clock, write seconds and pairs or flags."""
    source, target, settings = sys.argv[1:]
    with Path(source).open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    chosen = json.loads(settings)
    run = {"batch": batch, "rho": rho}[chosen["how"]]
    cut = str.split if chosen["tokens"] == "split" else shingles
    run(texts[:50], cut)
    start = time.perf_counter()
    found = run(texts, cut)
    seconds = time.perf_counter() - start
    pairs = found if run is batch else []
    Path(target).write_text(
        json.dumps({"seconds": seconds, "pairs": pairs, "flags": found if run is not batch else []})
    )


if __name__ == "__main__":
    main()
