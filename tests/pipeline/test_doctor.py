import subprocess
from importlib import metadata

import pytest

from modelyard.pipeline import doctor


def test_a_whole_machine_misses_nothing() -> None:
    found = doctor.examine(["minilm"])
    assert found.missing == []
    assert found.facts["torch"] == metadata.version("torch")
    assert found.facts["base models"] == "minilm"


def test_what_is_missing_comes_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("openvino", "pip"):
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor, "describe_machine", lambda: MACHINE)
    found = doctor.examine()
    document = found.as_document()
    assert [entry["what"] for entry in document["missing"]] == ["the library openvino", "git"]
    assert "openvino>=" in document["missing"][0]["install"]
    assert document["missing"][1]["install"] == "sudo apt-get install git"


def test_every_library_that_is_installed_with_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    missing = {problem.message for problem in doctor.examine().missing}
    assert {f"the library {name}" for name in ("duckdb", "fastapi", "scipy", "scikit-learn", "pyyaml")} <= missing
    assert not missing & {"the library pytest", "the library mkdocs"}


def test_what_is_optional_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "pip" else "1.0")
    monkeypatch.setattr(doctor, "describe_machine", lambda: MACHINE)
    document = doctor.examine().as_document()
    assert [entry["install"] for entry in document["optional"]][:2] == [
        "modelyard fetch minilm",
        "modelyard fetch e5-small",
    ]
    assert any("VNNI" in entry["what"] for entry in document["optional"])
    assert any("ensurepip" in entry["install"] for entry in document["optional"])


def test_a_gpu_is_named_and_a_driver_that_hangs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    answer = subprocess.CompletedProcess([], 0, stdout="NVIDIA H100, 81559 MiB\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: answer)
    assert doctor.examine().facts["gpu"] == "NVIDIA H100, 81559 MiB"

    def hang(*_: object, **options: object) -> object:
        if "timeout" in options:
            raise subprocess.TimeoutExpired("nvidia-smi", 10)
        return answer

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert doctor.examine().facts["gpu"] == "nvidia-smi does not answer"


MACHINE = {
    "system": "Linux",
    "processor": "old",
    "cores": 1,
    "memory_bytes": 10**9,
    "cpu_flags": ["avx2"],
    "python": "3.11.0",
}
