"""Services under measurement: started on this machine's loopback, waited for, asked, weighed, stopped."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
MODELYARD = str(Path(sys.executable).parent / "modelyard")
LITSERVE = ["litserve==0.2.19", "pyzmq==27.3.0"]
START_SECONDS = 180


@dataclass(frozen=True)
class Service:
    """A running service; `name` as in the results."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}/predict"

    def ask(self, text: str) -> dict[str, Any]:
        """The answer to one text."""
        data = json.dumps({"inputs": text}).encode()
        request = urllib.request.Request(self.url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def memory_bytes(self) -> int:
        """Proportional set size of its processes: shared pages are counted once in all."""
        root = psutil.Process(self.process.pid)
        return sum(one.memory_full_info().pss for one in [root, *root.children(recursive=True)])


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def litserve_python(work: Path) -> str:
    """Python of an environment of LitServe's own, which borrows the big libraries (torch, openvino) from this one."""
    folder = work / "litserve"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        venv.create(folder, clear=True, with_pip=True)
        own = next(folder.glob("lib/python*/site-packages"))
        ours = next(Path(sys.prefix).glob("lib/python*/site-packages"))
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", *LITSERVE], check=True)
        (own / "borrowed.pth").write_text(f"{ours}\n", encoding="utf-8")
        (folder / "made").touch()
    return str(python)


@contextlib.contextmanager
def running(name: str, command: list[str], port: int) -> Iterator[Service]:
    """Start a service, wait until it answers a text, and stop it at the end with all it started."""
    log = (HERE.parent / ".work" / f"{name}.log").open("wb")
    with subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as process:
        service = Service(name, process, port)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                    service.ask("a first question")
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start: see {log.name}")
                time.sleep(0.2)
            yield service
        finally:
            family = [process, *psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    os.kill(one.pid, 9)


def modelyard(project: Path, port: int, *, unsigned: bool) -> list[str]:
    """`modelyard serve` on the project's release, or on its trained model as a plain folder."""
    if unsigned:
        return [MODELYARD, "serve", str(project / "model"), "--unsigned", "--port", str(port)]
    key = ["--trusted-key", str(project / "keys/team.pub")]
    return [MODELYARD, "serve", str(project / "release"), *key, "--port", str(port)]


def ask_many(service: Service, bodies: Path, *, clients: int, seconds: float, skip: int = 0) -> dict[str, Any]:
    """One run of load.py in a process of its own."""
    command = [sys.executable, str(HERE / "load.py"), service.url, str(bodies), "--clients", str(clients)]
    command += ["--seconds", str(seconds), "--skip", str(skip)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 120)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
