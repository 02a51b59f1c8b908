"""Rules of the user's own: SQL expressions over the columns of a row that say which rows to keep.

    data:
      user_rules:
        short_enough: {keep: "LENGTH(text) < 2000"}
        rated: {keep: "CAST(stars AS INT) BETWEEN 1 AND 5", budget: 0.01, severity: error}

What an expression may say stands in `expressions.py`. A cast is a TRY_CAST: what cannot be read as a number is null,
and a row for which the expression is null is not kept.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from modelyard.data.expressions import Refused, compile_expression
from modelyard.data.problems import raise_found
from modelyard.errors import InputError, Problem

MAX_RULES = 100
_SHOWN_VALUE = 40

_NAME = re.compile(r"[^\W_]\w{0,63}")


@dataclass(frozen=True)
class UserRule:
    """A rule as the user wrote it.

    Attributes:
        name: letters, digits and underscores, up to 64.
        keep: the SQL expression that is true for the rows to keep.
        budget: the share of rows that may not be kept before the rule fails. Fraction.
        severity: `error` sets the exit status, `warning` is shown.
    """

    name: str
    keep: str
    budget: float = 0.0
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True, eq=False)
class Compiled:
    """A rule as Polars evaluates it.

    Attributes:
        rule: as the user wrote it.
        expression: over columns of texts.
    """

    rule: UserRule
    expression: pl.Expr

    @property
    def columns(self) -> list[str]:
        """The columns that it reads, in the order of their names."""
        return sorted(set(self.expression.meta.root_names()))


def compile_rules(rules: Sequence[UserRule], columns: Iterable[str], *, built_in: Iterable[str] = ()) -> list[Compiled]:
    """The rules as Polars expressions.

    Args:
        rules: as in `modelyard.yaml`.
        columns: of the files; all of them hold texts.
        built_in: names that are taken.

    Raises:
        InputError: every rule that has a bad name, cannot be read, names an unknown column, uses what a rule may not,
            or does not give true or false.
    """
    known, taken = list(columns), set(built_in)
    if len(rules) > MAX_RULES:
        raise InputError(Problem(f"there are {len(rules)} rules, the most is {MAX_RULES}", "join some by AND"))
    compiled, problems = [], []
    for rule in rules:
        where = f"data.user_rules.{rule.name}"
        if not _NAME.fullmatch(rule.name) or rule.name in taken:
            why = (
                "is taken" if rule.name in taken else "must be a letter or digit, then up to 63 of them and underscores"
            )
            problems.append(Problem(f"the name {rule.name[:80]!r} {why}", "give the rule another name", where[:120]))
            continue
        taken.add(rule.name)
        try:
            compiled.append(Compiled(rule, compile_expression(rule.keep, known)))
        except Refused as error:
            problems.append(Problem(f"{_shown(rule.keep)}: {error}", error.next_step, where))
    raise_found(problems)
    return compiled


def first_broken(fields: pl.DataFrame, compiled: Sequence[Compiled]) -> pl.DataFrame:
    """The first rule that does not keep each row.

    A row is kept where the expression is true. Null (a column that is empty, a number that cannot be read) is not true.

    Args:
        fields: the columns that the rules read, all of them texts.
        compiled: the rules.

    Returns:
        `rule` and `evidence` (the rule and what stands in its columns), null where every rule keeps the row.
    """
    nothing = pl.lit(None, pl.String)
    breaks = [~one.expression.fill_null(value=False) for one in compiled]
    names = [pl.when(breaks[place]).then(pl.lit(one.rule.name)) for place, one in enumerate(compiled)]
    said = [pl.when(breaks[place]).then(_evidence(one)) for place, one in enumerate(compiled)]
    return fields.select(rule=pl.coalesce(*names, nothing), evidence=pl.coalesce(*said, nothing))


def _evidence(one: Compiled) -> pl.Expr:
    """The rule, and what the row has in its columns."""
    parts: list[pl.Expr] = [pl.lit(f"not true: {_shown(one.rule.keep)}")]
    for place, name in enumerate(one.columns):
        value = pl.col(name).str.replace_all(r"\s+", " ")
        cut = pl.when(value.str.len_chars() > _SHOWN_VALUE).then(value.str.head(_SHOWN_VALUE) + "…").otherwise(value)
        written = pl.when(value.is_null()).then(pl.lit("empty")).otherwise(pl.format("'{}'", cut))
        parts += [pl.lit(f"{', ' if place else '; '}{name} is "), written]
    return pl.concat_str(parts)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:77] + "..."
