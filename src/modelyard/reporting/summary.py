"""What the head of the page says: what came of it all, and the few figures that everybody asks for."""

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from modelyard.artifacts.candidate import Card
from modelyard.artifacts.model import RELEASED
from modelyard.data.change.compare import STAGE as COMPARE
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict, exit_status
from modelyard.evidence.report import Report
from modelyard.reporting.collect import Collected
from modelyard.reporting.curves import OF_TOKENS
from modelyard.reporting.numbers import both_amounts, limit_text, shown, size
from modelyard.reporting.words import words

State = Literal[
    "released",
    "passed",
    "refused",
    "inconclusive",
    "open",
    "trained",
    "worse",
    "doubted",
    "same",
    "changed",
    "unsettled",
]
MARKS: dict[State, str] = {
    "released": "✔",
    "passed": "✔",
    "refused": "✘",
    "inconclusive": "?",
    "open": "…",
    "trained": "✔",
    "worse": "✘",
    "doubted": "?",
    "same": "✔",
    "changed": "✘",
    "unsettled": "?",
}
OUTCOMES: dict[State, str] = {
    "same": "PASS",
    "changed": "FAIL",
    "unsettled": "INCONCLUSIVE",
    "released": "PASS",
    "passed": "PASS",
    "refused": "FAIL",
    "inconclusive": "INCONCLUSIVE",
    "open": "OPEN",
    "trained": "PASS",
    "worse": "FAIL",
    "doubted": "INCONCLUSIVE",
}
COMPARED: dict[int, State] = {0: "same", 1: "changed", 3: "unsettled"}


@dataclass(frozen=True)
class Figure:
    """One figure of the head: its name, its value, and a line below it, all in both languages."""

    name: Markup
    value: Markup
    below: Markup


@dataclass(frozen=True)
class Summary:
    """The head of the page.

    Attributes:
        project: its name.
        state: what came of it: released; passed, and no release stands on these reports; refused; inconclusive; open,
            where nothing was judged for release yet. Of a model that is not released: trained; worse, where a warning
            about it failed; doubted, where one cannot tell. Of a comparison alone: same, changed, unsettled.
        mark: of the state.
        outcome: of the state, the class that colours it.
        last: stage of the last report.
        next: command that goes on from there.
        chosen: name of the chosen candidate; empty where none was chosen yet.
        digest: of the release's manifest; None where there is none.
        current: whether the release names exactly these reports.
        blocking: verdicts that stand in the way.
        figures: accuracy or perplexity, what was gained or lost, speed, size, as far as they are known.
    """

    project: str
    state: State
    mark: str
    outcome: str
    last: str
    next: str
    chosen: str
    digest: str | None
    current: bool
    blocking: int
    figures: list[Figure]


def summarise(collected: Collected) -> Summary:
    """The head of the page from all reports together, as `modelyard run` takes its exit status from them.

    A comparison says nothing about a release: it counts only where no other report is there.
    """
    chain = [report for report in collected.reports if report.stage != COMPARE]
    last = (chain or collected.reports)[-1]
    released = collected.report("release")
    verdicts = unwaived(chain or collected.reports)
    status = exit_status(verdicts)
    current = stands_on(collected)
    releases = may_be_released(collected)
    if not chain:
        state = COMPARED[status]
    elif status == 0 and not releases:
        state = _trained(collected.report("train"))
    else:
        state = _state(status, judged=released is not None, current=current)
    ladder = collected.ladder
    chosen = ladder.choice.chosen if ladder else ""
    if not chosen and collected.release is not None:
        chosen = collected.release.manifest.candidate
    return Summary(
        project=(released or last).project,
        state=state,
        mark=MARKS[state],
        outcome=OUTCOMES[state],
        last=last.stage,
        next="release" if releases else "train",
        chosen=chosen,
        digest=collected.release.digest if collected.release else None,
        current=current,
        blocking=sum(verdict.blocks for verdict in verdicts),
        figures=_figures(collected, chosen),
    )


def may_be_released(collected: Collected) -> bool:
    """Whether stages come after `train`, which judge the model for release."""
    return collected.task in ("", *RELEASED)


def _trained(report: Report | None) -> State:
    """What came of a training that nothing follows: its verdicts are warnings, and the last word."""
    if report is None:
        return "open"
    outcomes = {verdict.outcome for verdict in report.verdicts}
    return "worse" if "FAIL" in outcomes else "doubted" if "INCONCLUSIVE" in outcomes else "trained"


def _state(status: int, *, judged: bool, current: bool) -> State:
    if status == 1:
        return "refused"
    if status == 3:
        return "inconclusive"
    if not judged:
        return "open"
    return "released" if current else "passed"


