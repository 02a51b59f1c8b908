"""What a person opens, in the real Chromium: the service's own page, and the documentation site."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed: make system-tests"),
]
ROOT = Path(__file__).parents[2]
MODELYARD = str(Path(sys.executable).parent / "modelyard")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=4000"]


def dom_of(address: str) -> str:
    """A page as Chromium has it after its scripts ran."""
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", *QUIET, f"--user-data-dir={profile}", "--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def test_the_service_describes_itself_without_a_network(sealed: Any) -> None:
    command = [MODELYARD, "serve", str(sealed.folder), "--port", "0", "--trusted-key", str(sealed.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            printed = server.stdout.readline() + server.stdout.readline()
            address = next(word for word in printed.split() if word.startswith("http://127.0.0.1:"))
            page = dom_of("/".join(address.split("/")[:3]) + "/docs")
        finally:
            server.terminate()
    assert "/predict" in page
    assert "/info" in page
    assert "/health" in page
    assert "https://" not in page  # nothing is loaded from elsewhere


def test_the_site_opens_in_both_languages(tmp_path: Path) -> None:
    build = [str(Path(sys.executable).parent / "mkdocs"), "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    assert "nothing is released without passing" in dom_of(f"file://{tmp_path}/index.html")
    assert "十分钟上手" in dom_of(f"file://{tmp_path}/index.zh-CN/index.html")
    assert (tmp_path / "figures/gates.svg").stat().st_size > 10_000
