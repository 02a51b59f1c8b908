"""Benchmark questions that stand in a corpus, each with the passage that shows it.

Two things are asked of a row and a question. Both are made so that a phrase that many texts share finds nothing.

Score, 0 to 1: how much of the question stands in the row, close together. A token of the question is found where it
stands with two others of the question, in their order and within four places, on both sides: a word replaced, put in
or left out costs that word and not its neighbours, and clauses may change places. Of two shares the smaller is the
score: that of the tokens found, and that of their weight. A token weighs (r + s) / (f + s): f other rows hold the most
common n-gram around it, r the rarest n-gram of its question, and s is 5, or one in a thousand rows where that is more.
The same is reckoned over the questions, and the smaller weight stands. So "which of the following statements is true"
weighs next to nothing in a corpus, or in a benchmark, that is full of it, while a question that leaked into a thousand
rows still weighs what it should, because all of it did.

Evidence, in rare tokens: whether what was found could stand there by chance. Of N rows each token found counts
log((N + 1) / (f + 1)) / log(N + 1) of a whole one, and no more than over the questions. N is taken as a thousand where
there are fewer, so that two copies in a small corpus are no common phrase; above 10,000 the divisor is log(10,001), and
nothing counts more than whole: what one row in 10,000 holds is rare in any corpus. Four words or five characters are
needed: names and sayings are as long as that.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from modelyard.data.contamination.index import (
    LONG,
    Index,
    gram_hashes,
    normalise,
    slices,
    tokenise,
    tokens_of,
)
from modelyard.data.tokenising import GOLDEN, SPACELESS, Counts, Hashes, mix

# Chosen in benchmarks/contamination.py on kinds of edit and questions other than those it reports
THRESHOLD = 0.7  # of the score
SMOOTHING, SMOOTHING_SHARE = 5, 0.001  # rows or questions: an n-gram in so many others weighs half as one in none
SMALL, LARGE = 1_000, 10_000  # rows or questions: the least and the most that rarity is reckoned by
TOKENS_PER_EDIT = 5  # one edit in five tokens is still looked at
COMMON_LEAST = 100  # rows: an n-gram in more than these, and than the square root of all, is no seed
MOST_PAIRS = 1_000_000  # of rows and questions that share one n-gram: one with more is no seed either
ANSWER_REACH = 200  # tokens around the question, in which its answer is looked for
LONG_ANSWER = 6  # tokens: from here on an answer is compared as a question is, below it must stand as it is
SHOWN_CHARACTERS, CONTEXT_CHARACTERS = 300, 40

_ROWS_AT_ONCE = 256
_TOKENS_AT_ONCE = 2**20
_PIECE = rf"(?:[{SPACELESS}][\p{{M}}\x{{FF9E}}\x{{FF9F}}]*|[^\s{SPACELESS}]+)\s*|\s+"

_COLUMNS = {
    "row": pl.Int64,
    "question": pl.Int64,
    "score": pl.Float64,
    "span": pl.String,
    "question_span": pl.String,
    "answer": pl.Boolean,
}

ReadTexts = Callable[[Sequence[int]], pl.DataFrame]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Others:
    """How many other rows, or other questions, hold each n-gram.

    Attributes:
        held: shape (grams,).
        total: all rows, or all questions.
    """

    held: Counts
    total: int


@dataclass(frozen=True, eq=False)
class _Weights:
    """What each token searched for counts, shape (tokens,): `share` of the score, `rarity` as evidence."""

    share: Numbers
    rarity: Numbers


@dataclass(frozen=True, eq=False)
class _Pairs:
    """A row and a question each, shape (pairs,), by row: the places `first` to `last` where the question may begin."""

    row: Counts
    question: Counts
    first: Counts
    last: Counts

    def __getitem__(self, chosen: Counts | Flags | slice) -> "_Pairs":
        return _Pairs(self.row[chosen], self.question[chosen], self.first[chosen], self.last[chosen])


@dataclass(frozen=True, eq=False)
class _Texts:
    """The tokens of some rows: `starts` has the shape (rows + 1,)."""

    rows: Counts
    texts: pl.Series
    tokens: Hashes
    starts: Counts


def contaminated(
    connection: DuckDBPyConnection, *, hits: str, rows_total: int, index: Index, read_texts: ReadTexts
) -> pl.DataFrame:
    """The rows that hold a benchmark question, or a copy of one with small edits.

    Args:
        connection: where `hits` can be read.
        hits: name of the relation of all that `find_hits` found: `row`, `gram`, `position`.
        rows_total: rows of the corpus.
        index: of the questions.
        read_texts: gives `row` and `text` of the rows asked for, up to 256, as they stood in the files.

    Returns:
        `row`, `question`, `score` (0.7 to 1), `span` (the passage of the row with some of what stands around it, at
        most 300 characters), `question_span` (what is compared with it) and `answer` (whether the question's answer
        stands within 200 tokens of it; null where there is none), by row, the best question first.

    Raises:
        ValueError: `read_texts` did not give the rows asked for.
    """
    found = [pl.DataFrame(schema=_COLUMNS)]
    if index.grams.hashes.size == 0:
        return found[0]
    rows, questions = _other_rows(connection, hits, rows_total, index), _other_questions(index)
    pairs = _candidates(connection, hits, index, rows, questions)
    weights = _weights(index, rows, questions)
    for some, texts in _read(pairs, read_texts):
        for part in _portions(some, index):
            scores, evidence = _scores(part, texts, index, weights)
            kept = (scores >= THRESHOLD) & (evidence >= index.least[part.question])
            if kept.any():
                found.append(_shown(part[kept], scores[kept], texts, index))
    return pl.concat(found).sort("row", "score", "question", descending=[False, True, False])


def _other_rows(connection: DuckDBPyConnection, hits: str, rows_total: int, index: Index) -> _Others:
    """Rows but for one, the one that is judged."""
    counted = connection.sql(
        f"SELECT gram, count(*) AS n FROM (SELECT DISTINCT gram, row FROM {hits}) GROUP BY gram"
    ).fetchnumpy()
    rows = np.zeros(index.grams.hashes.size, dtype=np.int64)
    rows[counted["gram"].astype(np.int64)] = counted["n"]
    return _Others(np.maximum(rows - 1, 0), rows_total)


def _other_questions(index: Index) -> _Others:
    return _Others(np.bincount(_distinct(index)[0], minlength=index.grams.hashes.size) - 1, index.sizes.size)


def _distinct(index: Index) -> tuple[Counts, Counts]:
    """Every n-gram of every question once, as two arrays: n-gram, question."""
    question = _question_of_token(index)
    begins = index.seeds >= 0
    both = np.unique(index.seeds[begins] * index.sizes.size + question[begins])
    return both // index.sizes.size, both % index.sizes.size


def _question_of_token(index: Index) -> Counts:
    return np.repeat(np.arange(index.sizes.size), np.diff(index.starts))


def _rarest(index: Index, others: _Others) -> Counts:
    """By how many others the rarest n-gram of each question is held; the largest number where it has none."""
    grams, questions = _distinct(index)
    rarest = np.full(index.sizes.size, np.iinfo(np.int64).max)
    np.minimum.at(rarest, questions, others.held[grams])
    return rarest


def _around(index: Index, others: _Others) -> Counts:
    """By how many others the most common n-gram around each token is held."""
    begins = np.where(index.seeds >= 0, others.held.take(index.seeds, mode="clip"), 0)
    sizes = np.repeat(index.sizes, np.diff(index.starts))
    most = begins.copy()
    for place in range(1, LONG):
        reaching = np.where(sizes > place, begins, 0)[:-place]
        np.maximum(most[place:], reaching, out=most[place:])
    return most


def _share(held: Counts, rarest: Counts, others: _Others) -> Numbers:
    smoothing = max(SMOOTHING, SMOOTHING_SHARE * others.total)
    return (np.minimum(rarest, held) + smoothing) / (held + smoothing)


def _rarity(held: Counts, others: _Others) -> Numbers:
    total = max(others.total, SMALL)
    return np.minimum(np.log((total + 1) / (held + 1)) / math.log(min(total, LARGE) + 1), 1.0)


def _weights(index: Index, *both: _Others) -> _Weights:
    question = _question_of_token(index)
    held = [_around(index, others) for others in both]
    rarest = [_rarest(index, others)[question] for others in both]
    shares = [_share(one, least, others) for one, least, others in zip(held, rarest, both, strict=True)]
    rarities = [_rarity(one, others) for one, others in zip(held, both, strict=True)]
    return _Weights(np.minimum(*shares), np.minimum(*rarities))


def _candidates(connection: DuckDBPyConnection, hits: str, index: Index, rows: _Others, questions: _Others) -> _Pairs:
    """The pairs that share as many n-grams as small edits leave, at places that fit.

    A pair must share a seed: an n-gram that few rows hold, and that weighs half as much as the rarest of the question
    at least. Of those pairs all n-grams are counted. One at `position` in the row and at `place` in the question says
    that the question begins at their difference. Those of one copy differ by what was put in or left out, and by the
    length of what changed places: the beginnings are counted in windows of twice the question's length, one every
    length, so that a copy lies whole in one of them.
    """
    begins = np.flatnonzero(index.seeds >= 0)
    grams, question = index.seeds[begins], _question_of_token(index)[begins]
    shares = [_share(one.held[grams], _rarest(index, one)[question], one) for one in (rows, questions)]
    common = rows.held > max(COMMON_LEAST, math.sqrt(rows.total))
    common |= (rows.held + 1) * (questions.held + 1) > MOST_PAIRS
    lengths = np.diff(index.starts)
    distinct = np.bincount(_distinct(index)[1], minlength=lengths.size)
    tables = {
        "contamination_grams": {
            "gram": grams,
            "question": question,
            "place": begins - index.starts[question],
            "length": lengths[question],
            "seed": (np.minimum(*shares) >= 0.5) & ~common[grams],
        },
        "contamination_needed": {
            "question": np.arange(lengths.size),
            "needed": np.maximum(1, distinct - np.maximum(1, lengths // TOKENS_PER_EDIT) * index.sizes),
        },
    }
    for name, table in tables.items():
        connection.register(name, table)
    try:
        found = connection.sql(_CANDIDATES.format(hits=hits)).fetchnumpy()
    finally:
        for name in tables:
            connection.unregister(name)
    return _Pairs(*(found[name].astype(np.int64) for name in ("row", "question", "first", "last")))


_CANDIDATES = """
    WITH pairs AS MATERIALIZED (
        SELECT DISTINCT row, question FROM {hits} JOIN contamination_grams USING (gram) WHERE seed
    ), wanted AS MATERIALIZED (
        SELECT row, question, gram, place, length FROM pairs JOIN contamination_grams USING (question)
    ), placed AS (
        SELECT row, question, gram, position::BIGINT - place AS first,
               (position::BIGINT - place + length) // length AS around
        FROM wanted JOIN {hits} USING (row, gram)
    ), once AS (
        SELECT row, question, gram, around - back AS around, min(first) AS first, max(first) AS last
        FROM placed, (VALUES (0), (1)) AS windows(back) GROUP BY ALL
    ), counted AS (
        SELECT row, question, around, count(*) AS grams, min(first) AS first, max(last) AS last
        FROM once GROUP BY row, question, around
    )
    SELECT row, question, first, last FROM counted JOIN contamination_needed USING (question) WHERE grams >= needed
    QUALIFY row_number() OVER (PARTITION BY row, question ORDER BY grams DESC, around) = 1
    ORDER BY row, question
