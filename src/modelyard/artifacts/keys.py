"""Ed25519 keys: made, read, and told apart by name.

Private keys are PEM PKCS#8, public keys PEM SubjectPublicKeyInfo (RFC 8410): what `openssl genpkey -algorithm ed25519`
and `openssl pkey -pubout` write and read.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from modelyard.artifacts.files import digest_bytes, write_bytes
from modelyard.errors import InputError, Problem

ENVIRONMENT = "MODELYARD_PRIVATE_KEY"
PRIVATE_NAME = "private.pem"
PUBLIC_NAME = "team.pub"
MAX_KEY_BYTES = 16 * 1024
_MAKE = "make a pair with `modelyard keys new`"


def key_id(key: Ed25519PublicKey) -> str:
    """Name of a key: `sha256:` and the digest of its 32 raw bytes."""
    return digest_bytes(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def new_key_pair(folder: Path) -> str:
    """Write `private.pem` (mode 0600) and `team.pub` into `folder` and return the key's id.

    Raises:
        InputError: one of the two is already there (a lost private key cannot be made again), or cannot be written.
    """
    paths = (folder / PRIVATE_NAME, folder / PUBLIC_NAME)
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if there:
        raise InputError(
            [
                Problem(
                    f"{path} is already there, and keys are never overwritten", "name another --directory", str(path)
                )
                for path in there
            ]
        )
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_bytes(paths[0], private, mode=0o600)
    write_bytes(paths[1], public)
    return key_id(key.public_key())


def load_private_key(path: Path, environ: Mapping[str, str] = os.environ) -> Ed25519PrivateKey:
    """The key that signs: the PEM text in MODELYARD_PRIVATE_KEY where that is set, else the file.

    Raises:
        InputError: there is no key, others may read the file, or it holds something else.
    """
    text = environ.get(ENVIRONMENT, "").strip()
    if text:
        # some CI systems keep a variable on one line
        return _private_key(text.replace("\\n", "\n").encode(), f"the environment variable {ENVIRONMENT}")
    data = _read(path, f"{_MAKE}, or set {ENVIRONMENT} to the PEM text")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise InputError(
            Problem(f"the private key {path} has mode {mode:o}: others may read it", f"chmod 600 {path}", str(path))
        )
    return _private_key(data, str(path))


def load_public_key(path: Path) -> Ed25519PublicKey:
    """A key to trust.

    Raises:
        InputError: the file is missing, or holds something else.
    """
    data = _read(path, "name the file of a public key (keys/team.pub in a project)")
    if b"PRIVATE KEY" in data:
        raise InputError(
            Problem(
                f"{path} holds a private key where a public one is expected",
                f"name the public half ({PUBLIC_NAME}); keep the private one to yourself",
                str(path),
            )
        )
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(Problem(f"{path} is not a PEM public key", _MAKE, str(path))) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(Problem(f"{path} is a {_kind(key)} key, and only Ed25519 is used here", _MAKE, str(path)))
    return key


def _private_key(data: bytes, where: str) -> Ed25519PrivateKey:
    if b"PUBLIC KEY" in data:
        raise InputError(
            Problem(f"{where} holds a public key where a private one is expected", f"name {PRIVATE_NAME}", where)
        )
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise InputError(
            Problem(
                f"the private key in {where} is protected by a password, which is not asked for here",
                f"decrypt it (openssl pkey -in FILE) and pass the text in {ENVIRONMENT}",
                where,
            )
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(Problem(f"{where} holds no PEM private key", _MAKE, where)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(Problem(f"{where} holds a {_kind(key)} key, and only Ed25519 is used here", _MAKE, where))
    return key


def _kind(key: object) -> str:
    return type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey").lstrip("_")


def _read(path: Path, next_step: str) -> bytes:
    try:
        with path.open("rb") as handle:
            data = handle.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise InputError(Problem(f"the key {path} cannot be read: {error.strerror}", next_step, str(path))) from error
    if len(data) > MAX_KEY_BYTES:
        raise InputError(Problem(f"{path} is larger than 16 KiB: no key is", next_step, str(path)))
    return data
