"""datatrove's MinHash pipeline, run in its own environment by benchmarks/near_duplicates.py.

    python -m venv /tmp/peers/near-datatrove
    /tmp/peers/near-datatrove/bin/pip install datatrove==0.10.1 spacy jieba regex "xxhash<4" tokenizers fasteners

    near_datatrove.py INPUT.jsonl OUTPUT.json {"language": "eng"}

The steps of its own example at their defaults (5-grams, 14 buckets of 8, xxhash; files read whole) on the words that
it finds for the language: spaCy's for `eng`, jieba's for `zho`, those of its WhitespaceTokenizer (spaCy's for no
language) for `space`. Each step is run by two processes that are forked once the tokenizer is loaded, so that the
clock sees no start-up. The fourth step, which only writes the documents again, is left out.
"""

import json
import os
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupSignature,
)
from datatrove.utils.logging import logger
from datatrove.utils.word_tokenizers import WhitespaceTokenizer

CONFIG = MinhashConfig()
PROCESSES = 2


def sign(rank: int, documents: list[Document], folder: str, step: MinhashDedupSignature) -> None:
    """The first step, on one half of the documents."""
    step.run(iter(documents), rank, PROCESSES)


def match(bucket: int, folder: str) -> None:
    """The second step, on one bucket."""
    step = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/matches", config=CONFIG, lines_to_buffer=-1)
    step.run(None, bucket, CONFIG.num_buckets)


def groups(texts: list[str], language: str) -> tuple[float, list[list[int]]]:
    """Seconds, and (row, group) of every row that is in a group."""
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        known = "eng" if language == "space" else language
        step = MinhashDedupSignature(f"{folder}/signatures", config=CONFIG, language=known)
        if language == "space":
            step.word_tokenizer = WhitespaceTokenizer()
        step.get_shingles(texts[0])
        half = (len(documents) + 1) // 2
        context = get_context("fork")
        start = time.perf_counter()
        parts = (documents[:half], documents[half:])
        running = [context.Process(target=sign, args=(rank, parts[rank], folder, step)) for rank in range(PROCESSES)]
        for process in running:
            process.start()
        for process in running:
            process.join()
        with context.Pool(PROCESSES) as pool:
            pool.starmap(match, [(bucket, folder) for bucket in range(CONFIG.num_buckets)])
        MinhashDedupCluster(f"{folder}/matches", f"{folder}/groups", config=CONFIG, save_cluster_id=True).run()
        seconds = time.perf_counter() - start
        found = []
        for rank in range(PROCESSES):
            path = Path(folder, "groups", f"{rank:06d}.clusters")
            data = path.read_bytes() if path.exists() else b""
            numbers = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
            found += [[row + rank * half, group] for row, group in zip(numbers[::2], numbers[1::2], strict=True)]
    return seconds, found


def main() -> None:
    """Run once by the clock, write seconds and groups."""
    source, target, settings = sys.argv[1:]
    logger.remove()
    os.environ["TQDM_DISABLE"] = "1"
    with Path(source).open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    seconds, found = groups(texts, json.loads(settings)["language"])
    Path(target).write_text(json.dumps({"seconds": seconds, "groups": found}))


if __name__ == "__main__":
    main()
