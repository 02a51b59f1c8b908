"""data-juicer's document_minhash_deduplicator, run in its own environment by benchmarks/near_duplicates.py.

    python -m venv /tmp/peers/near-juicer && /tmp/peers/near-juicer/bin/pip install py-data-juicer==1.6.1 scipy aiohttp

    near_juicer.py INPUT.jsonl OUTPUT.json {"tokenization": "space", "groups": true}

Its documented settings: `space` for English, `character` for Chinese, windows of 5, lower case, 256 permutations, the
threshold 0.8; two processes. Groups are asked for outside the clock, because they cost it much more.
"""

import json
import sys
import time
from pathlib import Path

from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
from datasets import Dataset, disable_progress_bars
from loguru import logger


def main() -> None:
    """Run once by the clock, write seconds and groups."""
    source, target, chosen = sys.argv[1:]
    settings = json.loads(chosen)
    logger.remove()
    disable_progress_bars()
    with Path(source).open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    step = DocumentMinhashDeduplicator(tokenization=settings["tokenization"], jaccard_threshold=0.8)
    step.compute_hash({"text": texts[0]})
    rows = Dataset.from_dict({"text": texts, "row": list(range(len(texts)))})
    start = time.perf_counter()
    hashed = rows.map(step.compute_hash, num_proc=2, load_from_cache_file=False)
    step.process(hashed)
    seconds = time.perf_counter() - start
    groups = []
    if settings["groups"]:
        _, found = step.process(hashed, show_num=len(texts))
        groups = [[row["row"], group] for group, rows in found.items() for row in rows]
    Path(target).write_text(json.dumps({"seconds": seconds, "groups": groups}))


if __name__ == "__main__":
    main()
