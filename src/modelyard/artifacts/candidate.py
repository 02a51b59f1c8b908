"""`candidates/`: the compressed models that were tried, each with its card, and the one that was chosen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.artifacts.documents import read_document
from modelyard.artifacts.files import digest_bytes, digest_file
from modelyard.evidence.interval import Interval
from modelyard.evidence.judge import Verdict

MARK = "choice.json"
EngineName = Literal["torch", "onnx", "openvino"]
_NEXT = "run `modelyard compress` again"


class Card(BaseModel):
    """`candidates/NAME/card.json`.

    Attributes:
        schema_version: `schema` in JSON.
        name: the folder's name.
        technique: in words, for a reader.
        engine: which engine runs it.
        compressed: False for the plain export, which is judged by parity and not by statistics.
        artefact: file names of the artefact, relative to the candidate's folder.
        batch_rows: rows it answers at once: 1 where an answer may depend on its companions in a batch.
        digest: digest of the artefact's files.
        size_bytes: of the artefact's files.
        dtypes: bytes of weights held in each dtype, counted inside the file.
        latency_ms: time of a batch of one typical row.
        speed_ratio: time of the uncompressed export over this one's, interleaved on the same rows, each in batches of
            its own `batch_rows`; above 1 is faster.
        peak_memory_bytes: of a process that loads it and answers, above one that loads nothing.
        accuracy: name of the split -> accuracy with its Wilson interval.
        verdicts: its candidate verdicts.
        cpu_flags: of the machine it was measured on.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    technique: str
    engine: EngineName
    compressed: bool
    artefact: list[str]
    batch_rows: int = 32
    digest: str
    size_bytes: int
    dtypes: dict[str, int]
    latency_ms: Interval | None = None
    speed_ratio: Interval | None = None
    peak_memory_bytes: int | None = None
    accuracy: dict[str, Interval] = {}
    verdicts: list[Verdict] = []
    cpu_flags: list[str] = []


class Choice(BaseModel):
    """`candidates/choice.json`: the chosen candidate and the order in which they were ranked."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    chosen: str
    ranked: list[str]
    not_chosen: dict[str, str]
    model: str


def digest_artefact(folder: Path, artefact: Sequence[str]) -> str:
    """Digest of a candidate's artefact files: of the lines `DIGEST  NAME` in the order of the names."""
    return digest_bytes("".join(f"{digest_file(folder / name)}  {name}\n" for name in sorted(artefact)).encode())


def read_choice(folder: Path) -> Choice:
    """Read which candidate was chosen.

    Raises:
        InputError: the folder was not written by `compress`.
    """
    return read_document(folder / MARK, Choice, next_step=_NEXT)


def read_card(folder: Path) -> Card:
    """Read one candidate's card; `folder` is the candidate's own.

    Raises:
        InputError: it is missing or broken.
    """
    return read_document(folder / "card.json", Card, next_step=_NEXT)