def unwaived(reports: list[Report]) -> list[Verdict]:
    """All verdicts but those that `release` carried on under a waiver, which stand without one where they came from."""
    waived = {
        (verdict.rule, verdict.scope)
        for report in reports
        if report.stage == "release"
        for verdict in report.verdicts
        if verdict.waiver
    }
    return [
        verdict
        for report in reports
        for verdict in report.verdicts
        if verdict.outcome != "INCONCLUSIVE" or (verdict.rule, verdict.scope) not in waived
    ]


def stands_on(collected: Collected) -> bool:
    """Whether the release names the reports that lie here, byte for byte."""
    if collected.release is None:
        return False
    named = collected.release.manifest.lineage.reports
    return bool(named) and all(collected.report_digests.get(stage) == digest for stage, digest in named.items())


def _figures(collected: Collected, chosen: str) -> list[Figure]:
    card = collected.ladder.cards.get(chosen) if collected.ladder else None
    found = [_judged(collected, chosen), _gained(collected), *_written(collected)]
    found += [_lost(collected, card), _speed(card), _size(collected, card)]
    return [figure for figure in found if figure is not None]


def _judged(collected: Collected, chosen: str) -> Figure | None:
    """The last judged: the released artefact's accuracy on test, else the trained model's, its F1 or its perplexity."""
    wanted = [
        ("release", "accuracy", "overall", chosen, "release"),
        ("compress", "accuracy", "split:test", "trained", "test"),
        ("train", "accuracy", "overall", "validation", "validation"),
        ("train", "macro_f1", "overall", "validation", "validation"),
        ("train", "perplexity", "overall", "validation", "validation"),
    ]
    for stage, name, scope, subject, on in wanted:
        report = collected.report(stage)
        for item in report.measurements if report else []:
            if (item.name, item.scope, item.subject) == (name, scope, subject):
                shows, told = words(f"figure.{name}"), _range(item.interval, f"figure.{name}.{on}")
                return Figure(shows, _estimate(item.interval), told)
    return None


def _gained(collected: Collected) -> Figure | None:
    """What a language model has gained over its base."""
    report = collected.report("train")
    for verdict in report.verdicts if report else []:
        if verdict.rule == "better_than_base" and verdict.interval:
            return Figure(
                words("figure.gained"), _estimate(verdict.interval), _range(verdict.interval, "figure.gained.below")
            )
    return None


def _written(collected: Collected) -> list[Figure | None]:
    """How near what a language model writes is to what was wanted: the same text, and the field's usual measure."""
    report = collected.report("train")
    if report is None or collected.task not in OF_TOKENS:
        return []
    items = {item.name: item.interval for item in report.measurements if item.scope == "overall"}
    near = "bleu" if collected.task == "seq2seq_lm" else "rouge_l"
    return [
        Figure(words(f"figure.{name}"), _estimate(items[name]), _range(items[name], "figure.written"))
        for name in ("exact_match", near)
        if name in items
    ]


def _lost(collected: Collected, card: Card | None) -> Figure | None:
    report = collected.report("release")
    verdicts = [*(report.verdicts if report else []), *(card.verdicts[::-1] if card else [])]
    for verdict in verdicts:
        if (verdict.rule, verdict.scope) == ("drop_max", "overall") and verdict.interval and verdict.limit:
            numbers = shown(verdict.interval, verdict.limit)
            below = words(
                "figure.lost.below",
                low=numbers.low,
                high=numbers.high,
                limit=limit_text(verdict.limit, verdict.interval),
            )
            return Figure(words("figure.lost"), both_amounts(numbers.estimate, numbers.unit), below)
    return None


def _speed(card: Card | None) -> Figure | None:
    if card is None or card.speed_ratio is None:
        return None
    ratio = card.speed_ratio
    key = "figure.speed.below" if card.compressed else "figure.speed.export"
    value = words("figure.speed.value", ratio=f"{ratio.estimate:.2f}")
    return Figure(words("figure.speed"), value, words(key, low=f"{ratio.low:.2f}", high=f"{ratio.high:.2f}"))


def _size(collected: Collected, card: Card | None) -> Figure | None:
    if card is None:
        return None
    cards = collected.ladder.cards.values() if collected.ladder else []
    export = next((other for other in cards if not other.compressed), None)
    below = words("figure.size.export", size=size(export.size_bytes)) if export and card.compressed else Markup()
    return Figure(words("figure.size"), Markup("{}").format(size(card.size_bytes)), below)


def _estimate(interval: Interval) -> Markup:
    numbers = shown(interval)
    return both_amounts(numbers.estimate, numbers.unit)


def _range(interval: Interval, key: str) -> Markup:
    numbers = shown(interval)
    return words(key, low=numbers.low, high=numbers.high, n=f"{interval.n:,}")
