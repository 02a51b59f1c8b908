"""Tokens by hand, hashes that depend on nothing but the characters, runs of sizes."""

import random

import numpy as np
import polars as pl
import pytest

from modelyard.data.tokenising import cut, token_hashes


def hashes(*texts: str, also_alone: str = "") -> tuple[list[list[int]], list[list[bool]]]:
    lengths = np.array([len(text) + 1 for text in texts])
    codes = np.array([ord(sign) for text in texts for sign in f"{text}\n"], dtype=np.uint32)
    found, counts, alone = token_hashes(codes, lengths, also_alone)
    ends = np.cumsum(counts)[:-1]
    return [part.tolist() for part in np.split(found, ends)], [part.tolist() for part in np.split(alone, ends)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" ,.! 。，", []),
        ("one two", ["one", "two"]),
        ("don't e-mail", ["don", "t", "e", "mail"]),
        ("naïve café42", ["naïve", "café42"]),
        ("我爱Python3吗", ["我", "爱", "Python3", "吗"]),
        ("ひらカナ", ["ひ", "ら", "カ", "ナ"]),
        ("สวัส", ["ส", "ว", "ั", "ส"]),
        ("한국어 말", ["한국어", "말"]),
        ("𠀀𠀁x", ["𠀀", "𠀁", "x"]),
        ("good😀bad", ["good", "bad"]),
    ],
)
def test_tokens_by_hand(text: str, tokens: list[str]) -> None:
    """A token has the hash that it has alone, wherever it stands."""
    assert hashes(text)[0] == [[hashes(token)[0][0][0] for token in tokens]]


def test_what_stands_alone_is_marked_and_a_caller_may_add_to_it() -> None:
    assert hashes("a 是 b")[1] == [[False, True, False]]
    assert hashes("a=b")[1] == [[False, False]]
    assert hashes("a=b", also_alone="=")[1] == [[False, True, False]]


def test_the_same_token_has_the_same_hash_in_any_text_and_place() -> None:
    words = ["alpha", "βήτα", "三", "gamma7"]
    (first, second), _ = hashes(" ".join(words), "…".join(reversed(words)))
    assert first == second[::-1]
    assert len(set(first)) == len(words)


def test_no_two_of_many_tokens_share_a_hash() -> None:
    words = sorted({"".join(random.Random(seed).choices("abcdefgh", k=1 + seed % 7)) for seed in range(20_000)})
    found = hashes(" ".join(words))[0][0]
    assert len(set(found)) == len(words) > 5_000
    # each bit is set in about half of them: 5 standard deviations
    bits = pl.Series(found, dtype=pl.UInt64).to_numpy()
    shares = [float(((bits >> np.uint64(bit)) & np.uint64(1)).mean()) for bit in range(64)]
    assert max(abs(share - 0.5) for share in shares) < 2.5 / np.sqrt(len(words))


@pytest.mark.parametrize(
    ("sizes", "most", "runs"),
    [
        ([], 5, []),
        ([1, 2, 3], 6, [(0, 3)]),
        ([1, 2, 3], 5, [(0, 2), (2, 3)]),
        ([9, 1, 9], 5, [(0, 1), (1, 2), (2, 3)]),
        ([0, 0, 5, 0], 5, [(0, 4)]),
    ],
)
def test_runs_of_sizes(sizes: list[int], most: int, runs: list[tuple[int, int]]) -> None:
    assert [(run.start, run.stop) for run in cut(np.array(sizes, dtype=np.int64), most)] == runs
