"""The one pure function that every row goes through: a frame of rows in, a narrow frame of numbers and digests out.

It reads no file and keeps nothing, so that it may run in any process, on any machine, over any part of a corpus in any
order. What takes more than one row is found later, from what it gives (`meeting.py`).
"""

import hashlib
from functools import lru_cache

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from modelyard.artifacts.files import digest_bytes
from modelyard.data.baseline import SCRIPTS
from modelyard.data.characters import dominant_script, read_characters
from modelyard.data.contamination.index import Grams, find_hits
from modelyard.data.duplicates.minhash import band_keys
from modelyard.data.personal.find import PERSONAL_KINDS, find_personal
from modelyard.data.quality.filters import find_filtered
from modelyard.data.reading.shapes import Shape
from modelyard.data.rules import PERSONAL_RULES, SECRET_KINDS, judge_rows
from modelyard.data.user_rules import UserRule, compile_rules, first_broken

NEAR_RULES = {"duplicate_near", "leak_near"}
NARROW_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
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
    "bands": pl.List(pl.UInt64),
    "flags": pl.List(pl.Struct({"rule": pl.String, "kind": pl.String, "evidence": pl.String})),
    "hits": pl.List(pl.Struct({"gram": pl.UInt32, "position": pl.UInt32})),
}
"""What `features` gives for every row, beside the slice columns."""
_OF_ALL = tuple(NARROW_SCHEMA)[: tuple(NARROW_SCHEMA).index("id")]
_compiled = lru_cache(maxsize=1)(compile_rules)  # once in each process, not for each bundle
_KINDS = {kind.name: kind.what for kind in PERSONAL_KINDS}


class Plan(BaseModel):
    """What is asked of every row; picklable, free of local paths.

    Attributes:
        shape: what a row is made of.
        slices: slice column of the files -> its name in `prepared/`.
        group: column of the groups.
        rules: names of the rules to apply.
        minimum: least characters of a text; None depends on the script.
        skip_bad_rows: rows that cannot be read are kept as findings.
        filters: names of published filters to apply.
        user_rules: of the project, applied after all others that look at one row.
        user_columns: what these rules read; `user_0`, `user_1`, … in the rows.
        keep_fields: the fields are wanted once more: to be written, or to be compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: Shape
    slices: dict[str, str] = {}
    group: str | None = None
    rules: tuple[str, ...]
    minimum: int | None = None
    skip_bad_rows: bool = False
    filters: tuple[str, ...] = ()
    user_rules: tuple[UserRule, ...] = ()
    user_columns: tuple[str, ...] = ()
    keep_fields: bool = True

    @property
    def others(self) -> list[str]:
        """Columns of the files that are wanted beside those of the shape."""
        return [*self.slices, *([self.group] if self.group else []), *self.user_columns]


def features(rows: pl.DataFrame, plan: Plan, grams: Grams | None = None) -> pl.DataFrame:
    """Judge rows one by one and boil them down.

    Args:
        rows: `row` and what `shapes.row_frame` gives, `unreadable`, `group`, `slice_NAME` and `user_N` columns.
        plan: what is asked.
        grams: of benchmark questions, looked for where given.

    Returns:
        A row for each: the columns of `NARROW_SCHEMA` and the slice columns, in the same order. `rule` and `evidence`
        are of the first rule that drops the row, null where none does; what stands behind `script` is null where one
        does. `id` is the digest of the text; `key_high` and `key_low` are 128 bits of the digest of the normalised
        text; `bands` are the keys by which near copies meet; `flags` what rules found that drop nothing; `hits` the
        n-grams of benchmark questions and where they stand.
    """
    counts, normal = read_characters(rows["text"].fill_null(""))
    counted = rows.hstack([*counts.get_columns(), normal.alias("normal")]).with_columns(
        dominant_script(), size_bytes=pl.col("text").str.len_bytes().cast(pl.Int64)
    )
    judged = judge_rows(counted, plan.rules, plan.minimum, labelled=plan.shape.labelled, several=plan.shape.several)
    if plan.filters:
        judged = _filtered(judged, plan.filters)
    if plan.user_rules:
        judged = _judged_by_user(judged, plan)
    left = judged.filter(pl.col("rule").is_null())
    found = _digests(left)
    if NEAR_RULES & set(plan.rules):
        found = found.with_columns(band_keys(left["normal"]).cast(pl.List(pl.UInt64)))
    if set(PERSONAL_RULES) & set(plan.rules):
        found = found.join(_personal(left, plan), on="row", how="left", maintain_order="left")
    if grams is not None:
        found = found.join(_hits(left, grams), on="row", how="left", maintain_order="left")
    nothing = {
        name: pl.lit(None, kind) for name, kind in NARROW_SCHEMA.items() if name not in (*_OF_ALL, *found.columns)
    }
    slices = [name for name in rows.columns if name.startswith("slice_")]
    narrow = judged.select(*_OF_ALL, *slices)
    return narrow.join(found.with_columns(**nothing), on="row", how="left", maintain_order="left")


def _filtered(judged: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Rows with the first published filter that finds them, where no rule did."""
    left = judged.filter(pl.col("rule").is_null()).select("row", "text")
    return _filled(judged, find_filtered(left, names).unique("row", keep="first", maintain_order=True))


