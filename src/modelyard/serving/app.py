"""The HTTP service of one release: `/predict`, `/info`, `/health`, `/docs`; one request is computed at a time."""

import json
import time
from http import HTTPStatus
from importlib import resources
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard import __version__
from modelyard.artifacts.release import describe
from modelyard.errors import InputError, Problem
from modelyard.serving.predict import Predictor, as_document, check_texts

_SHAPE = 'send {"inputs": "one text"} or {"inputs": ["many", "texts"]}, or ?text=...'


class Question(BaseModel):
    """The body of `POST /predict`."""

    model_config = ConfigDict(extra="forbid")

    inputs: StrictStr | list[StrictStr]
    """One text, or many."""


class PredictionDocument(BaseModel):
    """One answer."""

    label: str
    """The label with the largest logit."""
    probabilities: dict[str, float]
    """Softmax of the logits, by label."""
    logits: list[float]
    """The model's outputs, in label order."""


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


class TooLarge(InputError):
    """The body is larger than the limit."""


def make_app(predictor: Predictor) -> FastAPI:
    """The service of a release.

    Args:
        predictor: from `serving.predict.opened`; the caller closes it after the service has stopped.
    """
    release = predictor.release
    limits = release.manifest.limits
    app = FastAPI(
        title=release.manifest.project,
        version=__version__,
        description=f"Answers from release {release.digest}.",
        docs_url=None,  # FastAPI's page loads its script from a network
        redoc_url=None,
    )
    one_at_a_time = anyio.CapacityLimiter(1)
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": ProblemsDocument, "description": HTTPStatus(status).phrase} for status in (400, 413, 422)
    }

    @app.post(
        "/predict",
        summary="Label one text or many",
        response_model=AnswerDocument,
        responses=refusals,
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": Question.model_json_schema()}}}},
    )
    async def predict(
        request: Request, text: Annotated[str | None, Query(description="One text, instead of a body.")] = None
    ) -> JSONResponse:
        texts = _question(await _body(request, limits.body_bytes), text)
        if not 1 <= len(texts) <= limits.inputs:
            message = f"{len(texts)} inputs, a request has 1 to {limits.inputs}"
            raise InputError(Problem(message, "send them in several requests, or send at least one", "inputs"))
        check_texts(texts, limits)
        # off the event loop, so that /health answers meanwhile
        predictions = await anyio.to_thread.run_sync(predictor.answer, texts, limiter=one_at_a_time)
        return JSONResponse({"predictions": [as_document(item) for item in predictions], "release": release.digest})

    @app.get("/info", summary="What this release is")
    async def info() -> dict[str, Any]:
        return describe(release)

    @app.get("/health", summary="Whether it is up, with its model loaded")
    async def health() -> dict[str, str]:
        return {"status": "ok", "release": release.digest}

    page = _page(app)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    app.add_exception_handler(InputError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_middleware(ProcessTime)
    return app


class ProcessTime:
    """Adds `X-Process-Time`: seconds from the arrival of a request's head to the head of its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()

        async def send_timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                taken = f"{time.perf_counter() - start:.6f}".encode()
                message["headers"] = [*message.get("headers", []), (b"x-process-time", taken)]
            await send(message)

        await self.app(scope, receive, send_timed)


async def _body(request: Request, limit: int) -> bytes:
    """The body, never more than `limit` bytes of it held."""
    problem = Problem(f"the body is larger than {limit} bytes", "send fewer or shorter texts in one request", "body")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise TooLarge(problem)
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise TooLarge(problem)
    return bytes(data)


def _question(body: bytes, text: str | None) -> list[str]:
    """The texts of a request, from its body or from `?text=`."""
    if text is not None:
        if body.strip():
            raise InputError(Problem("both a body and ?text= were sent", "send one of them", "text"))
        return [text]
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}"[:200]) from error
    try:
        inputs = Question.model_validate(content).inputs
    except ValidationError as error:
        found = {(".".join(map(str, item["loc"])) or "body", item["msg"]) for item in error.errors(include_url=False)}
        raise InputError([Problem(f"{where}: {message}", _SHAPE, where) for where, message in sorted(found)]) from error
    return [inputs] if isinstance(inputs, str) else inputs


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    problems = [{"message": item.message, "next_step": item.next_step, "where": item.where} for item in error.problems]
    return JSONResponse({"problems": problems}, status_code=413 if isinstance(error, TooLarge) else 422)


async def _refuse_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    next_step = _SHAPE if error.status_code == 400 else "GET /docs lists what is answered here"
    problem = {"message": error.detail, "next_step": next_step, "where": request.url.path}
    return JSONResponse({"problems": [problem]}, status_code=error.status_code, headers=error.headers)


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
