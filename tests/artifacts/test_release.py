"""A release verifies whole, or every way in which it does not is named before anything of it is parsed."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts import release as room
from modelyard.artifacts.files import digest_file
from modelyard.artifacts.keys import key_id, load_private_key, load_public_key, new_key_pair
from modelyard.artifacts.release import Manifest, describe, open_release, safe_name, seal
from modelyard.errors import GateFailed, InputError


def resign(folder: Path, private: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and sign it again, as its signer could."""
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    change(content)
    data = json.dumps(content).encode()
    (folder / "manifest.json").write_bytes(data)
    key = load_private_key(private, {})
    signature = json.loads((folder / "signature").read_text(encoding="utf-8"))
    signature["signature"] = base64.b64encode(key.sign(data)).decode()
    (folder / "signature").write_text(json.dumps(signature), encoding="utf-8")


def problems_of(sealed: Any) -> list[str]:
    with pytest.raises(GateFailed) as caught:
        open_release(sealed.folder, [sealed.key])
    assert caught.value.exit_status == 1
    assert all(problem.next_step and problem.where for problem in caught.value.problems)
    return [problem.message for problem in caught.value.problems]


def test_a_whole_release_says_what_it_is(sealed: Any) -> None:
    release = open_release(sealed.folder, [sealed.key])
    assert release.digest == digest_file(sealed.folder / "manifest.json")
    assert release.signer == key_id(load_public_key(sealed.key))
    assert sorted(release.manifest.files) == ["config.json", "evidence/check.json", "model.onnx", "tokenizer.json"]
    assert release.manifest.files["config.json"].size_bytes == len('{"pad_token_id": 0}')
    said = describe(release)
    assert said["release"] == release.digest
    assert said["files"] == 4
    json.dumps(said)


def test_equal_content_gives_an_equal_release(sealed: Any, tmp_path: Path) -> None:
    manifest = open_release(sealed.folder, [sealed.key]).manifest
    other = Path(shutil.copytree(sealed.folder, tmp_path / "other"))
    for name in ("manifest.json", "signature"):
        (other / name).unlink()
    digest = seal(other, manifest.model_copy(update={"files": {}}), load_private_key(sealed.private, {}))
    assert digest == digest_file(sealed.folder / "manifest.json")
    assert (other / "signature").read_bytes() == (sealed.folder / "signature").read_bytes()


def test_every_changed_added_and_missing_file_is_named_at_once(sealed: Any) -> None:
    data = bytearray((sealed.folder / "model.onnx").read_bytes())
    data[-1] ^= 1
    (sealed.folder / "model.onnx").write_bytes(data)
    (sealed.folder / "config.json").write_text("{}", encoding="utf-8")
    (sealed.folder / "tokenizer.json").unlink()
    (sealed.folder / "evidence" / "extra.txt").write_text("x", encoding="utf-8")
    found = problems_of(sealed)
    assert len(found) == 4
    assert "evidence/extra.txt is not in the manifest" in found
    assert "tokenizer.json is missing" in found
    assert "config.json has 2 bytes, and 19 were signed" in found
    assert any(message.startswith("model.onnx was changed") for message in found)


def test_nothing_is_parsed_when_the_signature_does_not_hold(sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sealed.folder / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"sums"', '"mine"'), encoding="utf-8")
    parsed: list[type] = []
    real = room.parse_document

    def spy(text: str, kind: type, **options: Any) -> Any:
        parsed.append(kind)
        return real(text, kind, **options)

    monkeypatch.setattr(room, "parse_document", spy)
    assert "it was changed afterwards" in problems_of(sealed)[0]
    assert Manifest not in parsed


def test_another_signer_is_named_with_the_keys_that_are_trusted(sealed: Any, tmp_path: Path) -> None:
    other = new_key_pair(tmp_path / "other")
    with pytest.raises(GateFailed, match="none of the trusted keys") as caught:
        open_release(sealed.folder, [tmp_path / "other" / "team.pub"])
    assert other in str(caught.value)
    release = open_release(sealed.folder, [tmp_path / "other" / "team.pub", sealed.key])
    assert release.signer == key_id(load_public_key(sealed.key))


def test_a_key_inside_the_release_vouches_for_nothing(sealed: Any, tmp_path: Path) -> None:
    inside = sealed.folder / "team.pub"
    shutil.copyfile(sealed.key, inside)
    alias = tmp_path / "alias.pub"
    alias.symlink_to(inside)
    with pytest.raises(InputError) as caught:
        open_release(sealed.folder, [inside, alias, tmp_path / "none.pub"])
    assert [problem.message.startswith("the trusted key") for problem in caught.value.problems] == [True, True, False]


def test_no_key_and_no_release_are_bad_input(sealed: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trusted key"):
        open_release(sealed.folder, [])
    for folder in (tmp_path / "nowhere", sealed.key, tmp_path):
        with pytest.raises(InputError, match="is no release"):
            open_release(folder, [sealed.key])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "signature is missing"),
        (b"\xff", "not a signature of ours"),
        (b"{}", "not a signature of ours"),
        (b"x" * 5000, "larger than 4096 bytes"),
        (b"link", "signature is missing"),
    ],
)
def test_a_signature_that_is_none_is_refused(sealed: Any, content: bytes | None, message: str) -> None:
    path = sealed.folder / "signature"
    path.unlink()
    if content == b"link":
        path.symlink_to(sealed.key)
    elif content is not None:
        path.write_bytes(content)
    assert any(message in found for found in problems_of(sealed))


