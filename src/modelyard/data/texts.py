"""The texts of given rows, read back from the mapped files: by whoever compares the few that met."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from modelyard.data.mapping import wide_name
from modelyard.data.reading.shapes import Shape

ReadTexts = Callable[[Sequence[int]], pl.DataFrame]


def text_reader(scratch: Path, counts: Sequence[int], shape: Shape) -> ReadTexts:
    """A function from row numbers to a frame of `row` and `text`, in the order asked.

    Args:
        scratch: where the mapped files lie.
        counts: rows of each bundle, in order.
        shape: which column holds the row's text.
    """
    firsts = np.concatenate([[0], np.cumsum(counts)])
    column = wide_name(shape.text_column)

    def read(rows: Sequence[int]) -> pl.DataFrame:
        wanted = np.asarray(rows, dtype=np.int64)
        pieces = np.searchsorted(firsts, wanted - 1, side="right") - 1
        texts = np.empty(wanted.size, dtype=object)
        for piece in np.unique(pieces).tolist():
            own = pieces == piece
            held = pl.read_parquet(scratch / f"wide-{piece:07d}.parquet", columns=[column])[column]
            texts[own] = held.gather(wanted[own] - 1 - firsts[piece]).to_numpy()
        return pl.DataFrame({"row": wanted, "text": pl.Series(texts.tolist(), dtype=pl.String)})

    return read
