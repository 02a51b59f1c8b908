"""The lock can be installed on every Python that pyproject.toml promises, also on one that a system came with."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


def test_every_pin_takes_the_oldest_python_that_is_promised() -> None:
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    oldest = re.search(r">=(\d+\.\d+)", promised)
    assert oldest is not None
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(pins) > 100
    wanted = {}
    for name in pins:
        try:
            wanted[name] = metadata(name)["Requires-Python"] or ""
        except PackageNotFoundError:  # of another system, as CUDA's libraries
            continue
    assert len(wanted) > 100
    refused = {name: python for name, python in wanted.items() if f"{oldest[1]}.0" not in SpecifierSet(python)}
    assert refused == {}
