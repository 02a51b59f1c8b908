"""`MODEL_CARD.md`: what the evidence says, its headings as in Mitchell et al. (2019), Model cards for model reporting.

Only what was measured or set is written; a card made by a machine does not guess what a model is for.
"""

import html
import re
from collections.abc import Sequence

from modelyard.artifacts.release import Manifest
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Report
from modelyard.pipeline.upstream import Folders

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~>-])")


def model_card(manifest: Manifest, folders: Folders, report: Report) -> str:
    """The card of a release, in Markdown.

    Args:
        manifest: of the release; its file list may be empty still.
        folders: what the release is made of.
        report: of the stage `release`.
    """
    sections = [
        ("Model details", _details(manifest, folders)),
        ("Training data", _data(folders)),
        ("Evaluation", _evaluation(report, folders)),
        ("Gates", _gates(report)),
        ("Compression", _compression(folders)),
        ("Limits", _limits(manifest)),
        ("Lineage", _lineage(manifest)),
    ]
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)
    return f"# {escaped(manifest.project)}\n\n{body}\n"


def escaped(text: str) -> str:
    """A user's string as plain text in Markdown and HTML, on one line."""
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


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


def _data(folders: Folders) -> str:
    dataset = folders.prepared.dataset
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    sources = "\n".join(
        f"* {escaped(source.path)}: {source.rows:,} rows, `{source.digest}`" for source in dataset.sources
    )
    return f"Rows: {counts}. Seed of the split: {dataset.seed}.\n\n{sources}"


def _evaluation(report: Report, folders: Folders) -> str:
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
    text = "Accuracy on the test split, with 95% intervals, as served: in batches of 32 in the order of arrival."
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


def _compression(folders: Folders) -> str:
    card = folders.card
    dtypes = ", ".join(f"{size / 1e6:.1f} MB {dtype}" for dtype, size in sorted(card.dtypes.items()))
    lines = [f"Chosen: {escaped(card.name)}. Weights: {dtypes}."]
    if card.speed_ratio is not None and card.compressed:
        ratio = card.speed_ratio
        lines.append(
            f"Speed over the uncompressed export, interleaved on the machine it was made on: {ratio.estimate:.2f} "
            f"times ({ratio.low:.2f} to {ratio.high:.2f})."
        )
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
