"""Texts through the real service, inside this process: every layer but the socket."""

import asyncio
import json
from collections.abc import Sequence

import httpx
import numpy as np
from fastapi import FastAPI

from modelyard.engines.base import Logits
from modelyard.errors import InputError, Problem
from modelyard.progress import Progress, silent


def ask_over_http(
    app: FastAPI, texts: Sequence[str], *, texts_per_request: int, progress: Progress = silent, what: str = "ask"
) -> Logits:
    """Logits of the texts from `POST /predict`, one request after the other, so that equal work gives equal batches.

    Args:
        app: a service whose queue runs.
        texts: what is asked, at least one.
        texts_per_request: texts of one request.
        progress: told after each request.
        what: its phrase.

    Returns:
        Shape (texts, labels).

    Raises:
        InputError: a request was not answered with status 200.
    """

    async def ask() -> list[list[float]]:
        transport = httpx.ASGITransport(app=app)
        found: list[list[float]] = []
        async with httpx.AsyncClient(transport=transport, base_url="http://audit", timeout=None) as client:
            for start in range(0, len(texts), texts_per_request):
                part = list(texts[start : start + texts_per_request])
                response = await client.post("/predict", content=json.dumps({"inputs": part}))
                if response.status_code != 200:
                    raise _unanswered(start, response)
                found += [answer["logits"] for answer in response.json()["predictions"]]
                progress(what, len(found), len(texts))
        return found

    return np.array(asyncio.run(ask()), dtype=np.float32)


def _unanswered(start: int, response: httpx.Response) -> InputError:
    return InputError(
        Problem(
            f"the service answered the request from text {start + 1} on with {response.status_code}: "
            f"{response.text[:200]}",
            "run `modelyard compress` again; if it stays, this candidate cannot be served",
            "audit",
        )
    )
