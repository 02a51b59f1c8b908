"""The service over its real interface, with a fake model behind it."""

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from modelyard.artifacts.release import Limits, Release, open_release
from modelyard.serving.app import make_app
from modelyard.serving.predict import Predictor
from modelyard.tasks.classification import Prediction


def by_length(texts: Sequence[str]) -> list[Prediction]:
    return [Prediction("long", {"long": 1.0, "大": 0.0}, [float(len(text)), 0.0]) for text in texts]


@pytest.fixture
def release(sealed: Any) -> Release:
    whole = open_release(sealed.folder, [sealed.key])
    limits = Limits(inputs=3, characters=20, body_bytes=200)
    return replace(whole, manifest=whole.manifest.model_copy(update={"limits": limits}))


@pytest.fixture
def client(release: Release) -> Iterator[TestClient]:
    with TestClient(make_app(Predictor(release, by_length))) as client:
        yield client


def problems(response: Any, status: int) -> list[dict[str, str]]:
    assert response.status_code == status, response.text
    found: list[dict[str, str]] = response.json()["problems"]
    assert all(set(item) == {"message", "next_step", "where"} and item["next_step"] for item in found)
    return found


def test_one_text_many_and_a_query_get_the_answer_of_the_design(client: TestClient, release: Release) -> None:
    one = client.post("/predict", json={"inputs": "four"})
    assert one.status_code == 200
    prediction = {"label": "long", "probabilities": {"long": 1.0, "大": 0.0}, "logits": [4.0, 0.0]}
    assert one.json() == {"predictions": [prediction], "release": release.digest}
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
        ({"inputs": 3}, ["inputs.list[constrained-str]", "inputs.str"]),
        ({"inputs": "a", "more": 1}, ["more"]),
        ({}, ["inputs"]),
        (["a"], ["body"]),
        (None, ["body"]),
    ],
)
def test_a_question_that_has_no_answer_is_told_why(client: TestClient, body: Any, wheres: list[str]) -> None:
    found = problems(client.post("/predict", content=json.dumps(body)), 422)
    assert len(found) == len(wheres)
    if "list[" not in wheres[0]:
        assert [item["where"] for item in found] == wheres


def test_a_lone_surrogate_is_no_text(client: TestClient) -> None:
    assert "not valid Unicode" in problems(client.post("/predict", content=b'{"inputs": "\\ud800"}'), 422)[0]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{", b"[" * 150])
def test_what_is_not_json_is_400(client: TestClient, body: bytes) -> None:
    assert problems(client.post("/predict", content=body), 400)[0]["where"] == "/predict"


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


def test_info_and_health_say_which_release_answers(client: TestClient, release: Release) -> None:
    info = client.get("/info").json()
    assert info["release"] == release.digest
    assert info["labels"] == ["long", "大"]
    assert info["limits"]["inputs"] == 3
    assert client.get("/health").json() == {"status": "ok", "release": release.digest}


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
    for path in ("/predict", "/info", "/health"):
        assert path in page.text
    assert client.get("/redoc").status_code == 404


def test_the_interface_is_described_for_programs(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    predict = document["paths"]["/predict"]["post"]
    assert set(predict["responses"]) == {"200", "400", "413", "422"}
    assert "inputs" in predict["requestBody"]["content"]["application/json"]["schema"]["properties"]


def test_one_request_is_computed_at_a_time_and_health_answers_meanwhile(release: Release) -> None:
    inside, most, entered, go = 0, 0, threading.Event(), threading.Event()

    def slow(texts: Sequence[str]) -> list[Prediction]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        entered.set()
        assert go.wait(30)
        time.sleep(0.01)
        inside -= 1
        return by_length(texts)

    with TestClient(make_app(Predictor(release, slow))) as client:
        asking = [
            threading.Thread(target=client.post, args=("/predict",), kwargs={"json": {"inputs": "a"}}) for _ in "ab"
        ]
        for thread in asking:
            thread.start()
        assert entered.wait(30)
        assert client.get("/health").status_code == 200
        go.set()
        for thread in asking:
            thread.join(30)
    assert most == 1
