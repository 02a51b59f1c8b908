"""The `serve:` section."""

from pydantic import Field

from modelyard.project.section import Section


class ObjectivesSection(Section):
    """What the service promises; alerts are made from it later."""

    latency_p95_ms: float = Field(500, gt=0)
    """95th percentile of the time of a request. Milliseconds."""
    error_rate: float = Field(0.01, gt=0, lt=1)
    """Share of requests that may fail. Fraction."""


class ServeSection(Section):
    """The running service."""

    objectives: ObjectivesSection = ObjectivesSection()
    """What the service promises."""
