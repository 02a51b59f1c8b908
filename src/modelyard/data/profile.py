"""What the rows of train are like, from a sample where counting all would be slow; every figure has its interval.

The sample is the first rows in the order of their hashes: drawn by chance, and the same for the same rows and seed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard.data.baseline import SCRIPTS, Baseline, histogram, script_shares, shares
from modelyard.data.characters import dominant_script, read_characters
from modelyard.data.quality.features import features
from modelyard.data.quality.language import detect
from modelyard.data.quality.tokens import count_tokens, mean_interval, quantile_interval, share_interval
from modelyard.evidence.interval import Interval
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement

SAMPLED_ROWS = 10_000
LANGUAGES = 10
PRESENT = ("mojibake", "replacement_characters", "control_characters", "mixed_widths", "html_tags", "html_entities")
"""Of `quality.FEATURES`: the share of rows that have any."""
MEANS = ("number_share", "symbol_share", "repeated_line_share", "duplicate_5_gram_share")
"""Of `quality.FEATURES`: the mean over rows."""


def profile(texts: pl.Series, *, population: int, tokenizer: Path | None) -> list[Measurement]:
    """Profile a sample of texts.

    Args:
        texts: shape (sampled rows,), at least one, no null.
        population: rows that they were drawn from.
        tokenizer: a `tokenizer.json`, to count tokens with; None counts none.

    Raises:
        InputError: the tokenizer cannot be used.
    """
    frame = pl.DataFrame({"row": range(len(texts)), "text": texts})
    found = features(frame, [*PRESENT, *MEANS, "length_words"])
    measurements = _lengths("words", found["length_words"], population)
    for name in PRESENT:
        rows = int((found[name].fill_null(0) > 0).sum())
        measurements.append(Measurement(name=f"profile_{name}", interval=_share(rows, len(texts), population)))
    for name in MEANS:
        mean = _mean(found[name].fill_null(0.0), population, "fraction")
        measurements.append(Measurement(name=f"profile_{name}", interval=mean))
    languages = detect(texts)["language"].value_counts(name="rows").sort(["rows", "language"], descending=[True, False])
    for language, rows in languages.head(LANGUAGES).iter_rows():
        share = _share(rows, len(texts), population)
        measurements.append(Measurement(name="profile_language", scope=f"language:{language}", interval=share))
    if tokenizer is not None:
        counted = count_tokens(texts, tokenizer)
        measurements += _lengths("tokens", counted["tokens"], population)
        parts = (counted[name].cast(pl.Float64).to_numpy() for name in ("unknown", "tokens"))
        unknown = share_interval(*parts, population=population)
        measurements.append(Measurement(name="profile_unknown_tokens", interval=unknown))
    return measurements


def baseline_of(train: pl.DataFrame, slices: Sequence[str]) -> Baseline:
    """The `baseline.json` of rows in memory, with `text`, `label` and the slice columns; at least one row.

    `check` makes the same from its counts, without holding the rows.
    """
    counts, _ = read_characters(train["text"])
    scripts = counts.select(dominant_script())["script"]
    return Baseline(
        rows=train.height,
        labels=shares(_counted(train["label"])),
        length_characters=histogram(_counted(counts["characters"])),
        scripts=script_shares(
            int(counts["letters"].sum()), {name: int(counts[f"script_{name}"].sum()) for name in SCRIPTS}
        ),
        slices={name: shares(_counted(train[name])) for name in slices},
        row_scripts=shares(_counted(scripts)),
    )


def _counted(values: pl.Series) -> dict[Any, int]:
    return dict(values.value_counts(name="rows").iter_rows())


def language_note(measurements: list[Measurement], population: int) -> list[str]:
    """The languages as a sentence; none where nothing was profiled."""
    found = [one for one in measurements if one.name == "profile_language"]
    if not found:
        return []
    sampled = found[0].interval.n
    shares = ", ".join(f"{one.scope.removeprefix('language:')} {one.interval.estimate:.1%}" for one in found[:5])
    origin = f"{sampled:,} of {population:,} rows of train" if sampled < population else "the rows of train"
    return [f"languages of {origin}: {shares}"]


def _lengths(unit: str, lengths: pl.Series, population: int) -> list[Measurement]:
    values = lengths.cast(pl.Float64).to_numpy()
    found = {"mean": _mean(lengths, population, unit)}
    found |= {
        f"p{percent}": quantile_interval(values, percent, population=population, unit=unit) for percent in (50, 95)
    }
    return [Measurement(name=f"profile_{unit}_{name}", interval=interval) for name, interval in found.items()]


def _mean(values: pl.Series, population: int, unit: str) -> Interval:
    numbers = values.cast(pl.Float64).to_numpy()
    if numbers.size < 2 < population:
        return Interval.exact(float(np.mean(numbers)), n=numbers.size, unit=unit)
    return mean_interval(numbers, population=population, unit=unit)


def _share(rows: int, sampled: int, population: int) -> Interval:
    if sampled == population:
        return Interval.exact(rows / sampled, n=sampled, unit="fraction")
    return wilson(rows, sampled)
