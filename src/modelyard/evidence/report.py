"""The one report schema that every stage and every benchmark writes."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict


class Measurement(BaseModel):
    """A number with its interval; `scope` as in `Verdict`, `subject` the candidate or split it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scope: str = "overall"
    subject: str = ""
    interval: Interval


class Report(BaseModel):
    """What a stage did and found: `reports/STAGE.json`.

    Equal work gives an equal file: clock times and resources live in `RunRecord`.

    Attributes:
        schema_version: version of this document's layout, `schema` in JSON.
        stage: name of the stage.
        project: name of the project, or of the file or folder for a command that stands alone.
        inputs: name -> digest (`sha256:…`) of everything the stage read.
        parameters: what was set and what was derived, each derived one with its reason.
        measurements: every number, with its interval.
        verdicts: every rule, with its outcome.
        notes: sentences a person should read: derivations, why each other candidate was not chosen.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    stage: str
    project: str
    inputs: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    measurements: list[Measurement] = []
    verdicts: list[Verdict] = []
    notes: list[str] = []


class RunRecord(BaseModel):
    """What a stage took: `reports/STAGE.run.json`. Nothing depends on it, so equal work keeps equal digests.

    Attributes:
        schema_version: version of this document's layout, `schema` in JSON.
        stage: name of the stage.
        start: when it began, in UTC.
        end: when it ended, in UTC.
        wall_seconds: by a clock that nobody sets.
        cpu_seconds: of this process and the children it waited for.
        gpu_seconds: time a GPU was busy; None where nobody measured it, which no stage does yet. The first files say
            0.0 and mean the same.
        peak_memory_bytes: the largest resident set, of this process or of any one child it waited for; where several
            ran at once, an upper bound of what all took together.
        memory_limit_bytes: what the stage was allowed; None where it has no limit.
        machine: what it ran on, as `describe_machine` tells it.
        versions: library -> version.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    stage: str
    start: datetime
    end: datetime
    wall_seconds: float
    cpu_seconds: float
    gpu_seconds: float | None = None
    peak_memory_bytes: int
    memory_limit_bytes: int | None = None
    machine: dict[str, Any]
    versions: dict[str, str]
