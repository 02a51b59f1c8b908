"""The page: what was collected, made ready section by section, in one HTML file that loads nothing from anywhere."""

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modelyard.artifacts.files import write_text
from modelyard.artifacts.release import MARK as MANIFEST
from modelyard.artifacts.release import SIGNATURE
from modelyard.artifacts.reports import reports_folder
from modelyard.data.change.compare import DISTRIBUTIONS
from modelyard.data.change.compare import STAGE as COMPARE
from modelyard.errors import InputError, Problem
from modelyard.evidence.report import Measurement, Report
from modelyard.reporting.changes import change_view, history_view
from modelyard.reporting.collect import Collected, collect
from modelyard.reporting.lineage import lineage_view
from modelyard.reporting.numbers import both_amounts, cut, duration, printable, shown, size
from modelyard.reporting.sections import data_of, ladder_view
from modelyard.reporting.summary import may_be_released, summarise
from modelyard.reporting.svg import DEFINITIONS, share_bar
from modelyard.reporting.training import training_view
from modelyard.reporting.verdicts import MARKS, Arranged, arrange, scope_text, subject_text
from modelyard.reporting.words import both, has, sentence, words

FILE = "report.html"
GENERATOR = '<meta name="generator" content="modelyard report">'
MAX_NOTES = 60
MAX_NOTE = 600
MAX_MEASUREMENTS = 60
MAX_PARAMETERS = 120
MAX_VALUE = 300
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class StageView:
    """One stage's part of the page.

    Attributes:
        name: of the stage.
        outcome: PASS, FAIL, INCONCLUSIVE by what blocks a release, NONE without a verdict.
        mark: of the outcome.
        arranged: its verdicts.
        parameters: name, value, reason of each, nested names joined by dots.
        hidden_parameters: how many are left out.
        measurements: the first of them.
        hidden_measurements: how many are left out.
        notes: sentences, in both languages where they are known.
        hidden_notes: how many are left out.
        wall: how long it took; empty where nobody wrote it down.
    """

    name: str
    outcome: str
    mark: str
    arranged: Arranged
    parameters: list[tuple[str, str, str]]
    hidden_parameters: int
    measurements: list[Measurement]
    hidden_measurements: int
    notes: list[Markup]
    hidden_notes: int
    wall: Markup


def write_page(place: Path, output: Path | None = None) -> Path:
    """Write the page of a folder of reports, whole or not at all, and return its path.

    Args:
        place: a folder of reports, or the project around it.
        output: the file; None writes `report.html` beside the reports.

    Raises:
        InputError: there is no report, one is broken, or the file cannot be written or is somebody else's.
    """
    if place.is_file():
        raise InputError(
            Problem(f"{place} is one report, and a page shows a folder of them", f"name {place.parent}", str(place))
        )
    collected = collect(place)
    target = output or reports_folder(place) / FILE
    _refuse(target)
    write_text(target, render(collected))
    return target


def write_report_page(report: Report, target: Path) -> Path:
    """Write a page of one report that stands alone, and return its path.

    Raises:
        InputError: the file cannot be written or is somebody else's.
    """
    _refuse(target)
    write_text(target, render(Collected(target.parent, [report], runs={}, report_digests={})))
    return target


def _refuse(target: Path) -> None:
    """Refuse a place where the page would destroy something.

    Raises:
        InputError: the file is not a page of ours, or it would lie inside a signed release.
    """
    sealed = next((folder for folder in target.absolute().parents if _is_release(folder)), None)
    if sealed is not None:
        raise InputError(
            Problem(
                f"{target} would lie inside the release {sealed}, which then no longer verifies",
                "name another place with --output",
                str(target),
            )
        )
    if target.is_symlink() or (target.exists() and not _is_ours(target)):
        raise InputError(
            Problem(
                f"{target} is there already and is no report page of ours",
                "name another place with --output, or remove it yourself",
                str(target),
            )
        )


