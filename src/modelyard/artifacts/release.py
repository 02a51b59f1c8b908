"""`release/`: what is served, with a manifest of every file and a signature over the manifest.

A signature proves something only against a key that came another way: the trusted keys live outside the release.
Nothing of a release is parsed before the signature holds, and nothing but the manifest before every digest does.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelyard.artifacts.candidate import EngineName
from modelyard.artifacts.documents import parse_document
from modelyard.artifacts.files import digest_bytes, digest_file, list_files, scan_folder, write_bytes, write_json
from modelyard.artifacts.keys import key_id, load_public_key
from modelyard.artifacts.model import PICKLED
from modelyard.errors import GateFailed, InputError, ModelyardError, Problem

MARK = "manifest.json"
SIGNATURE = "signature"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_SIGNATURE_BYTES = 4 * 1024
MAX_FILES = 1000
_NEXT = "get the release again from where it was built, and keep this copy for whoever looks into it"
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


def safe_name(name: str) -> str:
    """A relative POSIX path that stays inside its folder, unchanged.

    Raises:
        ValueError: it is absolute, climbs, is not in its shortest form, or has control characters or a backslash.
    """
    path = PurePosixPath(name)
    plain = path.as_posix() == name and name != "." and not path.is_absolute() and ".." not in path.parts
    if not plain or "\\" in name or not name.isprintable() or len(name.encode()) > 1024:
        raise ValueError(f"the file name {name[:80]!r} is not a plain relative path")
    return name


SafeName = Annotated[str, AfterValidator(safe_name)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FileEntry(_Part):
    """One file of a release."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Limits(_Part):
    """What the service takes.

    Attributes:
        batch_rows: rows of one batch; the release was judged in batches of this size.
        inputs: texts of one request.
        characters: of one text.
        body_bytes: of one request's body.
    """

    batch_rows: int = Field(default=32, ge=1, le=4096)
    inputs: int = Field(default=256, ge=1, le=65_536)
    characters: int = Field(default=100_000, ge=1, le=100_000_000)
    body_bytes: int = Field(default=1024 * 1024, ge=1, le=1024 * 1024 * 1024)


class Lineage(_Part):
    """Where a release comes from.

    Attributes:
        prepared: digest of the prepared folder.
        model: digest of the model folder.
        candidates: digest of the candidates folder.
        reports: stage -> digest of its report.
        commit: Git commit of the project, with `-dirty` where files of it were changed after; None without Git.
        modelyard: version that built it.
    """

    prepared: Digest
    model: Digest
    candidates: Digest
    reports: dict[str, Digest]
    commit: str | None
    modelyard: str


class Manifest(_Part):
    """`manifest.json`.

    Attributes:
        schema_version: `schema` in JSON.
        project: name of the project.
        task: `classification`.
        labels: label names in the order of the model's outputs.
        max_length_tokens: texts are cut to this many tokens, special ones included.
        candidate: name of the candidate that was chosen.
        engine: what runs the artefact.
        artefact: file names of the artefact.
        dtypes: bytes of weights held in each dtype.
        cpu_flags: of the machine it was judged on; int8 answers may differ where they are missing.
        limits: what the service takes.
        temperature: logits are divided by it before they become probabilities; fitted on validation where it helps.
        objectives: what the service promises, from `serve.objectives`.
        lineage: where it comes from.
        files: every file of the folder except this one and the signature.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    project: str
    task: Literal["classification"]
    labels: list[str] = Field(min_length=2)
    max_length_tokens: int = Field(ge=2, le=1_000_000)
    candidate: str
    engine: EngineName
    artefact: list[SafeName] = Field(min_length=1)
    dtypes: dict[str, int]
    cpu_flags: list[str]
    limits: Limits = Limits()
    temperature: float = Field(default=1.0, gt=0, le=1000)
    objectives: dict[str, float]
    lineage: Lineage
    files: dict[SafeName, FileEntry] = Field(default={}, max_length=MAX_FILES)


class Signature(_Part):
    """`signature`: Ed25519 over the exact bytes of `manifest.json`; `key` says which key to try, and proves nothing."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    algorithm: Literal["ed25519"] = "ed25519"
    key: Digest
    signature: str = Field(pattern=r"^[A-Za-z0-9+/]{86}==$")


