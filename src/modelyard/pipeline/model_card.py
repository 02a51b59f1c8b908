"""`MODEL_CARD.md`: what the evidence says, its headings as in Mitchell et al. (2019), Model cards for model reporting.

Only what was measured or set is written; a card made by a machine does not guess what a model is for.
"""

import html
import re
from collections.abc import Sequence

from modelyard.artifacts.release import Manifest
from modelyard.artifacts.reports import describe_machine, installed_versions
from modelyard.data.rules import PERSONAL_RULES
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Report
from modelyard.pipeline.upstream import Folders

_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
_LINE_START = re.compile(r"^(\d*)([-+#=.)])")


def model_card(manifest: Manifest, folders: Folders, report: Report, *, checked: Report) -> str:
    """The card of a release, in Markdown.

    Args:
        manifest: of the release; its file list may be empty still.
        folders: what the release is made of.
        report: of the stage `release`.
        checked: of the stage `check`.
    """
    sections = [
        ("Model details", _details(manifest, folders)),
        ("Intended use", _use(manifest, folders)),
        ("Factors and metrics", _factors(folders)),
        ("Training and evaluation data", _data(folders)),
        ("Quantitative analyses", _evaluation(manifest, report, folders)),
        ("Gates and waivers", _gates(report)),
        ("Compression", _compression(manifest, folders)),
        ("Ethical considerations", _ethics(checked)),
        ("Caveats and recommendations", _limits(manifest)),
        ("Machine", _machine()),
        ("Lineage", _lineage(manifest)),
    ]
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)
    return f"# {escaped(manifest.project)}\n\n{body}\n"


