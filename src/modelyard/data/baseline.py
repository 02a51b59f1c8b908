"""`baseline.json`: the profile of the train split that drift is later measured against."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modelyard.data.rules import MAXIMUM_CHARACTERS, characters, cjk_share

LENGTH_EDGES = (0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120)
"""Lower edges of the length histogram in characters; each bin is twice as wide as the one before."""


class Baseline(BaseModel):
    """What the train rows look like.

    Attributes:
        schema_version: `schema` in JSON.
        rows: number of train rows.
        labels: label -> share.
        length_edges: lower edges of the bins, in characters; the last bin is open.
        length_shares: share of the rows in each bin.
        cjk_share: share of the rows most of whose letters are Chinese, Japanese or Korean.
        slices: slice column -> value -> share.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    rows: int
    labels: dict[str, float]
    length_edges: list[int]
    length_shares: list[float]
    cjk_share: float
    slices: dict[str, dict[str, float]]


def profile(train: pl.DataFrame, slices: Sequence[str]) -> Baseline:
    """Profile the train split, columns `text`, `label` and the slices."""
    lengths = train.select(characters(pl.col("text"))).to_series()
    counts = np.histogram(lengths.to_numpy(), bins=[*LENGTH_EDGES, MAXIMUM_CHARACTERS + 1])[0]
    mostly_cjk = train.select((cjk_share(pl.col("text")) > 0.5).fill_null(value=False).sum()).item()
    return Baseline(
        rows=train.height,
        labels=_shares(train["label"]),
        length_edges=list(LENGTH_EDGES),
        length_shares=[int(count) / train.height for count in counts],
        cjk_share=mostly_cjk / train.height,
        slices={column: _shares(train[column]) for column in slices},
    )


def _shares(values: pl.Series) -> dict[str, float]:
    counts = values.fill_null("").value_counts()
    return {str(value): count / values.len() for value, count in sorted(counts.iter_rows())}
