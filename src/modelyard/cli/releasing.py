"""`release`, `verify` and `keys`: what is let out, by whom it is signed, and whether it still is that."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.console import progress_bar, show_lines, show_report, shown
from modelyard.cli.options import AsJson, ExitZero, PreparedFolder, ProjectFolder, ReportsFolder, folder
from modelyard.cli.serving import ReleaseFolder, TrustedKeys, verified
from modelyard.errors import InputError, Problem

keys = typer.Typer(name="keys", help="Make and show the keys that sign releases.", no_args_is_help=True)


def release(
    project: ProjectFolder = Path(),
    prepared: PreparedFolder = None,
    model: Annotated[Path | None, folder("model")] = None,
    candidates: Annotated[Path | None, folder("candidates")] = None,
    reports: ReportsFolder = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the release goes. Default: release/ in the project.")
    ] = None,
    as_json: AsJson = False,
    exit_zero: ExitZero = False,
) -> None:
    """Judge the chosen candidate on the test split and, if every gate of `gates:` lets it, build a signed release.

    The very artefact that would be released is run again, in batches as it will be served. Where a gate fails or
    cannot tell, no release is built and the report names the gate, its interval, its limit and the rows it needs.
    """
    from modelyard.evidence.judge import exit_status
    from modelyard.pipeline.release import release as build
    from modelyard.pipeline.waivers import waiver_lines
    from modelyard.project.load import load_project

    loaded = load_project(project)
    with progress_bar() as progress:
        report = build(
            loaded.settings,
            root=project,
            prepared=prepared or project / "prepared",
            model=model or project / "model",
            candidates=candidates or project / "candidates",
            reports=reports or project / "reports",
            output=output or project / "release",
            progress=progress,
        )
    show_report(report, as_json=as_json)
    if not as_json:
        waivers = loaded.settings.gates.waivers
        show_lines(waiver_lines(report.verdicts, on=date.today(), none_yet=not waivers))
    raise typer.Exit(0 if exit_zero else exit_status(report.verdicts))


def verify(
    release: ReleaseFolder,
    trusted_key: TrustedKeys = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was verified as JSON.")] = False,
) -> None:
    """Verify a release without a network: its signature by a trusted key, and the digest of every file.

    Exit status 1 names every file that was changed, added or removed.
    """
    from modelyard.artifacts.release import describe

    found = describe(verified(release, trusted_key))
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    sys.stdout.write(
        f"verified: {shown(found['project'])}, {found['files']} files, {found['size_bytes'] / 1e6:.1f} MB\n"
        f"release   {found['release']}\n"
        f"signed by {found['signer']}\n"
        f"engine    {found['engine']} ({found['candidate']}); labels: {', '.join(map(shown, found['labels']))}\n"
    )


@keys.command("new")
def new(
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where the two files go.")] = Path("keys"),
) -> None:
    """Make a key pair: private.pem signs and stays secret, team.pub is given to whoever loads releases."""
    from modelyard.artifacts.keys import ENVIRONMENT, PRIVATE_NAME, PUBLIC_NAME, new_key_pair

    name = new_key_pair(directory)
    sys.stdout.write(
        f"key {name}\n"
        f"  {directory / PRIVATE_NAME}  signs; keep it out of Git (CI takes its text from {ENVIRONMENT})\n"
        f"  {directory / PUBLIC_NAME}  verifies; list it under release.trusted_keys\n"
    )


@keys.command("show")
def show(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Public keys. Default: those the project trusts.")
    ] = None,
    project: ProjectFolder = Path(),
) -> None:
    """Print the id of public keys, to compare over another channel than the one they came by."""
    from modelyard.artifacts.keys import key_id, load_public_key
    from modelyard.project.load import load_project

    paths = files
    if not paths:
        loaded = load_project(project)
        paths = [loaded.path(name) for name in loaded.settings.release.trusted_keys]
    if not paths:
        raise InputError(
            Problem("release.trusted_keys is empty", "name a file: modelyard keys show FILE", str(project))
        )
    for path in paths:
        sys.stdout.write(f"{key_id(load_public_key(path))}  {path}\n")
