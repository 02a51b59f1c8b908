"""Keys: made, told apart, and refused when they are something else. Ed25519 numbers from RFC 8032."""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from modelyard.artifacts.keys import ENVIRONMENT, key_id, load_private_key, load_public_key, new_key_pair
from modelyard.errors import InputError

PEM = serialization.Encoding.PEM
# RFC 8032, section 7.1, test 1
RFC_SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def private_pem(key: object, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    data = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, hidden)  # type: ignore[attr-defined]
    return bytes(data)


def test_a_key_is_named_by_the_digest_of_its_raw_bytes(tmp_path: Path) -> None:
    secret = private_pem(Ed25519PrivateKey.from_private_bytes(RFC_SECRET)).decode()
    key = load_private_key(tmp_path / "none", {ENVIRONMENT: secret})
    expected = "sha256:" + hashlib.sha256(RFC_PUBLIC).hexdigest()
    assert key_id(key.public_key()) == key_id(Ed25519PublicKey.from_public_bytes(RFC_PUBLIC)) == expected


def test_a_pair_is_made_once_and_its_private_half_is_hidden(tmp_path: Path) -> None:
    name = new_key_pair(tmp_path / "keys")
    private, public = tmp_path / "keys" / "private.pem", tmp_path / "keys" / "team.pub"
    assert private.stat().st_mode & 0o777 == 0o600
    assert key_id(load_public_key(public)) == key_id(load_private_key(private, {}).public_key()) == name
    before = private.read_bytes()
    with pytest.raises(InputError) as caught:
        new_key_pair(tmp_path / "keys")
    assert len(caught.value.problems) == 2
    assert private.read_bytes() == before


def test_the_environment_goes_first_even_on_one_line(tmp_path: Path) -> None:
    new_key_pair(tmp_path)
    other = Ed25519PrivateKey.generate()
    text = private_pem(other).decode().replace("\n", "\\n")
    found = load_private_key(tmp_path / "private.pem", {ENVIRONMENT: text})
    assert key_id(found.public_key()) == key_id(other.public_key())


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    new_key_pair(tmp_path)
    (tmp_path / "private.pem").chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        load_private_key(tmp_path / "private.pem", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (private_pem(Ed25519PrivateKey.generate(), b"word"), "protected by a password"),
        (private_pem(ec.generate_private_key(ec.SECP256R1())), "only Ed25519"),
        (b"-----BEGIN PUBLIC KEY-----\n", "a public key where a private one"),
        (b"not a key", "holds no PEM private key"),
        (b"x" * 20_000, "larger than 16 KiB"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_private_key_says_what_it_is(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(InputError, match=message):
        load_private_key(path, {})


def test_what_is_no_public_key_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    rsa_key = rsa.generate_private_key(65537, 2048).public_key()
    for content, message in (
        (private_pem(Ed25519PrivateKey.generate()), "a private key where a public one"),
        (rsa_key.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo), "only Ed25519"),
        (b"\xff\xfe", "not a PEM public key"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_public_key(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_public_key(tmp_path)
