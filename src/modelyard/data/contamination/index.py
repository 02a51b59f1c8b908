"""Benchmark questions as an index of n-grams, and the map step that finds them in a batch of rows.

Tokens are those of `tokenising.py`, a word without its apostrophes; symbols and punctuation only separate, so that no
Markdown and no LaTeX sign hides a copy. All of it after `modelyard.data.rules.normalised`: case, width and invisible
characters do not count.

The n-grams are seeds, not the verdict (that is `contamination/find.py`), and a seed must survive small edits. A text of
L tokens in which e are edited keeps at least L - n + 1 - e n of its n-grams (Jokinen and Ukkonen (1991), Two algorithms
for approximate string matching in static texts): of 20 words with one edited in the middle no 13-gram is left (GPT-3's
n: Brown et al. (2020), appendix C), of 15 no 8-gram (PaLM's: Chowdhery et al. (2022), section 8; Llama 3's: Dubey et
al. (2024), section 5.1.4), while five 3-grams are left of 10. Singh et al. (2024), Evaluation data contamination in
LLMs, find that an n above 8 misses much; allenai/decon takes 5. Here n is 3 words or 4 characters up to 23 tokens, and
5 from there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.data.problems import raise_found
from modelyard.data.rules import normalised
from modelyard.data.tokenising import GOLDEN, SLICE_CHARACTERS, Counts, Hashes, cut, token_hashes
from modelyard.errors import Problem

WORDS_SHORT, CHARACTERS_SHORT, LONG = (
    3,
    4,
    5,
)  # n of a question of words, of one in a script without spaces, of a long one
LONG_FROM_TOKENS = 24
LEAST_WORDS, LEAST_CHARACTERS = 4, 5  # what a match must rest on at least, so that a shorter question cannot have one
MAX_QUESTIONS = 500_000
MAX_BYTES = (
    32 * 1024**2
)  # of all questions, in UTF-8: MMLU's 14,042 have about 5 MiB, and each worker holds 10 bytes a token
MAX_QUESTION_CHARACTERS = 100_000
MAX_PLACES = 16  # of one n-gram within one row: more of them is a row that repeats itself


@dataclass(frozen=True, eq=False)
class Grams:
    """All n-grams of a set of questions: what a worker needs to find them.

    Attributes:
        sizes: the n there are, ascending.
        hashes: shape (grams,), sorted, distinct; the place of a hash is the number of its n-gram.
        bits: shape (bytes,), one bit set for every hash, by its first bits: most n-grams of a corpus end here.
    """

    sizes: tuple[int, ...]
    hashes: Hashes
    bits: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Index:
    """Benchmark questions, ready to be looked for.

    Attributes:
        questions: columns `question`, `source`, `text` and `answer`, a row for each question.
        searched: shape (questions,), the text searched for: the question, or with its answer where it alone is short.
        grams: for `find_hits`.
        tokens: shape (tokens,), the hash of every token searched for, question after question.
        starts: shape (questions + 1,), where each begins in `tokens`.
        sizes: shape (questions,), the n of each; 0 where it is too short to be searched for.
        least: shape (questions,), the rare tokens that a match must rest on: 4 words or 5 characters.
        seeds: shape (tokens,), the number in `grams` of the n-gram that begins at each token; -1 where none does.
    """

    questions: pl.DataFrame
    searched: pl.Series
    grams: Grams
    tokens: Hashes
    starts: Counts
    sizes: Counts
    least: Counts
    seeds: Counts

    @property
    def too_short(self) -> pl.Series:
        """The `question` of each that no match could rest on: fewer than 4 words or 5 characters, answer included."""
        return self.questions["question"].filter(pl.Series(self.sizes == 0))


def build_index(questions: pl.DataFrame) -> Index:
    """Index questions by their n-grams.

    Args:
        questions: `question` (Int64, distinct), `source` (`file:line`), `text`; where there is one, `answer` (String,
            may be null).

    Raises:
        InputError: a column is missing, there is no question or are too many, one has no text or is too long.
    """
    raise_found(_problems(questions))
    if "answer" not in questions.columns:
        questions = questions.with_columns(answer=pl.lit(None, dtype=pl.String))
    questions = questions.select("question", "source", "text", "answer")
    searched = _searched(questions)
    tokens, counts, alone = tokens_of(searched)
    starts = np.concatenate([[0], np.cumsum(counts)])
    sizes, least = _sizes(counts, alone)
    of_token = np.repeat(sizes, counts)
    ends = np.repeat(starts[1:], counts)
    hashes = np.zeros(tokens.size, dtype=np.uint64)
    begins = (of_token > 0) & (np.arange(tokens.size) + of_token <= ends)
    for size in np.unique(sizes[sizes > 0]):
        found = np.flatnonzero(begins & (of_token == size))
        hashes[found] = gram_hashes(tokens, int(size))[found]
    distinct, numbers = np.unique(hashes[begins], return_inverse=True)
    seeds = np.full(tokens.size, -1, dtype=np.int64)
    seeds[begins] = numbers
    grams = Grams(tuple(np.unique(sizes[sizes > 0]).tolist()), distinct, _bits(distinct))
    return Index(questions, searched, grams, tokens, starts, sizes, least, seeds)


def find_hits(rows: pl.DataFrame, grams: Grams) -> pl.DataFrame:
    """The n-grams of questions that stand in a batch of rows. Pure: the same in every process.

    Args:
        rows: `row` (Int64) and `text`, or `key` in its place where the text is already normalised.
        grams: of an `Index`.

    Returns:
        `row`, `gram` (UInt32, its number), `position` (UInt32, of its first token in the row); at most the first 16
        positions of an n-gram within a row. One line for an n-gram, however many questions share it.
    """
    texts = rows["key"] if "key" in rows.columns else normalise(rows["text"])
    numbers = rows["row"].cast(pl.Int64).to_numpy()
    found = [pl.DataFrame(schema={"row": pl.Int64, "gram": pl.UInt32, "position": pl.UInt32})]
    maybe = np.unpackbits(grams.bits).view(np.bool_)
    first = 0
    for piece in slices(texts):
        tokens, counts, _ = tokenise(piece)
        found.extend(_hits(tokens, counts, numbers[first : first + len(piece)], grams, maybe))
        first += len(piece)
    return pl.concat(found)


def tokens_of(texts: pl.Series) -> tuple[Hashes, Counts, NDArray[np.bool_]]:
    """As `tokenise`, of texts as they are written, and a slice at a time, so that memory stays a few times theirs."""
    parts = [tokenise(piece) for piece in slices(normalise(texts))] or [tokenise(texts)]
    tokens, counts, alone = (np.concatenate(each) for each in zip(*parts, strict=True))
    return tokens, counts, alone


def tokenise(texts: pl.Series) -> tuple[Hashes, Counts, NDArray[np.bool_]]:
    """The tokens of normalised texts, end to end.

    Args:
        texts: shape (texts,), String; null has no token.

    Returns:
        A hash for every token; how many each text has; whether the token is a character of a script without spaces.
    """
    plain = texts.fill_null("").str.replace_all("'", "", literal=True)
    lengths = plain.str.len_chars().cast(pl.Int64).to_numpy() + 1  # with the separator behind each
    if lengths.size == 0:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    characters = np.frombuffer((plain.str.join("\n").item() + "\n").encode("utf-32-le"), dtype=np.uint32)
    return token_hashes(characters, lengths)


def gram_hashes(tokens: Hashes, size: int) -> Hashes:
    """A hash for every run of `size` tokens, shape (tokens - size + 1,) or none."""
    runs = max(tokens.size - size + 1, 0)
    hashes = tokens[:runs].copy()
    for place in range(1, size):
        hashes *= GOLDEN
        hashes += tokens[place : place + runs]
    hashes += np.uint64(size)
    hashes *= GOLDEN
    return hashes


def slices(texts: pl.Series) -> Iterator[pl.Series]:
    """Texts in consecutive runs of about 2^17 characters, one text at least."""
    sizes = texts.str.len_chars().fill_null(0).cast(pl.Int64).to_numpy() + 1
    for part in cut(sizes, SLICE_CHARACTERS):
        yield texts[part]


def _hits(
    tokens: Hashes, counts: Counts, rows: Counts, grams: Grams, maybe: NDArray[np.bool_]
) -> Iterator[pl.DataFrame]:
    ends = np.cumsum(counts)
    shift = np.uint64(64 - (maybe.size - 1).bit_length())
    for size in grams.sizes:
        hashes = gram_hashes(tokens, size)
        places = np.flatnonzero(maybe.take(hashes >> shift))
        numbers = np.searchsorted(grams.hashes, hashes[places])
        texts = np.searchsorted(ends, places, side="right")
        known = grams.hashes.take(numbers, mode="clip") == hashes[places]
        known &= places + size <= ends.take(texts, mode="clip")
        places, numbers, texts = places[known], numbers[known], texts[known]
        kept = _first_places(texts * np.int64(grams.hashes.size) + numbers)
        yield pl.DataFrame(
            {
                "row": rows[texts[kept]],
                "gram": numbers[kept].astype(np.uint32),
                "position": (places - (ends - counts)[texts])[kept].astype(np.uint32),
            }
        )


def _first_places(values: Counts) -> Counts:
    """Where each value stands for the first to the sixteenth time."""
    order = np.argsort(values, kind="stable")
    new = np.append(True, values[order[1:]] != values[order[:-1]])[: values.size]
    starts = np.flatnonzero(new)
    times = np.arange(values.size) - np.repeat(starts, np.diff(np.append(starts, values.size)))
    return np.sort(order[times < MAX_PLACES])


def _bits(hashes: Hashes) -> NDArray[np.uint8]:
    """A bit for each hash by its first bits, packed: of the n-grams of a corpus one in 16 passes by chance at most.

    Up to a million hashes, that is: the table ends at 2^24 bits, which still fit a processor's cache.
    """
    bits = min(max(16, int(16 * hashes.size).bit_length()), 24)
    table = np.zeros(1 << bits, dtype=np.bool_)
    table[hashes >> np.uint64(64 - bits)] = True
    return np.packbits(table)


def _searched(questions: pl.DataFrame) -> pl.Series:
    """The questions; one that is too short by itself together with its answer."""
    _, counts, alone = tokens_of(questions["text"])
    short = pl.Series(_sizes(counts, alone)[0] == 0)
    both = pl.concat_str("text", "answer", separator=" ", ignore_nulls=True)
    return questions.select(searched=pl.when(short).then(both).otherwise("text"))["searched"]


def _sizes(counts: Counts, alone: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """The n of each question, 0 where it is too short, and the rare tokens that a match must rest on.

    Args:
        counts: shape (questions,), tokens of each.
        alone: shape (tokens,), which of them are characters of a script without spaces.
    """
    sums = np.concatenate([[0], np.cumsum(alone)])
    ends = np.cumsum(counts)
    characters = 2 * (sums[ends] - sums[ends - counts]) > counts
    least = np.where(characters, LEAST_CHARACTERS, LEAST_WORDS)
    sizes = np.where(counts < LONG_FROM_TOKENS, np.where(characters, CHARACTERS_SHORT, WORDS_SHORT), LONG)
    return np.where(counts < least, 0, sizes), least


def normalise(texts: pl.Series) -> pl.Series:
    """Texts as they are compared: `modelyard.data.rules.normalised`."""
    return texts.alias("text").to_frame().select(normalised("text"))["text"]


def _problems(questions: pl.DataFrame) -> list[Problem]:
    missing = [name for name in ("question", "source", "text") if name not in questions.columns]
    if missing:
        said = f"the questions have no column {', '.join(missing)}"
        return [Problem(said, "name the fields that hold the questions")]
    texts = [questions[name].fill_null("") for name in ("text", "answer") if name in questions.columns]
    size = int(sum(text.str.len_bytes().sum() for text in texts))
    length = pl.Series(np.max([text.str.len_chars().to_numpy() for text in texts], axis=0), dtype=pl.Int64)
    problems = []
    if questions.height == 0:
        problems.append(Problem("there is no question", "name a file that holds benchmark questions"))
    if questions.height > MAX_QUESTIONS:
        said = f"{questions.height:,} questions are more than {MAX_QUESTIONS:,}"
        problems.append(Problem(said, "search for one benchmark at a time"))
    if size > MAX_BYTES:
        said = f"the questions and answers have {size:,} bytes, the most is {MAX_BYTES:,}"
        problems.append(Problem(said, "search for one benchmark at a time, and for questions without their passages"))
    if questions["question"].is_duplicated().any():
        problems.append(Problem("two questions have one number", "number the questions from 1"))
    bad = questions.select("source", length=length).filter(
        (length > MAX_QUESTION_CHARACTERS) | (texts[0].str.strip_chars() == "")
    )
    for source, characters in bad.iter_rows():
        if characters > MAX_QUESTION_CHARACTERS:
            said = f"a question or its answer has {characters:,} characters, the most is {MAX_QUESTION_CHARACTERS:,}"
            problems.append(Problem(said, "cut it, or leave out its passage", source))
        else:
            problems.append(Problem("a question is empty", "write its text, or remove it", source))
    return problems


def save_grams(grams: Grams, path: Path) -> None:
    """Write what a worker needs; arrays only, nothing that is executed when read."""
    np.savez(path, sizes=np.array(grams.sizes, np.int64), hashes=grams.hashes, bits=grams.bits)


def load_grams(path: Path) -> Grams:
    """What `save_grams` wrote."""
    with np.load(path, allow_pickle=False) as held:
        return Grams(tuple(held["sizes"].tolist()), held["hashes"], held["bits"])
