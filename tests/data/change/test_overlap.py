import polars as pl

from modelyard.data.change.overlap import overlap


def side(*rows: tuple[int, str | None, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"key": pl.UInt64, "label": pl.String, "source": pl.String}, orient="row")


def test_kept_removed_added_relabelled() -> None:
    old = side((1, "good", "a:1"), (2, "bad", "a:2"), (2, "bad", "a:3"), (3, "bad", "a:4"), (4, None, "a:5"))
    new = side((5, "bad", "b:1"), (2, "good", "b:2"), (1, "good", "b:3"), (4, "bad", "b:4"))
    found = overlap(old, new)
    assert (found.old, found.new, found.kept, found.exact) == (4, 4, 3, True)
    assert (found.labelled, found.relabelled) == (2, 1)  # the text without a label cannot be relabelled
    assert (found.first_removed, found.first_added) == (["a:4"], ["b:1"])
    assert found.first_relabelled == ["b:2 (bad → good)"]


def test_labels_of_a_text_are_compared_together() -> None:
    old = side((1, "x", "a:1"), (1, "y", "a:2"))
    assert overlap(old, side((1, "y", "b:1"), (1, "x", "b:2"))).relabelled == 0
    assert overlap(old, side((1, "y", "b:1"))).first_relabelled == ["b:1 (x | y → y)"]


def test_a_sample_is_the_same_on_both_sides() -> None:
    old = side(*((key, "x", f"a:{key}") for key in range(0, 1000)))
    new = side(*((key, "x", f"b:{key}") for key in range(500, 2500)))
    found = overlap(old, new, most=600)
    # the 600th smallest key of NEW is 1099, that of OLD 599: both sides up to 599
    assert (found.old, found.new, found.kept, found.exact) == (600, 100, 100, False)


def test_a_side_without_texts() -> None:
    found = overlap(side(), side((1, "x", "b:1")))
    assert (found.old, found.new, found.kept, found.first_added) == (0, 1, 0, ["b:1"])