def escaped(text: str) -> str:
    """A user's string as plain text in Markdown and HTML, on one line."""
    plain = _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
    return _LINE_START.sub(r"\1\\\2", plain)  # what would make a heading, a list or a rule of the line


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines: list[tuple[str, ...]] = [headings, ("---",) * len(headings), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def _details(manifest: Manifest, folders: Folders) -> str:
    settings = folders.training.settings
    rows = [
        ("task", manifest.task),
        ("labels", ", ".join(map(escaped, manifest.labels))),
        ("engine", f"{manifest.engine}, {escaped(folders.card.technique)}"),
        ("size", f"{folders.card.size_bytes / 1e6:.1f} MB"),
        ("texts are cut at", f"{manifest.max_length_tokens} tokens"),
        *((escaped(name), escaped(str(value))) for name, value in sorted(settings.items())),
    ]
    return _table(("what", "value"), rows)


def _use(manifest: Manifest, folders: Folders) -> str:
    slices = ", ".join(map(escaped, folders.prepared.dataset.slices)) or "no column"
    return (
        f"It puts one of {len(manifest.labels)} labels on a text of the kind it was trained on, and its evidence holds "
        f"for texts drawn like the test split. It was judged by class and by slice ({slices}). Any other use is "
        "outside of what was measured: another kind of text, another language, a label that is not listed, or a "
        "decision that looks at anything but the text."
    )


def _factors(folders: Folders) -> str:
    names = ["class", *folders.prepared.dataset.slices]
    return (
        f"Factors: {', '.join(map(escaped, names))}. Metric: accuracy, the share of rows whose label is the true one, "
        "with Wilson's interval. Loss of accuracy against the trained model: the difference of paired proportions, "
        "with Tango's (1998) score interval. All intervals are two-sided 95%, and the whole of each must lie inside "
        "its limit."
    )


def _ethics(checked: Report) -> str:
    found = {verdict.rule: f"{verdict.outcome}, {escaped(verdict.reason)}" for verdict in checked.verdicts}
    looked = "\n".join(f"* {rule}: {found.get(rule, 'not looked for')}" for rule in PERSONAL_RULES)
    return (
        "No audit of fairness, privacy or robustness is part of this release: what the slices above do not show is "
        "not known. The rows read may hold personal data: `check` knows the forms of addresses, numbers and keys, not "
        f"names or what is told of people. It found:\n\n{looked}"
    )


def _machine() -> str:
    machine = describe_machine()
    rows = [(name, escaped(str(machine[name]))) for name in ("processor", "cores", "python")]
    rows += [(name, escaped(version)) for name, version in installed_versions().items() if name != "python"]
    return _table(("judged with", "what"), rows)


def _data(folders: Folders) -> str:
    dataset = folders.prepared.dataset
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    sources = "\n".join(
        f"* {escaped(source.path)}: {source.rows:,} rows, `{source.digest}`" for source in dataset.sources
    )
    return f"Rows: {counts}. Seed of the split: {dataset.seed}.\n\n{sources}"


def _evaluation(manifest: Manifest, report: Report, folders: Folders) -> str:
    found = {(item.scope, item.subject): item.interval for item in report.measurements if item.name == "accuracy"}
    scopes = list(dict.fromkeys(scope for scope, _ in found))
    rows = [
        (
            escaped(scope),
            f"{found[scope, folders.card.name].n:,}",
            _percent(found[scope, folders.card.name]),
            _percent(found[scope, "trained"]),
        )
        for scope in scopes
    ]
    rows_at_once = manifest.limits.batch_rows
    how = f"in batches of {rows_at_once}" if rows_at_once > 1 else "row by row"
    text = f"Accuracy on the test split, with 95% intervals, as served: {how} in the order of arrival."
    return f"{text}\n\n{_table(('scope', 'rows', 'this release', 'trained model'), rows)}"


def _gates(report: Report) -> str:
    rows = [
        (escaped(verdict.rule), escaped(verdict.scope), verdict.outcome, escaped(verdict.reason))
        for verdict in report.verdicts
    ]
    table = _table(("rule", "scope", "outcome", "what was found"), rows)
    waived = [
        f"* **{escaped(verdict.rule)} ({escaped(verdict.scope)}) was waived** by {escaped(verdict.waiver.by)} "
        f"on {verdict.waiver.on}: {escaped(verdict.waiver.reason)}"
        for verdict in report.verdicts
        if verdict.waiver
    ]
    return "\n\n".join([table, "\n".join(waived) or "No verdict was waived."])


def _compression(manifest: Manifest, folders: Folders) -> str:
    card = folders.card
    dtypes = ", ".join(f"{size / 1e6:.1f} MB {dtype}" for dtype, size in sorted(card.dtypes.items()))
    lines = [f"Chosen: {escaped(card.name)}. Weights: {dtypes}."]
    if card.speed_ratio is not None and card.compressed:
        ratio = card.speed_ratio
        lines.append(
            f"Speed over the uncompressed export, interleaved on the machine it was made on: {ratio.estimate:.2f} "
            f"times ({ratio.low:.2f} to {ratio.high:.2f})."
        )
        if manifest.limits.batch_rows < card.batch_rows:
            lines.append("That was in batches; `audit` found that it must answer row by row, which was not timed.")
    lines += [f"{escaped(name)} was not chosen: {escaped(why)}." for name, why in folders.choice.not_chosen.items()]
    return "\n\n".join(lines)


def _limits(manifest: Manifest) -> str:
    flags = ", ".join(manifest.cpu_flags) or "none of those that kernels choose by"
    return (
        "What is not in the training data was not judged: other languages, other subjects, other labels, texts made to "
        "mislead. Measured on a processor with the flags "
        f"{flags}; int8 answers may differ on one without them.\n\n"
        f"The service takes at most {manifest.limits.inputs} texts of {manifest.limits.characters:,} characters."
    )


def _lineage(manifest: Manifest) -> str:
    lineage = manifest.lineage
    rows = [(name, f"`{getattr(lineage, name)}`") for name in ("prepared", "model", "candidates")]
    rows += [(f"report {escaped(stage)}", f"`{digest}`") for stage, digest in lineage.reports.items()]
    rows += [("commit", f"`{lineage.commit}`" if lineage.commit else "not in Git"), ("modelyard", lineage.modelyard)]
    return _table(("what", "digest"), rows)