@dataclass(frozen=True)
class Release:
    """A release that verified.

    Attributes:
        folder: where it stands.
        manifest: what its signer says of it.
        digest: its name: the digest of `manifest.json`.
        signer: id of the trusted key that signed it.
    """

    folder: Path
    manifest: Manifest
    digest: str
    signer: str


def seal(folder: Path, manifest: Manifest, key: Ed25519PrivateKey) -> str:
    """List every file of `folder` in the manifest, write and sign it; returns the release's digest.

    Args:
        folder: the whole release but for the manifest and the signature.
        manifest: everything but `files`.
        key: the key that signs.

    Raises:
        InputError: a file may be a pickle, is a link, or the folder cannot be written.
    """
    files = {
        path.as_posix(): FileEntry(
            sha256=digest_file(folder / path).removeprefix("sha256:"), size_bytes=(folder / path).stat().st_size
        )
        for path in list_files(folder)
        if path.as_posix() not in (MARK, SIGNATURE)
    }
    whole = Manifest.model_validate(manifest.model_dump() | {"files": files})
    problems = _pickle_problems(sorted(files), whole, folder)
    if problems:
        raise InputError(problems)
    data = (whole.model_dump_json(indent=2, by_alias=True) + "\n").encode()
    write_bytes(folder / MARK, data)
    signature = base64.b64encode(key.sign(data)).decode()
    write_json(folder / SIGNATURE, Signature(key=key_id(key.public_key()), signature=signature))
    return digest_bytes(data)


def open_release(folder: Path, trusted_keys: Sequence[Path]) -> Release:
    """Verify a release: signature, then the size and digest of every file, nothing more, nothing missing.

    Args:
        folder: the release.
        trusted_keys: files of public keys that stand outside of it; one of them must have signed.

    Raises:
        InputError: no release stands there, or no usable trusted key was named.
        GateFailed: it does not verify; everything that is wrong with it.
    """
    if not folder.is_dir() or not (folder / MARK).is_file():
        raise InputError(
            Problem(
                f"{folder} is no release: it holds no {MARK}",
                "name the folder that `modelyard release` wrote"
                + ("; a plain model folder is served with --unsigned" if (folder / "config.json").is_file() else ""),
                str(folder),
            )
        )
    keys = _trusted(folder, trusted_keys)
    found, strange = scan_folder(folder)
    problems = [Problem(item.message, _NEXT, item.where) for item in strange]
    problems += _strange_suffixes(found, folder)
    manifest, data, signer = None, b"", ""
    try:
        data = _read_small(folder / MARK, MAX_MANIFEST_BYTES)
        signer = _check_signature(folder, data, keys)
        manifest = parse_document(data.decode(), Manifest, path=folder / MARK, next_step=_NEXT)
    except UnicodeDecodeError:
        problems.append(Problem(f"{MARK} is not UTF-8", _NEXT, str(folder / MARK)))
    except ModelyardError as error:
        problems += error.problems
    if manifest is not None:
        problems += _file_problems(folder, found, manifest)
    if problems or manifest is None:
        raise GateFailed(list(dict.fromkeys(problems)))
    return Release(folder, manifest, digest_bytes(data), signer)


def _trusted(folder: Path, paths: Sequence[Path]) -> dict[str, tuple[Path, Ed25519PublicKey]]:
    if not paths:
        raise InputError(
            Problem(
                "no trusted key was named, and a signature proves nothing without one",
                "pass --trusted-key FILE, or list it under release.trusted_keys in modelyard.yaml",
                str(folder),
            )
        )
    keys: dict[str, tuple[Path, Ed25519PublicKey]] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            if path.resolve().is_relative_to(folder.resolve()):
                raise InputError(
                    Problem(
                        f"the trusted key {path} lies inside the release it should vouch for",
                        "get the key another way than the release, and keep it elsewhere",
                        str(path),
                    )
                )
            key = load_public_key(path)
            keys[key_id(key)] = (path, key)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return keys


def _read_small(path: Path, limit: int) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise GateFailed(Problem(f"{path.name} is missing", _NEXT, str(path)))
    try:
        with path.open("rb") as handle:
            data = handle.read(limit + 1)
    except OSError as error:
        raise GateFailed(Problem(f"{path.name} cannot be read: {error.strerror}", _NEXT, str(path))) from error
    if len(data) > limit:
        raise GateFailed(Problem(f"{path.name} is larger than {limit} bytes", _NEXT, str(path)))
    return data


