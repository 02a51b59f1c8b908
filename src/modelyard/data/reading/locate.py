"""Which files are meant: a file, several, a folder, a glob; always in the same order."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from modelyard.data.problems import raise_found
from modelyard.data.reading.kinds import foreign_file
from modelyard.errors import Problem

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}
COMPRESSED = (".gz", ".zst")
MAX_FILES = 1_000_000
_READ = "CSV, TSV, JSON, JSONL, Parquet and plain text (.txt) are read, also .gz and .zst"


def file_format(path: Path) -> str | None:
    """The kind of a file by its name's ending, any compression aside: a value of `FORMATS`; None for other files."""
    name = path.name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return FORMATS.get(Path(name).suffix)


def locate(named: str | Sequence[str], root: Path) -> tuple[list[Path], list[str]]:
    """Find the files that a setting names.

    Folders are read with all below them. In folders and globs hidden files are passed over, files of other kinds are
    not read and are named in the notes, and so are plain texts beside tables, where they are a README or a licence. A
    symbolic link that leads out of the named folder is refused: the folder would no longer say what was read.

    Args:
        named: a file, a folder, a glob or several of them.
        root: what relative names are relative to.

    Returns:
        The files, each once, in the order of their paths' UTF-8 bytes; notes on what was not read.

    Raises:
        InputError: all problems: nothing there, a link out of the folder, a kind that is not read.
    """
    problems: list[Problem] = []
    found: dict[Path, Path] = {}
    skipped: list[str] = []
    for name in [named] if isinstance(named, str) else named:
        try:
            for path in _expand(name, root, problems, skipped):
                found.setdefault(path.resolve(), path)
        except OSError as error:  # a name too long for the system, a folder that may not be entered
            reason = error.strerror or str(error)
            problems.append(Problem(f"{name!r} cannot be looked at: {reason}", "check the name and permissions", name))
    if len(found) > MAX_FILES:
        problems.append(
            Problem(f"{len(found)} files are named, the limit is {MAX_FILES}", "join them into larger files")
        )
    raise_found(problems)
    notes = []
    if skipped:
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        notes.append(f"not read, of another kind: {', '.join(sorted(skipped)[:3])}{more}")
    return sorted(found.values(), key=lambda path: os.fsencode(path.as_posix())), notes


def kind_problem(path: Path, where: str) -> Problem:
    """A file that is not read, by the ending of its name: what it is, where that is known, and what to do."""
    return foreign_file(path, where) or Problem(
        f"{path.name!r} is of a kind that is not read", f"convert it: {_READ}", where
    )


def shown_path(path: Path, root: Path) -> str:
    """A path as reports name it: relative to the root where it lies below it, else absolute; with `/`."""
    absolute, base = Path(os.path.abspath(path)), Path(os.path.abspath(root))  # noqa: PTH100  (links are kept as named)
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else absolute.as_posix()


def _expand(name: str, root: Path, problems: list[Problem], skipped: list[str]) -> list[Path]:
    path = root / name
    if path.is_file():
        if file_format(path) is None:
            problems.append(kind_problem(path, name))
            return []
        return [path]
    if path.is_dir():
        folder, candidates = path, _below(path, root, problems)
    elif glob.has_magic(name):
        folder = root / _fixed_part(Path(name))
        candidates = _matches(name, root)
    else:
        problems.append(_no_file(path, name))
        return []
    files = _sorted_out(candidates, folder, root, problems, skipped)
    if not files and not problems:
        problems.append(Problem(f"{name!r} holds no file that is read", f"name another place: {_READ}", name))
    return files


def _matches(name: str, root: Path) -> list[Path]:
    """What a glob matches, hidden names only where it names them.

    `**` goes into folders and never through links to them, which might lead back; at the end it stands for every file.
    """
    parts = [part if part == "**" else part.replace("**", "*") for part in Path(name).parts]
    pattern = Path(*parts, "*") if parts[-1] == "**" else Path(*parts)
    base = Path(pattern.anchor) if pattern.is_absolute() else root
    rest = pattern.relative_to(base) if pattern.is_absolute() else pattern
    named = any(_hidden(part) for part in rest.parts)
    return [
        path
        for path in base.glob(str(rest))
        if named or not any(_hidden(part) for part in path.relative_to(base).parts)
    ]


def _hidden(part: str) -> bool:
    return part.startswith(".") and part not in (".", "..")


def _sorted_out(
    candidates: list[Path], folder: Path, root: Path, problems: list[Problem], skipped: list[str]
) -> list[Path]:
    """Those of a folder's files that are read, in their order."""
    files = []
    for candidate in sorted(candidates, key=lambda path: os.fsencode(path.as_posix())):
        if candidate.exists() and _leads_out(candidate, folder):
            problems.append(
                Problem(
                    f"{candidate.name!r} is a symbolic link out of the folder {folder}",
                    "put the file itself there, or name its own path",
                    shown_path(candidate, root),
                )
            )
        elif candidate.is_file() and file_format(candidate):
            files.append(candidate)
        elif file_format(candidate):
            problems.append(_no_file(candidate, shown_path(candidate, root)))
        elif not candidate.is_dir():
            skipped.append(shown_path(candidate, root))
    tables = [path for path in files if file_format(path) != "text"]
    if not tables:
        return files
    skipped += [shown_path(path, root) for path in files if file_format(path) == "text"]
    return tables


def _no_file(path: Path, where: str) -> Problem:
    """What is named as a data file and is none: opening a pipe would wait for whoever writes into it."""
    if path.is_dir():
        return Problem(f"{where!r} is a folder with the name of a data file", "rename it, or name the folder", where)
    if path.exists():
        return Problem(f"{where!r} is a pipe or a device, not a file", "write what it gives into a file", where)
    if path.is_symlink():
        return Problem(f"{where!r} is a symbolic link to nothing", "mend or remove it", where)
    return Problem(f"{where!r} does not exist", "check the name; it is relative to the project", where)


def _below(folder: Path, root: Path, problems: list[Problem]) -> list[Path]:
    """Files and links below a folder, hidden ones passed over; links to folders are listed, never entered."""

    def unreadable(error: OSError) -> None:
        where = shown_path(Path(error.filename), root)
        problems.append(Problem(f"{where!r} cannot be read: {error.strerror}", "allow reading it, or move it", where))

    found = []
    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found += [Path(parent, name) for name in [*links, *names] if not name.startswith(".")]
    return found


def _fixed_part(pattern: Path) -> Path:
    """The folder before the first wildcard."""
    parts = list(pattern.parts)
    wild = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:wild])


def _leads_out(path: Path, folder: Path) -> bool:
    return not path.resolve().is_relative_to(folder.resolve())
