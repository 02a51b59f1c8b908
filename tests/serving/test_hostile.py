"""What strangers send: over the app's interface, and over a real socket where bytes matter. Never a 5xx."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

MODELYARD = str(Path(sys.executable).parent / "modelyard")


def test_no_request_that_the_document_suggests_is_a_5xx(
    serving: Callable[..., AbstractContextManager[TestClient]],
) -> None:
    asked: Counter[str] = Counter()
    with serving() as client:
        document = schemathesis.openapi.from_asgi("/openapi.json", client.app)
        for found in document.get_all_operations():
            operation = found.ok()
            for mode in GenerationMode:  # what the document allows, and what it does not

                @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
                @given(case=operation.as_strategy(generation_mode=mode))
                def ask(case: Any) -> None:
                    asked[case.operation.path] += 1
                    case.call_and_validate(checks=[not_a_server_error])

                with contextlib.suppress(Unsatisfiable):  # nothing wrong can be sent where nothing is taken
                    ask()
    assert {"/predict", "/info", "/health/live", "/health/ready", "/metrics"} == set(asked)
    assert asked["/predict"] >= 40


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"inputs": "a"', 400),
        (b'{"inputs": "\xff\xfe"}', 400),  # not UTF-8
        (b'\xff\xfe{\x00"\x00', 400),
        (b"[" * 190, 400),
        (b"null", 422),
        (b'{"inputs": null}', 422),
        (b'{"inputs": 1}', 422),
        (b'{"inputs": [1, "a"]}', 422),
        (b'{"inputs": {"a": "b"}}', 422),
        (b'{"inputs": [["a"]]}', 422),
        (b'{"inputs": ""}', 422),
        (b'{"inputs": " \\u3000\\n"}', 422),
        (b'{"inputs": "\\ud800"}', 422),
        (b'{"inputs": NaN}', 422),
        (b'{"inputs": "a", "inputs": 1e999}', 422),
        (b'{"inputs": "a\\u0000b"}', 200),  # a strange letter, but a letter
        ('{"inputs": "😀，「全角」"}'.encode(), 200),
    ],
)
def test_bodies(client: TestClient, body: bytes, status: int) -> None:
    response = client.post("/predict", content=body)
    assert response.status_code == status, response.text
    if status != 200:
        assert all(item["message"] and item["next_step"] for item in response.json()["problems"])


@pytest.fixture(scope="module")
def service(sealed_once: Any) -> Iterator[int]:
    """`modelyard serve` in a process of its own; its port."""
    command = [MODELYARD, "serve", str(sealed_once.folder), "--port", "0", "--trusted-key", str(sealed_once.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield int(line.split("http://127.0.0.1:")[1].split(" ")[0])
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (0, "")  # nor could a stranger fill its log
        finally:
            process.kill()


def exchange(port: int, data: bytes, patience: float = 30) -> bytes:
    """What comes back for raw bytes until the other side closes, or says nothing for so many seconds."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        connection.sendall(data)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while piece := connection.recv(65536):
                found += piece
    return found


def post(body: bytes, more: bytes = b"") -> bytes:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + more
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_a_body_of_10_mb_is_413_and_the_service_goes_on(service: int) -> None:
    with socket.create_connection(("127.0.0.1", service), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n")
        assert b" 413 " in connection.recv(65536).split(b"\r\n")[0]
    assert b" 200 " in exchange(service, post(b'{"inputs": "good"}')).split(b"\r\n")[0]


@pytest.mark.parametrize("chunked", [False, True])
def test_10_mb_that_are_really_sent_are_413_and_the_service_goes_on(service: int, chunked: bool) -> None:
    body = b'{"inputs": "' + b"a" * 10 * 1024 * 1024 + b'"}'
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
    if chunked:  # nothing says beforehand how much will come
        pieces = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
        sent = head + b"Transfer-Encoding: chunked\r\n\r\n"
        sent += b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    else:
        sent = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answers: list[bytes] = []

    def read(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):  # a reset may overtake the answer
            answers.append(connection.recv(65_536))

    with socket.create_connection(("127.0.0.1", service), timeout=30) as connection:
        reader = threading.Thread(target=read, args=(connection,), daemon=True)
        reader.start()
        with contextlib.suppress(ConnectionError):  # it is closed while this still sends
            connection.sendall(sent)
        reader.join(30)
    assert all(b" 413 " in answer.split(b"\r\n")[0] for answer in answers)
    assert answers or chunked  # the length told the service at once
    assert b" 200 " in exchange(service, post(b'{"inputs": "good"}')).split(b"\r\n")[0]


def test_100000_characters_are_read_and_one_more_is_not(service: int) -> None:
    for letters, status in ((100_000, b" 200 "), (100_001, b" 422 ")):
        body = json.dumps({"inputs": "a" * letters}).encode()
        assert status in exchange(service, post(body)).split(b"\r\n")[0]


def test_a_head_without_end_is_431_and_the_service_goes_on(service: int) -> None:
    with socket.create_connection(("127.0.0.1", service), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # it is closed while this still sends
            connection.sendall(b"GET /?text=")
            for _ in range(1_000):
                connection.sendall(b"a" * 1_000)
        with contextlib.suppress(ConnectionError):
            assert b" 431 " in (connection.recv(65536) + b"\r\n").split(b"\r\n")[0]
    assert b" 200 " in exchange(service, post(b'{"inputs": "good"}')).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
    ],
)
def test_bytes_that_are_no_request_harm_nobody(service: int, data: bytes) -> None:
    first = exchange(service, data, patience=0.3).split(b"\r\n")[0]
    assert b" 5" not in first
    assert b" 200 " in exchange(service, post(b'{"inputs": "good"}')).split(b"\r\n")[0]


def test_a_slow_client_holds_up_nobody(service: int) -> None:
    with socket.create_connection(("127.0.0.1", service), timeout=30) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\n{")
        answers = []
        asking = [
            threading.Thread(target=lambda: answers.append(exchange(service, post(b'{"inputs": "good"}'))))
            for _ in range(8)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(30)
        assert len(answers) == 8
        assert all(b" 200 " in answer.split(b"\r\n")[0] for answer in answers)
        slow.sendall(b'"inputs": "good"}')
        assert b" 200 " in slow.recv(65536).split(b"\r\n")[0]


def test_who_hangs_up_in_the_middle_harms_nobody(service: int) -> None:
    for cut in (10, 60, 90):
        with socket.create_connection(("127.0.0.1", service), timeout=30) as connection:
            connection.sendall(post(b'{"inputs": "good"}')[:cut])
    time.sleep(0.1)
    assert b" 200 " in exchange(service, post(b'{"inputs": "good"}')).split(b"\r\n")[0]
