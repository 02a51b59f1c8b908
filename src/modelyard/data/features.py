"""The one pure function that every row goes through: a frame of rows in, a narrow frame of numbers and digests out.

It reads no file and keeps nothing, so that it may run in any process, on any machine, over any part of a corpus in any
order. What takes more than one row is found later, from what it gives (`meeting.py`).
"""

import hashlib

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from modelyard.artifacts.files import digest_bytes
from modelyard.data.baseline import SCRIPTS
from modelyard.data.characters import dominant_script, read_characters
from modelyard.data.minhash import band_keys
from modelyard.data.rules import judge_rows
from modelyard.data.shapes import Shape

NARROW_SCHEMA = {
    "row": pl.Int64,
    "rule": pl.String,
    "evidence": pl.String,
    "label": pl.String,
    "group": pl.String,
    "characters": pl.Int64,
    "size_bytes": pl.Int64,
    "letters": pl.Int64,
    **{f"script_{name}": pl.Int64 for name in SCRIPTS},
    "script": pl.String,
    "id": pl.String,
    "key_high": pl.UInt64,
    "key_low": pl.UInt64,
}
"""What `features` gives for every row, beside the slice columns."""
NEAR_RULES = {"duplicate_near", "leak_near"}
_COUNTS = ("characters", "size_bytes", "letters", *(f"script_{name}" for name in SCRIPTS), "script")


class Plan(BaseModel):
    """What is asked of every row; picklable, free of local paths.

    Attributes:
        shape: what a row is made of.
        slices: slice column of the files -> its name in `prepared/`.
        group: column of the groups.
        rules: names of the rules to apply.
        minimum: least characters of a text; None depends on the script.
        skip_bad_rows: rows that cannot be read are kept as findings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: Shape
    slices: dict[str, str] = {}
    group: str | None = None
    rules: tuple[str, ...]
    minimum: int | None = None
    skip_bad_rows: bool = False


def features(rows: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Judge rows one by one and boil them down.

    Args:
        rows: `row` and what `shapes.row_frame` gives, `unreadable`, `group`, and `slice_NAME` columns.
        plan: what is asked.

    Returns:
        A row for each: the columns of `NARROW_SCHEMA` and the slice columns, in the same order; `bands` where near
        copies are looked for. `rule` and `evidence`
        are of the first rule that drops the row, null where none does; digests are null where one does.
        `id` is the digest of the text; `key_high` and `key_low` are 128 bits of the digest of the normalised text.
    """
    counts, normal = read_characters(rows["text"].fill_null(""))
    counted = rows.hstack([*counts.get_columns(), normal.alias("normal")]).with_columns(
        dominant_script(), size_bytes=pl.col("text").str.len_bytes().cast(pl.Int64)
    )
    judged = judge_rows(counted, plan.rules, plan.minimum, labelled=plan.shape.labelled)
    slices = [name for name in rows.columns if name.startswith("slice_")]
    narrow = judged.select(*list(NARROW_SCHEMA)[:5], *_COUNTS, *slices)
    left = judged.filter(pl.col("rule").is_null())
    found = _digests(left)
    if NEAR_RULES & set(plan.rules):
        found = found.with_columns(band_keys(left["normal"]).cast(pl.List(pl.UInt64)))
    return narrow.join(found, on="row", how="left", maintain_order="left")


def _digests(rows: pl.DataFrame) -> pl.DataFrame:
    """Digests of the texts that stay: `row`, `id`, `key_high`, `key_low`; from `text` and `normal`."""
    digests = b"".join(hashlib.blake2b(key.encode(), digest_size=16).digest() for key in rows["normal"].to_list())
    halves = np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return pl.DataFrame(
        {
            "row": rows["row"],
            "id": pl.Series([digest_bytes(text.encode()) for text in rows["text"].to_list()], dtype=pl.String),
            "key_high": pl.Series(halves[:, 0], dtype=pl.UInt64),
            "key_low": pl.Series(halves[:, 1], dtype=pl.UInt64),
        }
    )