def _is_release(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and (folder / SIGNATURE).is_file()


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return GENERATOR.encode() in handle.read(2_000)


def render(collected: Collected) -> str:
    """The whole page as HTML."""
    environment = Environment(
        loader=PackageLoader("modelyard.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_helpers())
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    script = (_HERE / "switches.js").read_text(encoding="utf-8")
    compared = collected.report(COMPARE)
    html = environment.get_template("page.html.jinja").render(
        generator=Markup(GENERATOR),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        definitions=DEFINITIONS,
        summary=summarise(collected),
        sections=_sections(collected),
        changes=change_view(compared) if compared else None,
        history=history_view(collected.history) if collected.history else None,
        stages=[_stage(report, collected) for report in collected.reports],
        data=data_of(collected),
        answers=collected.answers,
        training=training_view(collected.curves) if collected.curves else None,
        ladder=ladder_view(collected.ladder) if collected.ladder else None,
        mistakes=collected.mistakes,
        lineage=lineage_view(collected),
        unread=collected.unread,
    )
    return printable(html)


def _sections(collected: Collected) -> list[str]:
    """The sections of the page after the verdicts; of a comparison alone there is nothing else to show."""
    compared = collected.report(COMPARE) is not None
    if compared and len(collected.reports) == 1:
        return ["changes"]
    history = ["history"] if collected.history or collected.unread.get("history") else []
    after = ["ladder", "mistakes"] if may_be_released(collected) else []
    return ["data", *(["changes"] if compared else []), *history, "training", *after, "lineage"]


def _helpers() -> dict[str, Any]:
    return {
        "t": words,
        "both": both,
        "has": has,
        "sentence": sentence,
        "scope_text": scope_text,
        "subject_text": subject_text,
        "cut": cut,
        "size": size,
        "duration": duration,
        "shown": shown,
        "amounts": both_amounts,
        "share_bar": share_bar,
        "number": number,
        "exp": _exp,
        "marks": MARKS,
    }


def _policy(style: str, script: str) -> str:
    """Nothing is loaded or sent, and only our own style and script count, known by their digests."""
    return (
        f"default-src 'none'; style-src '{_source(style)}'; script-src '{_source(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def number(value: float, digits: int = 4) -> str:
    """A number in a table; what is not finite says so."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else str(value)


def _exp(value: float) -> float:
    """The perplexity of a loss in nats; infinite beyond what a float holds."""
    return math.exp(value) if value < 700.0 else math.inf


def _stage(report: Report, collected: Collected) -> StageView:
    parameters = flattened({name: value for name, value in report.parameters.items() if name != DISTRIBUTIONS})
    run = collected.runs.get(report.stage)
    outcome = _outcome(report)
    return StageView(
        name=report.stage,
        outcome=outcome,
        mark=MARKS.get(outcome, "·"),
        arranged=arrange(report.verdicts),
        parameters=parameters[:MAX_PARAMETERS],
        hidden_parameters=max(0, len(parameters) - MAX_PARAMETERS),
        measurements=report.measurements[:MAX_MEASUREMENTS],
        hidden_measurements=max(0, len(report.measurements) - MAX_MEASUREMENTS),
        notes=[sentence(cut(note, MAX_NOTE)) for note in report.notes[:MAX_NOTES]],
        hidden_notes=max(0, len(report.notes) - MAX_NOTES),
        wall=duration(run.wall_seconds) if run else Markup(),
    )


def _outcome(report: Report) -> str:
    """The worst outcome among the verdicts that block; PASS where none does and there is one."""
    blocking = {verdict.outcome for verdict in report.verdicts if verdict.blocks}
    if not report.verdicts:
        return "NONE"
    return "FAIL" if "FAIL" in blocking else "INCONCLUSIVE" if blocking else "PASS"


def flattened(parameters: dict[str, Any], prefix: str = "") -> list[tuple[str, str, str]]:
    """Name, value and reason of each parameter; `{"value": …, "reason": …}` is one, other objects are opened."""
    found: list[tuple[str, str, str]] = []
    for name, value in parameters.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and set(value) == {"value", "reason"}:
            found.append((cut(path, MAX_VALUE), _text(value["value"]), cut(str(value["reason"]), MAX_VALUE)))
        elif isinstance(value, dict) and value and prefix.count(".") < 4:
            found += flattened(value, f"{path}.")
        else:
            found.append((cut(path, MAX_VALUE), _text(value), ""))
    return found


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return cut(text, MAX_VALUE)
