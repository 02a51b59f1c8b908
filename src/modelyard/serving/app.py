"""The HTTP service of one model: `/predict`, `/info`, `/health/live`, `/health/ready`, `/metrics`, `/docs`."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from modelyard import __version__
from modelyard.errors import InputError, Problem
from modelyard.serving.door import Door, Hold, refusal
from modelyard.serving.health import why_not_live, why_not_ready
from modelyard.serving.metrics import CONTENT_TYPE, Metrics
from modelyard.serving.predict import Predictor, as_document, check_texts
from modelyard.serving.question import NotJson, Question, read_question
from modelyard.serving.queue import EngineQueue, QueueClosed, QueueFull, RowFailed
from modelyard.serving.watch import Watched
from modelyard.tasks.classification import decode

CLIENT_GONE = 499
"""What nginx calls a request whose client hung up."""
BODY_SECONDS = 10.0
"""A body that is not here by then is given up: whoever sends it a byte a second holds a place for ever."""
BODIES_BYTES = 64 * 1024 * 1024
"""Of all bodies that are being received together: a thousand clients may each send a slow megabyte."""


class PredictionDocument(BaseModel):
    """One answer."""

    label: str
    """The label with the largest logit."""
    probabilities: dict[str, float]
    """Softmax of the logits, divided by the release's temperature, by label."""
    logits: list[float]
    """The model's outputs, in label order."""
    truncated: bool = False
    """There, and true, where the text is longer than the model reads (`max_length_tokens` of `/info`): its end was
    left out."""


class AnswerDocument(BaseModel):
    """The answer of `POST /predict`."""

    predictions: list[PredictionDocument]
    """In the order of the inputs."""
    release: str
    """Digest of the release that answered."""


class ProblemDocument(BaseModel):
    """One thing that is wrong with a request."""

    message: str
    next_step: str
    where: str


class ProblemsDocument(BaseModel):
    """Everything that is wrong with a request."""

    problems: list[ProblemDocument]


def make_app(predictor: Predictor, queue: EngineQueue, metrics: Metrics) -> FastAPI:
    """The service of a model.

    Args:
        predictor: what answers; the caller closes it after the service has stopped.
        queue: entered by the caller: its thread runs the predictor's engine.
        metrics: what `/metrics` shows; the queue's `watch` is its `batch_done`.
    """
    limits, bodies, hold = predictor.limits, Bodies(), Hold()
    app = FastAPI(
        title=predictor.name,
        version=__version__,
        description=f"Answers from release {predictor.digest}.",
        docs_url=None,  # FastAPI's page loads its script from a network
        redoc_url=None,
    )

    @app.post(
        "/predict",
        summary="Label one text or many",
        response_model=AnswerDocument,
        responses=_refusals(400, 408, 413, 422, 429, 500, 503),
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": Question.model_json_schema()}}}},
    )
    async def predict(
        request: Request, text: Annotated[str | None, Query(description="One text, instead of a body.")] = None
    ) -> Response:
        texts = read_question(await _body(request, limits.body_bytes, bodies), text, limits)
        check_texts(texts, limits)
        answer = await queue.answer(texts)
        predictions = decode(
            answer.logits, predictor.labels, temperature=predictor.temperature, truncated=answer.truncated
        )
        return JSONResponse({"predictions": [as_document(item) for item in predictions], "release": predictor.digest})

    @app.get("/info", summary="What this release is")
    async def info() -> dict[str, Any]:
        return predictor.about

    @app.get("/health/live", summary="Whether it runs: where not, restart it", responses=_refusals(503))
    async def live() -> Response:
        return _health(why_not_live(queue), "the service", predictor)

    @app.get(
        "/health/ready", summary="Whether its engine answers: where not, send it nothing", responses=_refusals(503)
    )
    async def ready() -> Response:
        return _health(await why_not_ready(queue), "the engine", predictor)

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def figures() -> Response:
        metrics.waiting.set(queue.waiting_rows)
        metrics.ready.set(0 if await why_not_ready(queue) else 1)
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    page = _page(app)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    async def refuse_full(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, QueueFull)  # it filled up while the body came, or has more rows than most
        await hold.wait()
        return refusal(error, request.url.path)

    async def refuse_failed(request: Request, error: Exception) -> JSONResponse:
        metrics.failures.inc()
        return await _refuse_failed(request, error)

    app.add_exception_handler(InputError, _refuse)
    app.add_exception_handler(QueueFull, refuse_full)
    app.add_exception_handler(QueueClosed, _refuse_closed)
    app.add_exception_handler(RowFailed, refuse_failed)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_middleware(Door, queue=queue, path="/predict", hold=hold)
    app.add_middleware(Watched, metrics=metrics, routes=frozenset([*app.openapi()["paths"], "/docs", "/openapi.json"]))
    return app


