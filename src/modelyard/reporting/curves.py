"""How training went, step by step: `train.metrics.jsonl`, and the history that `model/` keeps."""

import json
import math
import statistics
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.artifacts.model import MARK, Training, read_training

MAX_STEPS = 1_000_000
MAX_LINE_BYTES = 64 * 1024
FIGURES = (
    "learning_rate",
    "gradient_norm",
    "tokens",
    "tokens_per_second",
    "padding_share",
    "utilisation",
    "data_seconds",
)
"""Of every step, beside its loss."""
OF_TOKENS = ("causal_lm", "seq2seq_lm")
"""Tasks whose loss is that of a token, so that its exponential is the perplexity."""
_FORMATS = ("fp32", "bf16", "fp16")


@dataclass
class Metrics:
    """What `train.metrics.jsonl` holds.

    Attributes:
        steps: step and its loss.
        figures: each of `FIGURES` -> its value at each of `steps`, NaN where the line has none.
        evaluations: of each the step, epoch, train_loss, validation_loss and the other figures of `training.json`.
        said: the last value of every other figure: seconds, bytes, the step after which it was saved or went on.
        saves: how often it was saved.
        timed: format -> median seconds of the steps timed for `precision: auto`.
        skipped: lines of the file that are no figures.
    """

    steps: list[tuple[float, float]] = field(default_factory=list)
    figures: "dict[str, array[float]]" = field(default_factory=lambda: {name: array("d") for name in FIGURES})
    evaluations: list[dict[str, float]] = field(default_factory=list)
    said: dict[str, float] = field(default_factory=dict)
    saves: int = 0
    timed: dict[str, float] = field(default_factory=dict)
    skipped: int = 0

    def take(self, line: bytes) -> None:
        """Add what one line says."""
        content = _content(line)
        figures = _numbers(content or {})
        if content is None or not math.isfinite(figures.get("step", 0.0)):
            self.skipped += 1
            return
        if "validation_loss" in figures:
            self.evaluations.append(figures)
            return
        if "loss" in figures and "step" in figures:
            self.steps.append((figures["step"], figures["loss"]))
            for name, values in self.figures.items():
                values.append(figures.get(name, math.nan))
        self.said |= {name: value for name, value in figures.items() if math.isfinite(value)}
        self.saves += "saved_after_step" in figures
        self.timed |= _timed(content.get("precision_seconds"))


@dataclass(frozen=True)
class Curves:
    """How training went.

    Attributes:
        metrics: of the last run; empty where only `training.json` is there.
        evaluations: of the model that stands in `model/`, else of the last run.
        best_step: the step whose weights were kept; None where `training.json` is missing.
        task: that was trained; empty where `training.json` is missing.
    """

    metrics: Metrics
    evaluations: list[dict[str, float]]
    best_step: int | None
    task: str = ""


def read_curves(metrics: Path, model: Path) -> Curves | None:
    """Read the metrics file and the model's own history; None where neither is there.

    Raises:
        InputError: `training.json` is not one of ours.
    """
    training = read_training(model) if (model / MARK).is_file() else None
    found = _read_metrics(metrics) if metrics.is_file() else Metrics()
    if training is None:
        return Curves(found, found.evaluations, None) if found.steps or found.evaluations else None
    return Curves(found, _ours(training, found.evaluations), training.best_step, training.task)


def _ours(training: Training, evaluations: list[dict[str, float]]) -> list[dict[str, float]]:
    """The model's own history; the metrics file is of the last run, which may have ended early."""
    return training.history or evaluations


def _read_metrics(path: Path) -> Metrics:
    """NaN and Infinity are figures, a broken line is skipped."""
    found = Metrics()
    with path.open("rb") as handle:
        for number, line in enumerate(iter(lambda: handle.readline(MAX_LINE_BYTES), b"")):
            if number >= MAX_STEPS:
                break
            found.take(line)
    return found


def _content(line: bytes) -> Mapping[str, Any] | None:
    """One JSON line; None where it is no object, as one cut short by a kill."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _numbers(content: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line; a whole one that no float holds is infinite."""
    found = {}
    for name, value in content.items():
        if type(value) in (int, float):
            try:
                found[name] = float(value)
            except OverflowError:
                found[name] = math.inf
    return found


def _timed(seconds: object) -> dict[str, float]:
    """Median seconds of each format."""
    found = {name: seconds.get(name) for name in _FORMATS} if isinstance(seconds, dict) else {}
    return {
        name: statistics.median(times)
        for name, times in found.items()
        if isinstance(times, list) and times and all(type(one) is float and 0 < one < math.inf for one in times)
    }
