"""Which rows of one data set are in the other: kept, removed, added, relabelled."""

from dataclasses import dataclass

import polars as pl

MOST_TEXTS = 2_000_000
"""Distinct texts of a side that are looked up. Of more, those with the smallest keys, the same on both sides, so that
what both have is found: a bottom-k sample (Cohen and Kaplan 2007, Summarizing data using bottom-k sketches, PODC)."""
NAMED = 3


@dataclass(frozen=True)
class Overlap:
    """Distinct texts, after normalisation.

    Attributes:
        old: of OLD.
        new: of NEW.
        kept: on both sides.
        labelled: of those on both sides, the ones with a label on both.
        relabelled: of these, the ones whose label differs.
        exact: whether these are all texts, not a sample of them.
        first_removed: `file:line` of the first texts of OLD that NEW lacks.
        first_added: the same of NEW that OLD lacks.
        first_relabelled: the same of NEW, with both labels.
    """

    old: int
    new: int
    kept: int
    labelled: int
    relabelled: int
    exact: bool
    first_removed: list[str]
    first_added: list[str]
    first_relabelled: list[str]


def overlap(old: pl.DataFrame, new: pl.DataFrame, most: int = MOST_TEXTS) -> Overlap:
    """Look the texts of each side up in the other.

    Args:
        old: a row for each row of OLD: `key`, a hash of the normalised text, `label` (null where there is none) and
            `source`.
        new: the same of NEW.
        most: distinct texts of a side that are looked up.
    """
    sides = [_texts(side) for side in (old, new)]
    exact = all(side.height <= most for side in sides)
    if not exact:
        last = min(side["key"].bottom_k(most).max() for side in sides if side.height > most)  # type: ignore[type-var]
        sides = [side.filter(pl.col("key") <= last) for side in sides]
    left, right = sides
    both = left.join(right, on="key", suffix="_new", maintain_order="right")
    labelled = both.filter(pl.col("labels").is_not_null() & pl.col("labels_new").is_not_null())
    changed = labelled.filter(pl.col("labels") != pl.col("labels_new"))
    removed = left.join(right, on="key", how="anti", maintain_order="left")
    added = right.join(left, on="key", how="anti", maintain_order="left")
    return Overlap(
        old=left.height,
        new=right.height,
        kept=both.height,
        labelled=labelled.height,
        relabelled=changed.height,
        exact=exact,
        first_removed=removed["source"].head(NAMED).to_list(),
        first_added=added["source"].head(NAMED).to_list(),
        first_relabelled=changed.head(NAMED)
        .select(pl.format("{} ({} → {})", "source_new", "labels", "labels_new"))
        .to_series()
        .to_list(),
    )


def _texts(side: pl.DataFrame) -> pl.DataFrame:
    """One row for each distinct text, in the order of the first: `key`, `source`, `labels`, all it stands with."""
    labels = pl.col("label").drop_nulls().unique().sort().str.slice(0, 60)
    return (
        side.group_by("key", maintain_order=True)
        .agg(pl.col("source").first(), labels=labels)
        .with_columns(pl.col("labels").list.join(" | ").replace("", None))
    )
