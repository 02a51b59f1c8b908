"""`modelyard.yaml` as a whole."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from modelyard.project.compress import CompressSection
from modelyard.project.data import DataSection
from modelyard.project.gates import GatesSection
from modelyard.project.model import ModelSection
from modelyard.project.release import ReleaseSection
from modelyard.project.section import Section
from modelyard.project.serve import ServeSection
from modelyard.project.train import TrainSection


class ProjectSchema(Section):
    """A Modelyard project."""

    model_config = ConfigDict(title="modelyard.yaml", populate_by_name=True)

    schema_version: Literal[1] = Field(alias="schema")
    """Version of this file's layout."""
    project: str = Field(pattern=r"^\w[\w.-]{0,63}$")
    """Name of the project: up to 64 letters (of any script), digits, `.`, `_` and `-`."""
    task: Literal["classification", "multi_label_classification", "causal_lm", "seq2seq_lm", "preference"] = (
        "classification"
    )
    """What it learns. multi_label_classification: a row may have several labels. preference: data are only checked."""
    data: DataSection
    """The raw files."""
    model: ModelSection | None = None
    """The base model and where its rows are cut. null: the project only checks data."""
    train: TrainSection = TrainSection()
    """How it is fine-tuned."""
    compress: CompressSection = CompressSection()
    """Which compressed candidate is wanted."""
    gates: GatesSection = GatesSection()
    """What must be proven before a release."""
    release: ReleaseSection = ReleaseSection()
    """Keys: who signs and whom to trust."""
    serve: ServeSection = ServeSection()
    """What the running service promises."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of `modelyard.yaml`, with every key described."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ProjectSchema.model_json_schema()}
