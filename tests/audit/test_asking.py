"""Texts through an app in this process."""

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from modelyard.audit.asking import ask_over_http
from modelyard.errors import InputError


def make_app(requests: list[int], status: int = 200) -> FastAPI:
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        texts = (await request.json())["inputs"]
        requests.append(len(texts))
        return JSONResponse({"predictions": [{"logits": [len(text), 0]} for text in texts]}, status_code=status)

    return app


def test_every_text_is_asked_once_in_requests_of_the_size_wanted() -> None:
    sizes: list[int] = []
    told: list[tuple[str, int, int]] = []

    def progress(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    texts = ["a" * length for length in range(1, 8)]
    found = ask_over_http(make_app(sizes), texts, texts_per_request=3, progress=progress, what="ask")
    assert found[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert sizes == [3, 3, 1]
    assert told[-1] == ("ask", 7, 7)


def test_a_request_without_an_answer_stops_the_audit() -> None:
    with pytest.raises(InputError, match="from text 1 on with 503"):
        ask_over_http(make_app([], 503), ["a"], texts_per_request=1)


def test_what_is_asked_may_be_any_text() -> None:
    texts = ["<b>&", "中文，标点。", '"quoted"\\', "a\nb\tc", "\u2028", "😀"]
    found = ask_over_http(make_app([]), texts, texts_per_request=2)
    assert found[:, 0].tolist() == [len(text) for text in texts]
