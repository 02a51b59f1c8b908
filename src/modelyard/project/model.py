"""The `model:` section."""

from pydantic import Field

from modelyard.project.section import Section


class ModelSection(Section):
    """The model that is trained."""

    base: str
    """Folder of a Hugging Face model, relative to the project, or a hub identifier already in the local cache."""
    revision: str | None = None
    """Revision of a hub identifier; required for one, so that the same name is always the same model."""
    fresh: bool = False
    """Draw the weights anew from `train.seed`: the base's config and tokenizer are used, its weights are not read."""
    max_length_tokens: int | None = Field(None, ge=8, le=32768)
    """Rows are cut to this many tokens. null: what 99.9% of the train rows need, at most what the positions allow."""
