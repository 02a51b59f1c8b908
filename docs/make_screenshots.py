"""Every picture under docs/screenshots, from one project that ran to its release, in headless Chromium.

    pip install pypdfium2 pillow
    python docs/make_screenshots.py .work/reviews

Speaks the DevTools protocol, so that a phone is as narrow as a phone, dark is what a system set to dark asks for, and
the print is what a printer gets.
"""

import argparse
import base64
import contextlib
import io
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from modelyard.reporting.page import write_page

FOLDER = Path(__file__).parent / "screenshots"
WIDE, PHONE = 1280, 390
GAP = 30
GREY = (198, 204, 214)


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.numbers = socket, itertools.count(1)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command, and what it answers."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=120))
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                found: dict[str, Any] = answer["result"]
                return found

    def run(self, script: str) -> Any:  # noqa: ANN401
        """The value of a JavaScript expression, once it is settled."""
        return self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)["result"].get(
            "value"
        )

    def open(self, address: str, *, width: int, height: int, dark: bool = False, chinese: bool = False) -> None:
        """Show a page in a window of a size, in a colour scheme and a language."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.enable")
        self.call("Page.navigate", url=address)
        while self.run("document.readyState") != "complete" or self.run("location.href") != address:
            time.sleep(0.05)
        if chinese:
            self.run('document.getElementById("language-zh").click()')

    def picture(self, *, top: float = 0.0, width: int, height: int) -> Image.Image:
        """A part of the page, from `top` pixels below its beginning on."""
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def top_of(self, selector: str) -> float:
        """Where an element begins, in pixels below the page's beginning."""
        found: float = self.run(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().top + scrollY")
        return max(0.0, found - 20)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium with one empty page, ended at the end."""
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en-US"]
        command += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            port_file = Path(profile) / "DevToolsActivePort"
            while not port_file.is_file() or len(port_file.read_text().split()) < 2:
                time.sleep(0.1)
            port, path = port_file.read_text().split()
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as root:
                target = next(
                    one for one in Browser(root).call("Target.getTargets")["targetInfos"] if one["type"] == "page"
                )
            page = f"ws://127.0.0.1:{port}/devtools/page/{target['targetId']}"
            with connect(page, max_size=None) as socket:
                yield Browser(socket)
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def service(project: Path) -> Iterator[str]:
    """`modelyard serve` of the project's release; its address."""
    command = [sys.executable, "-c", "import sys; from modelyard.cli.main import main; main(sys.argv[1:])"]
    process = subprocess.Popen(
        [*command, "serve", "release", "--port", "0"], cwd=project, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert found is not None, "the service did not start"
        yield found[0]
    finally:
        process.terminate()
        process.wait(60)


def report_pictures(seen: Browser, page: str) -> None:
    """The report: its head in both languages, its middle dark, a phone's columns."""
    for name, chinese in (("report-wide", False), ("report-zh", True)):
        seen.open(page, width=WIDE, height=1000, chinese=chinese)
        save(name, seen.picture(width=WIDE, height=2560))
    seen.open(page, width=WIDE, height=1000, dark=True)
    save("report-dark", seen.picture(top=seen.top_of("#data"), width=WIDE, height=2500))
    seen.open(page, width=PHONE, height=844)
    places = [0.0, *(seen.top_of(selector) for selector in ("#stage-4", "#data", "#ladder"))]
    save("report-phone", beside([seen.picture(top=top, width=PHONE, height=1500) for top in places]))


def print_picture(seen: Browser, page: str) -> None:
    """Two pages of the print: the first one, and the one on which the audit stands."""
    seen.open(page, width=WIDE, height=1000)
    data = base64.b64decode(seen.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])
    pages = pypdfium2.PdfDocument(data)
    texts = [one.get_textpage().get_text_range() for one in pages]
    audit = next(number for number, text in enumerate(texts) if "parity_served" in text)
    save("report-print", beside([pages[number].render(scale=1.33).to_pil().convert("RGB") for number in (0, audit)]))


def service_pictures(seen: Browser, address: str) -> None:
    """The service's own page, light and dark, after it was asked something."""
    for name, dark in (("service-docs", False), ("service-docs-dark", True)):
        seen.open(f"{address}/docs", width=900, height=1000, dark=dark)
        seen.run(
            'document.getElementById("body").value = '
            + json.dumps('{"inputs": ["what a lovely phone", "the screen was broken"]}')
        )
        seen.run('document.getElementById("ask").click()')
        while seen.run('document.getElementById("answer").textContent.startsWith("The answer")'):
            time.sleep(0.05)
        save(name, seen.picture(width=900, height=seen.run("document.documentElement.scrollHeight")))


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Pictures side by side on grey."""
    width = sum(one.width for one in pictures) + GAP * (len(pictures) - 1)
    whole = Image.new("RGB", (width, max(one.height for one in pictures)), GREY)
    left = 0
    for one in pictures:
        whole.paste(one, (left, 0))
        left += one.width + GAP
    return whole


def save(name: str, picture: Image.Image) -> None:
    """Write a picture with 256 colours, which is a third of its size; rare ones, such as a FAIL's red, are kept."""
    small = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(FOLDER / f"{name}.png", optimize=True)


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a project with reports, an audit among them, and a release")
    project = parser.parse_args().project.resolve()
    page = write_page(project).resolve().as_uri()
    with browser() as seen:
        report_pictures(seen, page)
        print_picture(seen, page)
        with service(project) as address:
            service_pictures(seen, address)


if __name__ == "__main__":
    main()
