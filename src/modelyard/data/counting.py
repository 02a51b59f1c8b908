"""Counts of the rows that met, for verdicts, report and baseline: dropped, flagged, left; by rule, label, length."""

from collections.abc import Sequence

from modelyard.artifacts.prepared import NO_VALUE, SPLITS
from modelyard.data.baseline import SCRIPTS
from modelyard.data.mapping import slice_name
from modelyard.data.meeting import EACH_LABEL, Connection, named, quoted
from modelyard.data.split import SplitCount
from modelyard.data.verdicts import Dropped
from modelyard.errors import InputError, Problem

MAX_VALUES = 100_000
"""Of a label or a slice column: more are texts or numbers, not classes."""


def split_counts(connection: Connection, slices: Sequence[str], *, several: bool = False) -> dict[str, SplitCount]:
    """Rows, labels and slice values of each split; a row of several labels counts for each."""
    rows = connection.execute("SELECT split, count(*) FROM placed GROUP BY split").fetchall()
    labels = _values(connection, EACH_LABEL if several else "label", "label IS NOT NULL")
    by_slice = {name: _values(connection, f"coalesce({slice_name(name)}, {quoted(NO_VALUE)})") for name in slices}
    return {
        split: SplitCount(
            dict(rows).get(split, 0),
            labels.get(split, {}),
            {name: values.get(split, {}) for name, values in by_slice.items()},
        )
        for split in SPLITS
    }


def _values(connection: Connection, expression: str, where: str = "true") -> dict[str, dict[str, int]]:
    """Split -> value of an expression -> rows, in the order of the values.

    Raises:
        InputError: there are more values than a class or a slice has.
    """
    found = connection.execute(
        f"SELECT split, {expression} AS value, count(*) FROM placed JOIN rows USING (row) WHERE {where}"
        f" GROUP BY split, value ORDER BY split, value LIMIT {3 * MAX_VALUES + 1}"
    ).fetchall()
    if len(found) > 3 * MAX_VALUES:
        raise InputError(
            Problem(
                f"a column of labels or slices holds more than {MAX_VALUES} different values",
                "name a column of classes in data.fields.label and data.slices, not one of texts or numbers",
            )
        )
    values: dict[str, dict[str, int]] = {}
    for split, value, count in found:
        values.setdefault(split, {})[value] = count
    return values


def dropped_by_rule(connection: Connection) -> list[Dropped]:
    """What each rule dropped, in the order of its first row."""
    found = connection.execute("""
        WITH numbered AS (
            SELECT *, row_number() OVER (PARTITION BY rule ORDER BY row) AS number FROM dropped),
        total AS (SELECT rule, count(*) AS size, min(row) AS first FROM dropped GROUP BY rule)
        SELECT rule, size, source, numbered.evidence FROM numbered JOIN total USING (rule)
        JOIN (SELECT row, source FROM rows) USING (row) WHERE number <= 3 ORDER BY first, number""").fetchall()
    by_rule: dict[str, Dropped] = {}
    for rule, size, source, evidence in found:
        by_rule.setdefault(rule, Dropped(rule, size, [])).first.append((source, evidence))
    return list(by_rule.values())


def flagged_by_rule(connection: Connection) -> dict[str, dict[str, int]]:
    """Rule -> kind -> rows with at least one finding; the kind `` stands for any."""
    found = connection.execute("""
        SELECT rule, '' AS kind, count(DISTINCT row) FROM flagged GROUP BY rule
        UNION ALL SELECT rule, kind, count(DISTINCT row) FROM flagged WHERE kind IS NOT NULL GROUP BY rule, kind
        ORDER BY rule, kind""").fetchall()
    by_rule: dict[str, dict[str, int]] = {}
    for rule, kind, count in found:
        by_rule.setdefault(rule, {})[kind] = count
    return by_rule


def length_percentiles(connection: Connection) -> dict[str, int]:
    """The 50th, 95th and 99th percentile and the maximum of the characters of the rows left; empty without a row."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    found = connection.execute(
        f"SELECT quantile_disc(characters, {list(shares.values())}) FROM placed JOIN rows USING (row)"
    ).fetchone()
    return dict(zip(shares, found[0], strict=True)) if found and found[0] is not None else {}


def train_lengths(connection: Connection) -> dict[int, int]:
    """Length in characters -> rows of train."""
    query = "SELECT characters, count(*) FROM placed JOIN rows USING (row) WHERE split = 'train' GROUP BY characters"
    return dict(connection.execute(query).fetchall())


def train_scripts(connection: Connection) -> dict[str, int]:
    """Script of most letters -> rows of train."""
    query = "SELECT script, count(*) FROM placed JOIN rows USING (row) WHERE split = 'train' GROUP BY script"
    return dict(connection.execute(query).fetchall())


def letter_counts(connection: Connection) -> list[int]:
    """Letters of train, then those of each script in the order of `SCRIPTS`."""
    columns = ["letters", *(f"script_{name}" for name in SCRIPTS)]
    sums = ", ".join(f"sum({named(column)})" for column in columns)
    query = f"SELECT {sums} FROM placed JOIN rows USING (row) WHERE split = 'train'"
    found = connection.execute(query).fetchone()
    return [int(value or 0) for value in found or ()]