def _judged_by_user(judged: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Rows with the first of the project's own rules that does not keep them, where no other rule found them."""
    left = judged.filter(pl.col("rule").is_null())
    fields = left.select(pl.col(f"user_{place}").alias(name) for place, name in enumerate(plan.user_columns))
    found = first_broken(fields, _compiled(plan.user_rules, plan.user_columns))
    return _filled(judged, left.select("row").hstack(found).drop_nulls("rule"))


def _filled(judged: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """`judged` with `rule` and `evidence` of `found` where it has none; `row` tells them apart."""
    both = judged.join(found, on="row", how="left", suffix="_found", maintain_order="left")
    filled = [pl.coalesce(name, f"{name}_found").alias(name) for name in ("rule", "evidence")]
    return both.with_columns(filled).drop("rule_found", "evidence_found")


def _digests(rows: pl.DataFrame) -> pl.DataFrame:
    """Digests of the texts that stay: `row`, `id`, `key_high`, `key_low`; from `text` and `normal`."""
    keys, texts = (rows[name].cast(pl.Binary).to_list() for name in ("normal", "text"))  # bytes as they lie there
    digests = b"".join(hashlib.sha256(key).digest()[:16] for key in keys)
    halves = np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return pl.DataFrame(
        {
            "row": rows["row"],
            "id": pl.Series([digest_bytes(text) for text in texts], dtype=pl.String),
            "key_high": pl.Series(halves[:, 0], dtype=pl.UInt64),
            "key_low": pl.Series(halves[:, 1], dtype=pl.UInt64),
        }
    )


def _personal(rows: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """`row` and `flags`: each piece of personal data and each secret, masked."""
    found = find_personal(rows.select("row", "text")).with_columns(
        rule=pl.when(pl.col("kind").is_in(SECRET_KINDS)).then(pl.lit("secret")).otherwise(pl.lit("personal_data"))
    )
    said = pl.format(
        "{} ({}) at character {}",
        pl.col("kind").replace_strict(_KINDS, return_dtype=pl.String),
        "shown",
        pl.col("start") + 1,
    )
    flags = pl.struct("rule", "kind", said.alias("evidence")).alias("flags")
    chosen = found.filter(pl.col("rule").is_in(plan.rules))
    return chosen.select("row", flags).group_by("row", maintain_order=True).agg("flags")


def _hits(rows: pl.DataFrame, grams: Grams) -> pl.DataFrame:
    """`row` and `hits`."""
    found = find_hits(rows.select("row", key="normal"), grams)
    hits = pl.struct(pl.col("gram").cast(pl.UInt32), pl.col("position").cast(pl.UInt32)).alias("hits")
    return found.select("row", hits).group_by("row", maintain_order=True).agg("hits")
