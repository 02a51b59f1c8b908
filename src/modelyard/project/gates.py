"""The `gates:` section: what the chosen artefact must prove before it is released."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from modelyard.project.section import Section


class WaiverSection(Section):
    """A person lets one INCONCLUSIVE verdict pass; that stands in the report and the model card for ever."""

    rule: str
    """Rule that is waived."""
    scope: str = "overall"
    """Scope that is waived, as the verdict names it."""
    by: str = Field(min_length=1)
    """Name of the person."""
    on: Annotated[date, Field(strict=False)]
    """Day of the decision, YYYY-MM-DD."""
    reason: str = Field(min_length=1)
    """Why it may pass."""


class GatesSection(Section):
    """Limits in fractions (0.01 is one point of accuracy) and milliseconds. null: not asked for."""

    accuracy_min: float | None = Field(None, ge=0, le=1)
    """Least accuracy on test: the whole interval must lie above. Fraction."""
    drop_max: float = Field(0.01, gt=0, lt=1)
    """Largest loss of accuracy of a compressed model against the trained one, paired. Fraction."""
    slice_drop_max: float = Field(0.03, gt=0, lt=1)
    """The same for every slice and every class. Fraction."""
    latency_p95_ms_max: float | None = Field(None, gt=0)
    """Largest 95th percentile of the time of one row on this machine. Milliseconds."""
    compressed: Literal["optional", "required"] = "optional"
    """required: refuse to release the uncompressed export."""
    versus: Literal["none"] = "none"
    """Compare with the model in production. Only `none` until there is a registry."""
    waivers: list[WaiverSection] = Field(default_factory=list)
    """INCONCLUSIVE verdicts that a person lets pass. A FAIL cannot be waived."""
