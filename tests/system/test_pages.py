"""What a person opens, in the real Chromium: the report page, the service's own page, and the documentation site."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from modelyard.reporting.page import write_page

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed: make system-tests"),
]
ROOT = Path(__file__).parents[2]
MODELYARD = str(Path(sys.executable).parent / "modelyard")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=4000"]


def dom_of(address: str, *options: str) -> str:
    """A page as Chromium has it after its scripts ran."""
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", *QUIET, *options, f"--user-data-dir={profile}", "--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


WIDTHS = (320, 390, 1280)


def test_the_report_page_opens_in_both_languages_and_every_width(tiny_reports: Path, tmp_path: Path) -> None:
    page = write_page(tiny_reports, tmp_path / "report.html").as_uri()
    english, chinese = dom_of(page), dom_of(page, "--lang=zh-CN", "--accept-lang=zh-CN")
    assert '<html lang="en">' in english and '<html lang="zh-CN">' in chinese  # our script ran, so its digest is right
    for width in WIDTHS:
        found = measured(page, width, tmp_path)
        assert found["width"] == width and found["scroll"] <= width, found  # nothing wider than the phone
        assert found["hidden"] > 20 and found["shown"] > 20, found  # one language is hidden, so the style counts too


def test_the_report_page_prints_everything(tiny_reports: Path, tmp_path: Path) -> None:
    page, printed = write_page(tiny_reports, tmp_path / "report.html"), tmp_path / "report.pdf"
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", *QUIET, f"--user-data-dir={profile}", f"--print-to-pdf={printed}", page.as_uri()]
        subprocess.run(command, capture_output=True, check=True, timeout=120)
    data = printed.read_bytes()
    assert data.startswith(b"%PDF") and data.count(b"/Type /Page\n") + data.count(b"/Type/Page/") >= 2
    boxes = set(re.findall(rb"/MediaBox \[([^]]*)\]", data))
    assert boxes and all(box.split()[2:] == [b"594.95996", b"841.91998"] for box in boxes), boxes  # A4 in points


def measured(page: str, width: int, folder: Path) -> dict[str, int]:
    """What a browser window of a width makes of a page; a frame, as Chromium's own windows start at 500 pixels."""
    frame = folder / f"frame-{width}.html"
    frame.write_text(
        f"""<!doctype html><iframe style="border:0;width:{width}px;height:900px" src="{page}"></iframe><script>
onload = () => {{
  const inner = document.querySelector("iframe").contentDocument, root = inner.documentElement;
  const spans = [...inner.querySelectorAll("span.en, span.zh")];
  const hidden = spans.filter((one) => getComputedStyle(one).display === "none").length;
  document.title = JSON.stringify(
    {{width: root.clientWidth, scroll: root.scrollWidth, hidden, shown: spans.length - hidden}});
}};</script>""",
        encoding="utf-8",
    )
    dom = dom_of(frame.as_uri(), "--allow-file-access-from-files", "--hide-scrollbars", "--window-size=1400,1000")
    found: dict[str, int] = json.loads(dom.partition("<title>")[2].partition("</title>")[0])
    return found


@pytest.fixture
def tiny_reports(tmp_path: Path) -> Path:
    """A project's folders with long labels, a failure, and a verdict of every outcome."""
    spec = importlib.util.spec_from_file_location("made", ROOT / "tests" / "reporting" / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules.setdefault("made", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    folder: Path = module.make_project(tmp_path / "project", labels=20, slices=20, hostile=True, fails=True).folder
    return folder


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
