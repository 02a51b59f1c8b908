"""Verdicts in the order a person needs them: what stands in the way first, then what passed, rule by rule."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelyard.evidence.interval import Interval, Limit
from modelyard.evidence.judge import Verdict
from modelyard.reporting.numbers import brief, cut, limit_text, reason, shown
from modelyard.reporting.svg import interval_bar, span_of
from modelyard.reporting.words import has, sentence, words

MARKS = {"PASS": "✔", "FAIL": "✘", "INCONCLUSIVE": "?"}
ORDER = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
FOLDED = 5  # more passes of one rule than this are folded into one line, with the nearest to its limit
MAX_ROWS = 40  # of one rule that passed
MAX_STANDING = 60  # of one stage that did not pass
MAX_GROUPS = 40  # of one stage
MAX_NAME = 80  # characters of a label, a slice's value, a subject
MAX_REASON = 600

Key = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """One verdict as it is shown.

    Attributes:
        verdict: the verdict.
        mark: ✔, ✘ or ?.
        title: what the rule is about, in both languages; empty for a rule that the words do not know.
        scope: the rows it is about.
        subject: what was judged, in both languages.
        drawing: the interval against its limit with an axis; empty without an interval.
        plain: the same without an axis, for a group that shows one for all.
        reason: the sentence in both languages.
        brief: its numbers alone.
        next_step: what to do, in both languages.
    """

    verdict: Verdict
    mark: str
    title: Markup
    scope: Markup
    subject: Markup
    drawing: Markup
    plain: Markup
    reason: Markup
    brief: Markup
    next_step: Markup


@dataclass(frozen=True)
class Group:
    """Verdicts of one rule and one subject that passed, the nearest to its limit first.

    Attributes:
        rows: at most `MAX_ROWS` of them.
        total: how many there are.
        folded: whether they are shown only when opened.
        limit: the limit that all share, in both languages; empty where it differs or there is none.
    """

    rows: list[Row]
    total: int
    folded: bool
    limit: Markup


@dataclass(frozen=True)
class Arranged:
    """The verdicts of a stage.

    Attributes:
        counts: PASS, FAIL, INCONCLUSIVE -> how many.
        standing: what did not pass, FAIL before INCONCLUSIVE, what blocks a release before what does not.
        standing_total: how many there are.
        singles: rules with one verdict that passed.
        groups: rules with several.
        hidden: groups that are left out, by their number.
    """

    counts: dict[str, int]
    standing: list[Row]
    standing_total: int
    singles: list[Row]
    groups: list[Group]
    hidden: int


def arrange(verdicts: Sequence[Verdict]) -> Arranged:
    """Sort and group the verdicts of one stage."""
    spans = _spans(verdicts)
    standing = sorted((verdict for verdict in verdicts if verdict.outcome != "PASS"), key=_weight)
    passed: dict[Key, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.outcome == "PASS":
            passed.setdefault(_key(verdict), []).append(verdict)
    singles = [group[0] for group in passed.values() if len(group) == 1]
    several = [group for group in passed.values() if len(group) > 1]
    return Arranged(
        counts=dict(Counter(verdict.outcome for verdict in verdicts)),
        standing=[_row(verdict, spans) for verdict in standing[:MAX_STANDING]],
        standing_total=len(standing),
        singles=[_row(verdict, spans) for verdict in singles[:MAX_STANDING]],
        groups=[_group(group, spans) for group in several[:MAX_GROUPS]],
        hidden=max(0, len(several) - MAX_GROUPS) + max(0, len(singles) - MAX_STANDING),
    )


def _key(verdict: Verdict) -> Key:
    return verdict.rule, verdict.subject


def _spans(verdicts: Sequence[Verdict]) -> dict[Key, tuple[float, float]]:
    """One scale for all verdicts of a rule and subject, whatever their outcome."""
    values: dict[Key, list[float]] = {}
    for verdict in verdicts:
        if verdict.interval is not None and verdict.limit is not None:
            ends = [verdict.interval.low, verdict.interval.high, verdict.limit.value]
            values.setdefault(_key(verdict), []).extend(ends)
    return {key: span_of(found) for key, found in values.items()}


def _group(verdicts: list[Verdict], spans: dict[Key, tuple[float, float]]) -> Group:
    ordered = sorted(verdicts, key=room)
    limits = {verdict.limit for verdict in verdicts}
    first = ordered[0]
    shared = len(limits) == 1 and first.limit is not None and first.interval is not None
    return Group(
        rows=[_row(verdict, spans) for verdict in ordered[:MAX_ROWS]],
        total=len(ordered),
        folded=len(ordered) > FOLDED,
        limit=limit_text(first.limit, first.interval) if shared and first.limit and first.interval else Markup(),
    )


def room(verdict: Verdict) -> float:
    """How far an interval stays from its limit, in the limit's unit; infinite where there is none."""
    if verdict.interval is None or verdict.limit is None:
        return float("inf")
    return min(abs(end - verdict.limit.value) for end in (verdict.interval.low, verdict.interval.high))


