"""What Prometheus reads at `/metrics`, all in one registry of the service's own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary, generate_latest

from modelyard.serving.queue import BatchDone

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
"""Buckets of times: the promise of 500 ms and its neighbours are edges, so that a p95 near it is not interpolated."""
ROWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The service's figures."""

    def __init__(self, release: str, project: str, engine: str) -> None:
        self.registry = registry = CollectorRegistry()
        Info("modelyard_release", "The release that answers.", registry=registry).info(
            {"release": release, "project": project, "engine": engine}
        )
        self.processing = Summary(
            "request_processing_seconds", "Seconds from a /predict request's head to its answer's.", registry=registry
        )
        self._requests = Histogram(
            "modelyard_request_seconds", "Seconds by route and status.", ["route", "status"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge("modelyard_queue_rows", "Rows that wait or are being computed.", registry=registry)
        self.ready = Gauge("modelyard_ready", "1 when the engine answers, else 0.", registry=registry)
        self._batch_rows = Histogram("modelyard_batch_rows", "Rows of a batch.", buckets=ROWS, registry=registry)
        self._batch_seconds = Histogram(
            "modelyard_batch_seconds", "Seconds of a batch in the engine.", buckets=SECONDS, registry=registry
        )
        self._tokens = Counter(
            "modelyard_tokens", "Tokens computed, by kind: text or padding.", ["kind"], registry=registry
        )
        self._text, self._padding = self._tokens.labels("text"), self._tokens.labels("padding")
        self.failures = Counter(
            "modelyard_engine_failures", "Requests that the engine could not answer.", registry=registry
        )

    def batch_done(self, done: BatchDone) -> None:
        """Count one batch."""
        self._batch_rows.observe(done.rows)
        self._batch_seconds.observe(done.seconds)
        self._text.inc(done.tokens)
        self._padding.inc(done.padded_tokens - done.tokens)

    def request_done(self, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is one of the service's own paths or `other`, never what a client made up."""
        self._requests.labels(route, str(status)).observe(seconds)
        if route == "/predict":
            self.processing.observe(seconds)

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)
