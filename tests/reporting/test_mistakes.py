import math

import numpy as np
import polars as pl
import pytest

from modelyard.compression.reference import Reference
from modelyard.reporting.mistakes import MOST, MOST_LABELS, MOST_PAIRS, find_mistakes


def reference(logits: list[list[float]], truth: list[int]) -> Reference:
    return Reference([str(row) for row in range(len(truth))], np.array(logits, dtype=np.float32), np.array(truth))


def frame(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [str(row) for row in range(rows)],
            "source": [f"rows.csv:{row}" for row in range(rows)],
            "text": [f"text {row}" for row in range(rows)],
        }
    )


def test_the_surest_wrong_answers_come_first() -> None:
    logits = [[2.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]]
    found = find_mistakes(reference(logits, [0, 0, 1, 0]), frame(4), ["bad", "good"])
    assert (found.rows, found.wrong) == (4, 3)
    assert [(one.source, one.true, one.given) for one in found.worst] == [
        ("rows.csv:2", "good", "bad"),
        ("rows.csv:1", "bad", "good"),
        ("rows.csv:3", "bad", "good"),
    ]
    assert found.worst[0].probability == pytest.approx(math.exp(3) / (math.exp(3) + 1))  # softmax of 3 and 0
    assert found.table == [[1, 2], [1, 0]]
    assert [(pair.true, pair.given, pair.rows, pair.total) for pair in found.pairs] == [
        ("bad", "good", 2, 3),
        ("good", "bad", 1, 1),
    ]


def test_equal_ones_keep_the_order_of_the_rows_and_many_are_cut() -> None:
    rows = MOST + 5
    found = find_mistakes(reference([[0.0, 1.0]] * rows, [0] * rows), frame(rows), ["a", "b"])
    assert [one.source for one in found.worst] == [f"rows.csv:{row}" for row in range(MOST)]


def test_an_answer_that_is_no_number_is_wrong_and_counted_apart() -> None:
    logits = [[math.nan, 0.0], [math.inf, 0.0], [0.0, 1.0]]
    found = find_mistakes(reference(logits, [0, 0, 1]), frame(3), ["a", "b"])
    assert (found.wrong, found.not_numbers, found.worst) == (2, 2, [])
    assert found.table == [[0, 0], [0, 1]]


def test_many_labels_are_listed_in_pairs() -> None:
    labels = [f"label {number}" for number in range(MOST_LABELS + 20)]
    logits = np.roll(np.eye(len(labels)), 1, axis=1).tolist()
    found = find_mistakes(reference(logits, list(range(len(labels)))), frame(len(labels)), labels)
    assert found.table == [] and found.labels == []
    assert (len(found.pairs), found.other_pairs) == (MOST_PAIRS, 12)


def test_a_model_without_mistakes() -> None:
    found = find_mistakes(reference([[1.0, 0.0]], [0]), frame(1), ["a", "b"])
    assert (found.wrong, found.worst, found.pairs) == (0, [], [])


def test_answers_about_other_rows_are_refused() -> None:
    for rows, labels in ((frame(2), ["a", "b"]), (frame(1), ["a", "b", "c"])):
        with pytest.raises(ValueError, match="not about these rows"):
            find_mistakes(reference([[1.0, 0.0]], [0]), rows, labels)


def test_only_the_first_characters_of_a_long_text_are_kept() -> None:
    long = frame(1).with_columns(text=pl.lit("x" * 1_000_000))
    found = find_mistakes(reference([[0.0, 1.0]], [0]), long, ["a", "b"])
    assert len(found.worst[0].text) == 2_000
