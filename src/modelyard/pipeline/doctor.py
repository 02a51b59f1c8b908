"""What this machine has and lacks."""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from modelyard.artifacts.reports import describe_machine
from modelyard.errors import Problem

SHOWN = ("torch", "transformers", "tokenizers", "onnx", "onnxruntime", "openvino", "nncf", "dvc", "polars", "duckdb")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        facts: name -> value, for a reader.
        missing: what `modelyard run` needs and is not there.
        optional: what some uses need.
    """

    facts: dict[str, str]
    missing: list[Problem]
    optional: list[Problem]

    def as_document(self) -> dict[str, Any]:
        """For a program."""
        return {
            "schema": 1,
            "facts": self.facts,
            "missing": [{"what": problem.message, "install": problem.next_step} for problem in self.missing],
            "optional": [{"what": problem.message, "install": problem.next_step} for problem in self.optional],
        }


def examine(cached_models: list[str] | None = None) -> Findings:
    """Look at the machine without loading an engine.

    Args:
        cached_models: names of the base models in the cache.
    """
    machine = describe_machine()
    required = _required()
    versions = {name: _version(name) for name in SHOWN}
    facts = {
        "system": machine["system"],
        "python": f"{machine['python']} ({sys.executable})",
        "processor": f"{machine['processor']}, {machine['cores']} cores",
        "cpu flags": ", ".join(machine["cpu_flags"]) or "none of those that kernels choose by",
        "memory": f"{machine['memory_bytes'] / 1e9:.1f} GB",
        "gpu": _gpu() or "none",
        **{name: version or "missing" for name, version in versions.items()},
        "git": _git() or "missing",
        "base models": ", ".join(cached_models or []) or "none in the cache",
    }
    missing = [
        Problem(f"the library {name}", f"{sys.executable} -m pip install {shlex.quote(wanted)}")
        for name, wanted in required.items()
        if _version(name) is None
    ]
    if not _git():
        missing.append(Problem("git", "sudo apt-get install git"))
    optional = []
    if not cached_models:
        optional.append(Problem("a base model for English text", "modelyard fetch minilm"))
        optional.append(Problem("a base model for Chinese and other languages", "modelyard fetch e5-small"))
    if not {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"} & set(machine["cpu_flags"]):
        optional.append(Problem("int8 instructions (VNNI)", "none to install: int8 models gain less on this processor"))
    if _version("pip") is None:
        optional.append(Problem("pip, which `modelyard fetch` uses", f"{sys.executable} -m ensurepip"))
    return Findings(facts, missing, optional)


def _required() -> dict[str, str]:
    """Every library that Modelyard is installed with -> the version it asks for, as pip writes it."""
    plain = (line.partition(";")[0].strip() for line in metadata.requires("modelyard") or [] if "extra ==" not in line)
    return {name[0]: line for line in plain if (name := _NAME.match(line))}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git() -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.removeprefix("git version ").strip() or "there"


def _gpu() -> str | None:
    """Name and memory of each NVIDIA GPU, from its driver's own program; torch is not loaded for it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    return "; ".join(done.stdout.strip().splitlines()) or None