def test_links_and_pickles_are_refused_whatever_was_signed(sealed: Any) -> None:
    model = sealed.folder / "model.onnx"
    model.rename(sealed.folder.parent / "elsewhere.onnx")
    model.symlink_to(sealed.folder.parent / "elsewhere.onnx")
    (sealed.folder / "weights.PT").write_bytes(b"\x80\x04")
    found = problems_of(sealed)
    assert any("symbolic link" in message for message in found)
    assert any(message.startswith("weights.PT may hold pickled objects") for message in found)


def test_a_bin_is_refused_but_beside_its_openvino_graph(sealed: Any) -> None:
    (sealed.folder / "model.bin").write_bytes(b"weights")
    (sealed.folder / "model.xml").write_text("<net/>", encoding="utf-8")
    manifest = open_release_manifest(sealed.folder)
    key = load_private_key(sealed.private, {})
    with pytest.raises(InputError, match=r"model\.bin may hold pickled"):
        seal(sealed.folder, manifest, key)
    openvino = manifest.model_copy(update={"engine": "openvino", "artefact": ["model.xml", "model.bin"]})
    seal(sealed.folder, openvino, key)
    open_release(sealed.folder, [sealed.key])
    resign(sealed.folder, sealed.private, lambda content: content.update(engine="onnx"))
    assert any("model.bin may hold pickled" in message for message in problems_of(sealed))


def open_release_manifest(folder: Path) -> Manifest:
    content = Manifest.model_validate_json((folder / "manifest.json").read_text(encoding="utf-8"))
    return content.model_copy(update={"files": {}})


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../b", "./a", "a//b", "a\\b", "a\nb", ".", "", "x" * 1025])
def test_names_that_could_leave_the_folder_are_refused(sealed: Any, name: str) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        safe_name(name)

    def add(content: dict[str, Any]) -> None:
        content["files"][name] = {"sha256": "0" * 64, "size_bytes": 1}

    resign(sealed.folder, sealed.private, add)
    assert any("plain relative path" in message for message in problems_of(sealed))


def test_a_manifest_that_is_not_one_is_refused(sealed: Any) -> None:
    resign(sealed.folder, sealed.private, lambda content: content.update(schema=2))
    assert "has schema 2" in problems_of(sealed)[0]
    resign(sealed.folder, sealed.private, lambda content: content.update(schema=1, artefact=["gone.onnx"]))
    assert problems_of(sealed) == ["gone.onnx is an artefact's file that the manifest does not list"]


def test_a_manifest_that_is_not_utf8_or_too_large_is_refused(sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'{"schema": "\xff"}'
    key = load_private_key(sealed.private, {})
    signature = json.loads((sealed.folder / "signature").read_text(encoding="utf-8"))
    signature["signature"] = base64.b64encode(key.sign(data)).decode()
    (sealed.folder / "manifest.json").write_bytes(data)
    (sealed.folder / "signature").write_text(json.dumps(signature), encoding="utf-8")
    assert problems_of(sealed) == ["manifest.json is not UTF-8"]
    monkeypatch.setattr(room, "MAX_MANIFEST_BYTES", 3)
    assert "larger than 3 bytes" in problems_of(sealed)[0]


def test_files_that_cannot_be_read_are_named(sealed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = digest_file

    def refuse(path: Path) -> str:
        if path.name == "config.json":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(room, "digest_file", refuse)
    assert problems_of(sealed) == ["config.json cannot be read: Permission denied"]