def _check_signature(folder: Path, data: bytes, keys: dict[str, tuple[Path, Ed25519PublicKey]]) -> str:
    """Id of the trusted key whose signature over `data` holds."""
    path = folder / SIGNATURE
    try:
        text = _read_small(path, MAX_SIGNATURE_BYTES).decode("ascii")
        signature = parse_document(text, Signature, path=path, next_step=_NEXT)
        raw = base64.b64decode(signature.signature, validate=True)
    except (UnicodeDecodeError, binascii.Error, InputError) as error:
        raise GateFailed(Problem(f"{SIGNATURE} is not a signature of ours", _NEXT, str(path))) from error
    if signature.key not in keys:
        known = ", ".join(f"{name} ({key_path})" for name, (key_path, _) in keys.items())
        raise GateFailed(
            Problem(
                f"signed by {signature.key}, which is none of the trusted keys: {known}",
                "do not load it; if you know that signer, get their public key another way and trust it",
                str(path),
            )
        )
    try:
        keys[signature.key][1].verify(raw, data)
    except InvalidSignature as error:
        raise GateFailed(
            Problem(f"{MARK} is not what {signature.key} signed: it was changed afterwards", _NEXT, str(folder / MARK))
        ) from error
    return signature.key


def _file_problems(folder: Path, found: Sequence[Path], manifest: Manifest) -> list[Problem]:
    names = {path.as_posix() for path in found} - {MARK, SIGNATURE}
    problems = _pickle_problems(sorted(manifest.files), manifest, folder)
    problems += [
        Problem(f"{name} is not in the manifest", _NEXT, str(folder / name))
        for name in sorted(names - set(manifest.files))
    ]
    problems += [
        Problem(f"{name} is an artefact's file that the manifest does not list", _NEXT, str(folder / name))
        for name in manifest.artefact
        if name not in manifest.files
    ]
    for name, entry in sorted(manifest.files.items()):
        problem = _entry_problem(folder, name, entry, there=name in names)
        if problem:
            problems.append(Problem(problem, _NEXT, str(folder / name)))
    return problems


def _entry_problem(folder: Path, name: str, entry: FileEntry, *, there: bool) -> str:
    if not there:
        return f"{name} is missing"
    path = folder / name
    try:
        size = path.stat().st_size
        if size != entry.size_bytes:
            return f"{name} has {size} bytes, and {entry.size_bytes} were signed"
        digest = digest_file(path).removeprefix("sha256:")
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return "" if digest == entry.sha256 else f"{name} was changed: its SHA-256 is {digest}, signed was {entry.sha256}"


def _strange_suffixes(found: Sequence[Path], folder: Path) -> list[Problem]:
    """Pickles that no manifest can allow; `.bin` waits for the manifest."""
    return [
        _pickled(path.as_posix(), folder) for path in found if path.suffix.lower() in PICKLED and path.suffix != ".bin"
    ]


def _pickle_problems(names: Sequence[str], manifest: Manifest, folder: Path) -> list[Problem]:
    """Files that may run code when loaded. OpenVINO's `NAME.bin` beside its `NAME.xml` is plain bytes."""
    plain = {
        name.removesuffix(".xml") + ".bin"
        for name in manifest.artefact
        if manifest.engine == "openvino" and name.endswith(".xml") and name in names
    }
    return [
        _pickled(name, folder) for name in names if PurePosixPath(name).suffix.lower() in PICKLED and name not in plain
    ]


def _pickled(name: str, folder: Path) -> Problem:
    return Problem(
        f"{name} may hold pickled objects, which run code when loaded",
        "release safetensors, ONNX or OpenVINO files only",
        str(folder / name),
    )


def describe(release: Release) -> dict[str, Any]:
    """What `/info` and `verify --json` say of a release."""
    manifest = release.manifest
    return {
        "release": release.digest,
        "signer": release.signer,
        "project": manifest.project,
        "task": manifest.task,
        "labels": manifest.labels,
        "max_length_tokens": manifest.max_length_tokens,
        "candidate": manifest.candidate,
        "engine": manifest.engine,
        "files": len(manifest.files),
        "size_bytes": sum(entry.size_bytes for entry in manifest.files.values()),
        "limits": manifest.limits.model_dump(),
        "temperature": manifest.temperature,
        "objectives": manifest.objectives,
        "lineage": manifest.lineage.model_dump(),
    }