"""


def _read(pairs: _Pairs, read_texts: ReadTexts) -> Iterator[tuple[_Pairs, _Texts]]:
    """The pairs by some rows at a time, with the texts of these rows."""
    rows, firsts = np.unique(pairs.row, return_index=True)
    ends = np.append(firsts, pairs.row.size)
    for start in range(0, rows.size, _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        texts = read_texts(some.tolist()).select("row", "text").sort("row")
        if texts["row"].to_list() != some.tolist():
            raise ValueError(f"read_texts gave {texts.height} rows where {some.size} were asked for, or others")
        tokens, counts, _ = tokens_of(texts["text"])
        starts = np.concatenate([[0], np.cumsum(counts)])
        here = pairs[slice(ends[start], ends[min(start + _ROWS_AT_ONCE, rows.size)])]
        yield here, _Texts(texts["row"].to_numpy(), texts["text"], tokens, starts)


def _portions(pairs: _Pairs, index: Index) -> Iterator[_Pairs]:
    """Cut pairs into runs of about a million tokens."""
    lengths = np.diff(index.starts)[pairs.question]
    tokens = np.cumsum(pairs.last - pairs.first + 2 * lengths)
    portion = tokens // _TOKENS_AT_ONCE
    for number in np.unique(portion):
        yield pairs[portion == number]


def _windows(pairs: _Pairs, texts: _Texts, index: Index, reach: int) -> tuple[Counts, Counts]:
    """Where in `texts.tokens` each question would stand, and `reach` more on either side: first token, end."""
    row = np.searchsorted(texts.rows, pairs.row)
    begin, end = texts.starts[row], texts.starts[row + 1]
    lengths = np.diff(index.starts)[pairs.question]
    first = np.clip(begin + pairs.first - reach, begin, end)
    return first, np.clip(begin + pairs.last + lengths + reach, first, end)


def _scores(pairs: _Pairs, texts: _Texts, index: Index, weights: _Weights) -> tuple[Numbers, Numbers]:
    """Score and evidence of each pair."""
    first, end = _windows(pairs, texts, index, LONG)
    begin, stop = index.starts[pairs.question], index.starts[pairs.question + 1]
    found = _found(_ranges(begin, stop), _ranges(first, end), index.tokens, texts.tokens)
    places, pair = _ranges(begin, stop)

    def total(values: Numbers | Flags) -> Numbers:
        return np.bincount(pair, weights=values, minlength=pairs.row.size).astype(np.float64)

    weighed = total(weights.share[places] * found) / total(weights.share[places])
    return np.minimum(weighed, total(found) / (stop - begin)), total(weights.rarity[places] * found)


def _ranges(starts: Counts, stops: Counts) -> tuple[Counts, Counts]:
    """The numbers of all ranges end to end, and which range each belongs to."""
    lengths = stops - starts
    owner = np.repeat(np.arange(starts.size), lengths)
    return np.arange(owner.size) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths), owner


def _found(
    wanted: tuple[Counts, Counts], offered: tuple[Counts, Counts], wanted_tokens: Hashes, offered_tokens: Hashes
) -> Flags:
    """Which of the wanted tokens stand with two others, in order and within four places, among the offered ones.

    Args:
        wanted: places in `wanted_tokens`, and the pair of each; shape (tokens wanted,).
        offered: places in `offered_tokens`, and the pair of each; shape (tokens offered,).
        wanted_tokens: hashes.
        offered_tokens: hashes.

    Returns:
        Shape (tokens wanted,).
    """
    have = np.concatenate([hashes for hashes, _ in _triples(offered_tokens[offered[0]], offered[1])])
    found = np.zeros(wanted[0].size, dtype=np.bool_)
    for hashes, places in _triples(wanted_tokens[wanted[0]], wanted[1]):
        known = places[:, np.isin(hashes, have)]
        found[known.ravel()] = True
    return found


def _triples(tokens: Hashes, owner: Counts) -> Iterator[tuple[Hashes, Counts]]:
    """Three tokens of one owner in order, one between them left out or none: hashes, and places of shape (3, n)."""
    salt = mix((owner.astype(np.uint64) + np.uint64(1)) * GOLDEN)
    for middle, last in ((1, 2), (1, 3), (2, 3)):
        starts = np.arange(max(tokens.size - last, 0))
        starts = starts[owner[starts] == owner[starts + last]]
        places = np.stack([starts, starts + middle, starts + last])
        hashes = (tokens[places[0]] * GOLDEN + tokens[places[1]]) * GOLDEN + tokens[places[2]]
        yield mix(hashes + salt[starts]), places


def _shown(pairs: _Pairs, scores: Numbers, texts: _Texts, index: Index) -> pl.DataFrame:
    """What a reader sees of each pair."""
    row = np.searchsorted(texts.rows, pairs.row)
    first, end = _windows(pairs, texts, index, 0)
    every = np.arange(pairs.row.size)
    lengths = np.diff(index.starts)[pairs.question]
    used, owner = np.unique(row, return_inverse=True)
    return pl.DataFrame(
        {
            "row": pairs.row,
            "question": index.questions["question"].cast(pl.Int64)[pairs.question],
            "score": scores,
            "span": _passages(texts.texts[used], owner, first - texts.starts[row], end - texts.starts[row]),
            "question_span": _passages(index.searched[pairs.question], every, np.zeros_like(every), lengths),
            "answer": _answers(pairs, texts, index),
        }
    )


def _passages(texts: pl.Series, owner: Counts, first: Counts, end: Counts) -> pl.Series:
    """Passages of texts as they are written, with up to 40 characters on either side, cut to 300.

    A text is cut where a token cannot lie across: behind white space, and around each character of a script without
    spaces. The tokens of such pieces add up to those of the text.

    Args:
        texts: shape (texts,).
        owner: shape (passages,), ascending: the text each is of.
        first: shape (passages,), its first token in the text.
        end: shape (passages,), the token behind its last.
    """
    shown = [pl.Series([], dtype=pl.String)]
    start = 0
    for some in slices(texts):
        own = (owner >= start) & (owner < start + len(some))
        begin, stop = _characters(some, owner[own] - start, first[own], end[own])
        begin = np.maximum(begin - CONTEXT_CHARACTERS, 0)
        stop = np.minimum(stop + CONTEXT_CHARACTERS, begin + SHOWN_CHARACTERS)
        frame = pl.DataFrame({"text": some[owner[own] - start], "begin": begin, "stop": stop})
        before = pl.when(pl.col("begin") > 0).then(pl.lit("…")).otherwise(pl.lit(""))
        behind = pl.when(pl.col("stop") < pl.col("text").str.len_chars()).then(pl.lit("…")).otherwise(pl.lit(""))
        passage = pl.col("text").str.slice("begin", pl.col("stop") - pl.col("begin")).str.replace_all(r"\s+", " ")
        shown.append(frame.select(passage=before + passage + behind)["passage"])
        start += len(some)
    return pl.concat(shown)


def _characters(texts: pl.Series, owner: Counts, first: Counts, end: Counts) -> tuple[Counts, Counts]:
    """Where the first of some tokens begins in its text, and where the last of them ends, in characters."""
    pieces = texts.str.extract_all(_PIECE)
    counts = pieces.list.len().cast(pl.Int64).to_numpy()
    piece = pieces.explode(empty_as_null=False)
    _, tokens, _ = tokenise(normalise(piece))
    upto = np.cumsum(tokens)
    ends = np.cumsum(piece.str.len_chars().cast(pl.Int64).to_numpy())
    bare = piece.str.strip_chars_end().str.len_chars().cast(pl.Int64).to_numpy()
    starts = ends - piece.str.len_chars().cast(pl.Int64).to_numpy()
    begins = np.cumsum(counts) - counts
    before = np.concatenate([[0], upto])[begins][owner]
    last = len(piece) - 1
    one = np.minimum(np.searchsorted(upto, before + first, side="right"), last)
    other = np.minimum(np.searchsorted(upto, before + end - 1, side="right"), last)
    base = starts[begins[owner]]
    return starts[one] - base, starts[other] + bare[other] - base


def _answers(pairs: _Pairs, texts: _Texts, index: Index) -> pl.Series:
    """Whether the answer stands near the question, more often than the question itself says it; null without one."""
    used, owner = np.unique(pairs.question, return_inverse=True)
    answers, asked = (_token_lists(index.questions[name][used]) for name in ("answer", "text"))
    first, end = _windows(pairs, texts, index, ANSWER_REACH)
    found: list[bool | None] = []
    for question, begin, stop in zip(owner, first, end, strict=True):
        answer = answers[question]
        near = texts.tokens[begin:stop]
        found.append(_stands(answer, near, asked[question]) if answer.size else None)
    return pl.Series(found, dtype=pl.Boolean)


def _token_lists(texts: pl.Series) -> list[Hashes]:
    tokens, counts, _ = tokens_of(texts)
    return np.split(tokens, np.cumsum(counts)[:-1])


def _stands(answer: Hashes, near: Hashes, question: Hashes) -> bool:
    if answer.size >= LONG_ANSWER:
        one, other = np.zeros(answer.size, dtype=np.int64), np.zeros(near.size, dtype=np.int64)
        found = _found((np.arange(answer.size), one), (np.arange(near.size), other), answer, near)
        return bool(found.mean() >= THRESHOLD)
    whole = gram_hashes(answer, answer.size)[0]
    times, expected = (np.count_nonzero(gram_hashes(text, answer.size) == whole) for text in (near, question))
    return bool(times > expected)
