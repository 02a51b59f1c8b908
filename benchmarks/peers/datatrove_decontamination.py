"""datatrove's n-gram decontamination. `datatrove_decontamination.py eng|cmn_Hani SIZE QUESTIONS ROWS FLAGGED`.

Run in an environment of its own: `pip install datatrove==0.10.1 orjson xxhash spacy jieba nltk`. QUESTIONS and ROWS
are JSON lists of strings; FLAGGED gets the numbers of the rows that the filter would remove. Then, for every line on
standard input, the filter goes over the rows once more and the seconds it took are printed.

The indexer class asks for lighteval, which only its own tasks need: its hashing is called without making one.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer

language, size, questions, rows, flagged = sys.argv[1], int(sys.argv[2]), *map(Path, sys.argv[3:6])
config = NGramsDecontConfig(n_grams=size)
step = NGramsDecontFilter(index_folder=str(flagged.parent), config=config, language=language)
indexer = SimpleNamespace(config=config, tokenizer=step.tokenizer, hash_func=step.hash_func)
step._index_hashes = {
    one: "questions"
    for question in json.loads(questions.read_text(encoding="utf-8"))
    for one in NGramsDecontIndexer.compute_hashes(indexer, question)
}
texts = json.loads(rows.read_text(encoding="utf-8"))


def contaminated() -> list[int]:
    """Numbers of the rows that the filter removes."""
    return [number for number, text in enumerate(texts) if step.filter(Document(text=text, id=str(number))) is not True]


flagged.write_text(json.dumps(contaminated()), encoding="utf-8")
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    contaminated()
    print(time.perf_counter() - start, flush=True)
