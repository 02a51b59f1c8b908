"""`.modelyard/machine.json`: what measured speeds hold for; on another one `compress` runs anew."""

import json
from importlib import metadata
from pathlib import Path

from modelyard.artifacts.files import write_text
from modelyard.artifacts.reports import describe_machine

ENGINES = ("torch", "onnxruntime", "openvino", "nncf")
PLACE = Path(".modelyard") / "machine.json"


def write_machine(project: Path) -> Path:
    """Write the fingerprint of this machine, only where it changed, and return its path."""
    machine = describe_machine()
    fingerprint = {
        "schema": 1,
        "processor": machine["processor"],
        "cores": machine["cores"],
        "cpu_flags": machine["cpu_flags"],
        "engines": engine_versions(),
    }
    path = project / PLACE
    text = json.dumps(fingerprint, indent=2) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_text(path, text)
    return path


def engine_versions() -> dict[str, str]:
    """Versions of the engines that are installed."""
    found = {}
    for name in ENGINES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
