"""The service over its real interface, with a fake model behind it."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from modelyard.artifacts.release import Limits
from modelyard.serving import app as module
from modelyard.serving import health

DIGEST = "sha256:" + "1" * 64


def problems(response: Any, status: int) -> list[dict[str, str]]:
    assert response.status_code == status, response.text
    found: list[dict[str, str]] = response.json()["problems"]
    assert all(set(item) == {"message", "next_step", "where"} and item["next_step"] for item in found)
    return found


def test_one_text_many_and_a_query_get_the_answer_of_the_design(client: TestClient) -> None:
    one = client.post("/predict", json={"inputs": "four"})
    assert one.status_code == 200
    # 1 / (1 + e^-4)
    chances = {"long": pytest.approx(0.9820137900379085), "大": pytest.approx(0.0179862099620915)}
    prediction = {"label": "long", "probabilities": chances, "logits": [4.0, 0.0]}
    assert one.json() == {"predictions": [prediction], "release": DIGEST}
    assert float(one.headers["x-process-time"]) >= 0
    many = client.post("/predict", json={"inputs": ["a", "好好"]}).json()["predictions"]
    assert [item["logits"][0] for item in many] == [1.0, 2.0]
    assert client.post("/predict", params={"text": "five!"}).json()["predictions"][0]["logits"] == [5.0, 0.0]


@pytest.mark.parametrize(
    ("body", "wheres"),
    [
        ({"inputs": ["", "fine", " \n"]}, ["inputs[0]", "inputs[2]"]),
        ({"inputs": "x" * 21}, ["inputs[0]"]),
        ({"inputs": []}, ["inputs"]),
        ({"inputs": ["a"] * 4}, ["inputs"]),
        ({"inputs": 3}, ["inputs"]),
        ({"inputs": ["a", None, [], True]}, ["inputs"]),
        ({"inputs": ["a", None, []]}, ["inputs[1]", "inputs[2]"]),
        ({"input": "a"}, ["input", "inputs"]),
        ({"inputs": "a", "more": 1}, ["more"]),
        ({}, ["inputs"]),
        (["a"], ["body"]),
        (None, ["body"]),
    ],
)
def test_a_question_that_has_no_answer_is_told_why(client: TestClient, body: Any, wheres: list[str]) -> None:
    found = problems(client.post("/predict", content=json.dumps(body)), 422)
    assert [item["where"] for item in found] == wheres


def test_a_lone_surrogate_is_no_text(client: TestClient) -> None:
    assert "not valid Unicode" in problems(client.post("/predict", content=b'{"inputs": "\\ud800"}'), 422)[0]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [' + b"1," * 300_000 + b"1]}",
        b'{"inputs": "a"' + b"".join(b',"k%d":1' % number for number in range(50_000)) + b"}",
        b'{"inputs": "a", "' + b"k" * 600_000 + b'": 1}',
        b'{"inputs": "a", "\\ud800\\u001b[2J": 1}',
        b'{"inputs": ' + b"1" * 5_000 + b"}",
    ],
)
def test_a_question_with_endless_mistakes_gets_a_short_answer(serving: Callable[..., Any], body: bytes) -> None:
    with serving(limits=Limits()) as client:
        response = client.post("/predict", content=body)
    assert response.status_code in (400, 422)
    assert len(response.content) < 10_000
    assert all(item["message"].isprintable() and item["where"].isprintable() for item in response.json()["problems"])


def test_the_first_twenty_problems_are_named_and_the_rest_counted(serving: Callable[..., Any]) -> None:
    with serving(limits=Limits()) as client:
        found = problems(client.post("/predict", json={"inputs": [1] * 25}), 422)
    assert len(found) == 21
    assert found[-1]["message"] == "5 problems more"


def test_a_text_longer_than_the_model_reads_is_said(serving: Callable[..., Any]) -> None:
    with serving(limits=Limits()) as client:
        whole, cut = client.post("/predict", json={"inputs": ["x" * 20, "x" * 21]}).json()["predictions"]
    assert cut["truncated"] is True
    assert "truncated" not in whole  # an answer that has nothing to say of it is as it always was


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{", b"[" * 150])
def test_what_is_not_json_is_400(client: TestClient, body: bytes) -> None:
    assert problems(client.post("/predict", content=body), 400)[0]["where"] == "body"


def test_a_body_and_a_query_together_are_refused(client: TestClient) -> None:
    problems(client.post("/predict", params={"text": "a"}, json={"inputs": "b"}), 422)
    problems(client.post("/predict", params={"text": " "}), 422)


def test_a_body_over_the_limit_is_413_with_and_without_a_declared_length(client: TestClient) -> None:
    problems(client.post("/predict", content=b" " * 201), 413)

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * 100

    problems(client.post("/predict", content=pieces()), 413)
    problems(client.post("/predict", content=b"", headers={"content-length": "9" * 30}), 413)


def test_a_body_that_does_not_come_is_408(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS", 0.05)
    sent: list[Any] = []
    pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Any:
        for piece in pieces:
            return piece
        return await asyncio.sleep(30)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}
    asyncio.run(client.app(scope, receive, send))  # type: ignore[operator,arg-type]
    assert sent[0]["status"] == 408
    assert "send it in one go" in json.loads(sent[1]["body"])["problems"][0]["next_step"]


def test_bodies_that_come_slowly_have_one_limit_together(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BODIES_BYTES", 2_000)
    statuses: list[int] = []

    async def ask(app: Any, letters: int, wait: float) -> None:
        body = b'{"inputs": "' + b"a" * letters
        pieces = iter([(body, True), (b'"}', False)])

        async def receive() -> Any:
            piece, more = next(pieces)
            await asyncio.sleep(wait if not more else 0)
            return {"type": "http.request", "body": piece, "more_body": more}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}
        await app(scope, receive, send)

    async def together(app: Any, *letters: int) -> None:
        await asyncio.gather(*(ask(app, number, 0.1) for number in letters))

    with serving(limits=Limits(body_bytes=1_500)) as client:
        asyncio.run(together(client.app, 900, 900, 900))
        assert sorted(statuses) == [200, 200, 429]
        asyncio.run(together(client.app, 900, 900))  # nothing of the first is held any more
    assert sorted(statuses) == [200, 200, 200, 200, 429]


def test_info_says_which_release_answers(client: TestClient) -> None:
    assert client.get("/info").json() == {"release": DIGEST, "engine": "fake", "labels": ["long", "大"]}


def test_who_only_reads_the_figures_sees_whether_it_is_ready(client: TestClient) -> None:
    assert "modelyard_ready 1.0" in client.get("/metrics").text


def test_a_temperature_changes_how_sure_an_answer_is_and_nothing_else(serving: Callable[..., Any]) -> None:
    with serving(temperature=2.0) as client:
        (answer,) = client.post("/predict", json={"inputs": "four"}).json()["predictions"]
    assert answer["logits"] == [4.0, 0.0]
    assert answer["probabilities"]["long"] == pytest.approx(0.8807970779778823)  # 1 / (1 + e^-2)


def test_a_full_queue_is_429_with_the_time_to_come_back(serving: Callable[..., Any]) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(rows: Sequence[Sequence[int]]) -> Any:
        entered.set()
        assert go.wait(30)
        return np.zeros((len(rows), 2), dtype=np.float32)

    with serving(run=slow, row_seconds=1.4) as client:
        asking = threading.Thread(target=client.post, args=("/predict",), kwargs={"json": {"inputs": ["a", "b"]}})
        asking.start()
        assert entered.wait(30)
        refused = client.post("/predict", content=b"not even read")
        assert client.get("/health/live").status_code == 200
        go.set()
        asking.join(30)
    assert "in time" in problems(refused, 429)[0]["message"]
    assert refused.headers["retry-after"] == "3"  # two rows of 1.4 s


def test_an_engine_that_fails_is_500_with_the_requests_id(serving: Callable[..., Any]) -> None:
    def broken(rows: Sequence[Sequence[int]]) -> Any:
        raise RuntimeError("a kernel fell over")

    with serving(run=broken) as client:
        response = client.post("/predict", json={"inputs": "a"}, headers={"x-request-id": "mine-7"})
        assert "modelyard_engine_failures_total 1.0" in client.get("/metrics").text
    (problem,) = problems(response, 500)
    assert "a kernel fell over" in problem["message"] and "mine-7" in problem["next_step"]


def test_other_addresses_and_methods_get_the_same_form(client: TestClient) -> None:
    assert problems(client.get("/nothing"), 404)[0]["where"] == "/nothing"
    response = client.get("/predict")
    problems(response, 405)
    assert response.headers["allow"] == "POST"
    assert "x-process-time" in response.headers


def test_the_docs_load_nothing_from_a_network(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert not re.findall(r"https?://|//cdn|src=|@import", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/predict", "/info", "/health/live", "/health/ready", "/metrics"):
        assert path in page.text
    assert client.get("/redoc").status_code == 404


def test_the_interface_is_described_for_programs(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    predict = document["paths"]["/predict"]["post"]
    assert set(predict["responses"]) == {"200", "400", "408", "413", "422", "429", "500", "503"}
    assert "inputs" in predict["requestBody"]["content"]["application/json"]["schema"]["properties"]


def test_the_event_loop_answers_while_the_engine_works(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(rows: Sequence[Sequence[int]]) -> Any:
        entered.set()
        assert go.wait(30)
        return np.zeros((len(rows), 2), dtype=np.float32)

    with serving(run=slow) as client:
        asking = threading.Thread(target=client.post, args=("/predict",), kwargs={"json": {"inputs": "a"}})
        asking.start()
        assert entered.wait(30)
        assert client.get("/info").status_code == 200
        monkeypatch.setattr(health, "PROBE_SECONDS", 0.01)
        figures = client.get("/metrics").text
        assert "modelyard_queue_rows 1.0" in figures
        assert "modelyard_ready 0.0" in figures
        go.set()
        asking.join(30)


def test_a_service_whose_queue_is_closed_is_503(serving: Callable[..., Any]) -> None:
    with serving() as client:
        client.queue.__exit__()
        assert "another instance" in problems(client.post("/predict", json={"inputs": "a"}), 503)[0]["next_step"]
        assert client.get("/health/ready").status_code == client.get("/health/live").status_code == 503
        client.queue._thread = threading.Thread(target=time.sleep, args=(0,))  # so that leaving joins something
        client.queue._thread.start()
