"""Where it all comes from: digests from the raw files to the release, and what each stage ran on and took."""

from dataclasses import dataclass

from markupsafe import Markup

from modelyard.evidence.report import RunRecord
from modelyard.reporting.collect import Collected
from modelyard.reporting.numbers import cut, duration, size
from modelyard.reporting.svg import share_bar
from modelyard.reporting.words import words

MAX_FILES = 20
MAX_VALUE = 200


@dataclass(frozen=True)
class Link:
    """One link of the chain: what it is, its name on disk, its digest, and who vouches for it."""

    what: Markup
    name: str
    digest: str
    note: Markup


@dataclass(frozen=True)
class Taken:
    """What a stage took."""

    stage: str
    start: str
    wall: Markup
    drawing: Markup
    cpu: Markup
    memory: str


@dataclass(frozen=True)
class Fact:
    """A fact of the machine or a version: the same for every stage, or one value for each."""

    name: str
    values: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class LineageView:
    """The section of the lineage.

    Attributes:
        links: from the raw files to the release.
        hidden_files: raw files left out.
        reports: stage, digest of the report here, and whether the release names the same (None without a release).
        taken: what each stage took.
        facts: machine and versions.
    """

    links: list[Link]
    hidden_files: int
    reports: list[tuple[str, str, bool | None]]
    taken: list[Taken]
    facts: list[Fact]


def lineage_view(collected: Collected) -> LineageView:
    """The section of the lineage."""
    files = collected.data.dataset.sources if collected.data else []
    links = [
        Link(words("lineage.raw"), source.path, source.digest, words("lineage.rows", rows=f"{source.rows:,}"))
        for source in files[:MAX_FILES]
    ]
    if not links:
        links += [Link(words("lineage.raw"), "", digest, note) for _, digest, note in _named(collected, {"check"})]
    for name, folder in (
        ("prepared", "prepared/"),
        ("base", ""),
        ("model", "model/"),
        ("candidates", "candidates/"),
    ):
        links += [
            Link(words(f"lineage.{name}"), folder, digest, note)
            for found, digest, note in _named(collected, None)
            if found == name
        ]
    if collected.release:
        links.append(_release(collected))
    return LineageView(
        links=links,
        hidden_files=max(0, len(files) - MAX_FILES),
        reports=_reports(collected),
        taken=_taken(collected.runs),
        facts=_facts(collected.runs),
    )


def _named(collected: Collected, stages: set[str] | None) -> list[tuple[str, str, Markup]]:
    """Name, digest and the stages that read it, of every input; two digests of one name are two entries."""
    found: dict[tuple[str, str], list[str]] = {}
    for report in collected.reports:
        if stages is None or report.stage in stages:
            for name, digest in report.inputs.items():
                found.setdefault((name, digest), []).append(report.stage)
    return [(name, digest, words("lineage.read", stages=", ".join(read))) for (name, digest), read in found.items()]


def _release(collected: Collected) -> Link:
    assert collected.release is not None
    lineage = collected.release.manifest.lineage
    commit = cut(lineage.commit, MAX_VALUE) if lineage.commit else words("lineage.no_commit")
    note = words("lineage.release_note", commit=commit, version=cut(lineage.modelyard, MAX_VALUE))
    return Link(words("lineage.release"), f"{collected.release.folder.name}/", collected.release.digest, note)


def _reports(collected: Collected) -> list[tuple[str, str, bool | None]]:
    named = collected.release.manifest.lineage.reports if collected.release else None
    return [
        (stage, digest, None if named is None else named.get(stage) == digest)
        for stage, digest in collected.report_digests.items()
    ]


def _taken(runs: dict[str, RunRecord]) -> list[Taken]:
    longest = max((record.wall_seconds for record in runs.values()), default=0.0)
    return [
        Taken(
            stage=stage,
            start=f"{record.start:%Y-%m-%d %H:%M:%S}",
            wall=duration(record.wall_seconds),
            drawing=share_bar(record.wall_seconds, largest=longest, width=110.0),
            cpu=duration(record.cpu_seconds),
            memory=size(record.peak_memory_bytes),
        )
        for stage, record in runs.items()
    ]


def _facts(runs: dict[str, RunRecord]) -> list[Fact]:
    facts: list[Fact] = []
    known = {stage: {**record.machine, **record.versions} for stage, record in runs.items()}
    for name in dict.fromkeys(name for found in known.values() for name in found):
        values: dict[str, list[str]] = {}
        for stage, found in known.items():
            if name in found:
                values.setdefault(_value(name, found[name]), []).append(stage)
        facts.append(Fact(name, list(values.items())))
    return facts


def _value(name: str, value: object) -> str:
    if isinstance(value, list):
        return cut(", ".join(map(str, value)), MAX_VALUE)
    if name.endswith("_bytes") and isinstance(value, int | float):
        return size(value)
    return cut(str(value), MAX_VALUE)