def _weight(verdict: Verdict) -> tuple[bool, int, str, str]:
    return not verdict.blocks, ORDER[verdict.outcome], verdict.rule, verdict.scope


def _row(verdict: Verdict, spans: dict[Key, tuple[float, float]]) -> Row:
    drawn, plain = Markup(), Markup()
    if verdict.interval is not None and verdict.limit is not None:
        span = spans[_key(verdict)]
        drawn = _drawing(verdict.interval, verdict.limit, verdict.outcome, span)
        plain = interval_bar(verdict.interval, verdict.limit, verdict.outcome, span)
    short = verdict.model_copy(
        update={"reason": cut(verdict.reason, MAX_REASON), "next_step": cut(verdict.next_step, MAX_REASON)}
    )
    key = f"rule.{verdict.rule}"
    return Row(
        verdict=short,
        mark=MARKS[verdict.outcome],
        title=words(key) if has(key) else Markup(),
        scope=scope_text(verdict.scope),
        subject=subject_text(verdict.subject),
        drawing=drawn,
        plain=plain,
        reason=reason(short),
        brief=brief(short),
        next_step=sentence(short.next_step) if short.next_step else Markup(),
    )


def _drawing(interval: Interval, limit: Limit, outcome: str, span: tuple[float, float]) -> Markup:
    numbers = shown(interval, limit)
    return interval_bar(interval, limit, outcome, span, axis=(numbers.scale, "%" if numbers.unit == "%" else ""))


def scope_text(scope: str) -> Markup:
    """`overall`, `slice:site=film`, `class:good`, `split:test`, `column:price` in both languages; others stay."""
    if scope == "overall":
        return words("scope.overall")
    kind, _, name = scope.partition(":")
    if kind == "column" and has(f"feature.{name}"):
        return words(f"feature.{name}")
    if kind == "split" and has(f"split.{name}"):
        return words(f"scope.split.{name}")
    if kind in ("slice", "class", "split", "column") and name:
        return words(f"scope.{kind}", name=Markup("<bdi>{}</bdi>").format(cut(name.replace("=", " = ", 1), MAX_NAME)))
    return Markup("<bdi>{}</bdi>").format(cut(scope, MAX_NAME))


def subject_text(subject: str) -> Markup:
    """What was judged: `NAME on SPLIT` in both languages, anything else as it is."""
    name, _, split = subject.rpartition(" on ")
    shown = Markup("<bdi>{}</bdi>")
    if name and has(f"split.{split}"):
        return words(f"subject.{split}", name=shown.format(cut(name, MAX_NAME)))
    if has(f"split.{subject}"):
        return words(f"split.{subject}")
    return shown.format(cut(subject, MAX_NAME)) if subject else Markup()