class TooLarge(InputError):
    """The body is larger than the limit."""


class TooSlow(InputError):
    """The body did not come in time."""


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ProblemsDocument, "description": HTTPStatus(status).phrase} for status in statuses}


def _health(why_not: str, what: str, predictor: Predictor) -> Response:
    if why_not:
        return _problems(503, [Problem(f"{what} does not answer: {why_not}", "ask again, or restart it", what)])
    return JSONResponse({"status": "ok", "release": predictor.digest})


@dataclass
class Bodies:
    """What all requests together have sent of bodies that are not whole yet, in bytes."""

    held: int = 0


async def _body(request: Request, limit: int, bodies: Bodies) -> bytes:
    """The body, never more than `limit` bytes of it held, never waited for longer than 10 seconds."""
    problem = Problem(f"the body is larger than {limit} bytes", "send fewer or shorter texts in one request", "body")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise TooLarge(problem)
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                data += piece
                bodies.held += len(piece)
                if len(data) > limit:
                    raise TooLarge(problem)
                if bodies.held > max(BODIES_BYTES, limit):
                    raise QueueFull(1)
    except TimeoutError as error:
        message = f"the body was not here after {BODY_SECONDS:.0f} s"
        raise TooSlow(Problem(message, "send it in one go", "body")) from error
    finally:
        bodies.held -= len(data)
    return bytes(data)


def _problems(status: int, problems: "list[Problem] | tuple[Problem, ...]", **headers: str) -> JSONResponse:
    """Everything that is wrong, in the one form that every refusal has."""
    found = [{"message": item.message, "next_step": item.next_step, "where": item.where} for item in problems]
    return JSONResponse({"problems": found}, status_code=status, headers=headers or None)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    status = {NotJson: 400, TooLarge: 413, TooSlow: 408}.get(type(error), 422)
    return _problems(status, error.problems)


async def _refuse_closed(request: Request, error: Exception) -> JSONResponse:
    problem = Problem("the service is stopping or its engine is gone", "ask another instance", request.url.path)
    return _problems(503, [problem], **{"Retry-After": "1"})


async def _refuse_failed(request: Request, error: Exception) -> JSONResponse:
    message = f"the engine could not answer this request, {error}"[:500]
    step = f"report it with the request's id, {request.scope['request_id']}"
    return _problems(500, [Problem(message, step, request.url.path)])


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)  # for the metrics: nobody reads it


async def _refuse_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    problem = Problem(error.detail, "GET /docs lists what is answered here", request.url.path)
    return _problems(error.status_code, [problem], **(error.headers or {}))


# the page is one file of our own: it loads nothing and talks to this service only
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _page(app: FastAPI) -> str:
    from jinja2 import Environment

    template = resources.files("modelyard.serving").joinpath("docs.html.jinja").read_text(encoding="utf-8")
    document = app.openapi()
    operations = [
        {"method": method.upper(), "path": path, "summary": operation["summary"]}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return Environment(autoescape=True).from_string(template).render(info=document["info"], operations=operations)
