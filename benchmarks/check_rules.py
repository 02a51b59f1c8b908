"""What each rule beyond the structural ones costs `modelyard check`, in MB/s and in memory.

    python benchmarks/check_rules.py          # about 35 minutes on two cores; 1 GB of disk under .work/

0.1 GB of the corpus of `check_speed.py`, with every further rule switched on alone, and the same rows read from gzip
and from 10,000 files. Every run is a process of its own: of 0.1 GB its start is a fifth where only the structural rules
are on. Of each the peak memory is held against the ceiling.

Writes `results/check_rules.json`.
"""

import argparse
import gzip
import json
import math
import os
import shutil
from pathlib import Path

from check_speed import MEMORY, MEMORY_NOTE, ROUNDS, WORK, Case, Run, corpus, run, speed_interval
from results_file import write_results
from texts import english_news

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement

QUESTIONS = 1_000
FILES = 10_000


def cases(small: Path) -> dict[str, Case]:
    """Every further rule, and other ways of storing the same rows."""
    questions = WORK / "questions.jsonl"
    texts = english_news()
    lines = (json.dumps({"text": " ".join(text.split()[:40])}) for text in texts[-QUESTIONS:])
    questions.write_text("\n".join(lines), encoding="utf-8")
    rows = [json.loads(line) for line in small.read_bytes().splitlines()]
    labels = WORK / "labels.jsonl"
    # a word that half of the passages have decides, so that there is something to learn
    labelled = (json.dumps(row | {"label": "has" if " that " in row["text"] else "lacks"}) for row in rows)
    labels.write_text("\n".join(labelled), encoding="utf-8")
    packed = WORK / "small.jsonl.gz"
    packed.write_bytes(gzip.compress(small.read_bytes(), 6))
    folder = WORK / "many"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    each = math.ceil(len(rows) / FILES)
    for number in range(0, len(rows), each):
        part = "\n".join(json.dumps(row) for row in rows[number : number + each])
        (folder / f"{number:07}.jsonl").write_text(part, encoding="utf-8")
    return {
        "structural alone": Case(small),
        "duplicate_near": Case(small, on=("duplicate_near", "leak_near")),
        "personal_data and secret": Case(small, on=("personal_data", "secret")),
        "contamination": Case(small, more={"benchmarks": str(questions)}),
        "label_suspect": Case(labels, on=("label_suspect",), labelled=True),
        "published filters, all": Case(small, more={"filters": ["gopher", "c4", "fineweb"]}),
        "one rule of the user's own": Case(small, more={"user_rules": {"short": {"keep": "LENGTH(text) >= 10"}}}),
        "from gzip": Case(packed),
        f"from {len(list(folder.iterdir())):,} files": Case(folder),
    }


def main() -> None:
    """Measure, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--keep", action="store_true", help="leave the corpora in place")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    small = corpus(0.1)[0]
    size = small.stat().st_size / 1e6
    further = cases(small)
    found: dict[str, list[Run]] = {name: [] for name in further}
    for _ in range(options.rounds):
        for name, case in further.items():
            found[name].append(run(case, "further", prepare=False))
    measurements = []
    for name, runs in found.items():
        most = Interval.exact(max(one.memory_bytes for one in runs), n=len(runs), unit="bytes")
        measurements += [
            Measurement(name="speed", scope=name, interval=speed_interval([size / one.seconds for one in runs])),
            Measurement(name="peak_memory", scope=name, interval=most),
        ]
    every = [one.memory_bytes for runs in found.values() for one in runs]
    write_results(
        "check_rules",
        verdicts=[
            judge(Interval.exact(max(every), n=len(every), unit="bytes"), at_most(MEMORY), rule="memory_ceiling"),
        ],
        measurements=measurements,
        parameters={"memory": "2GiB", "cores": os.cpu_count(), "rounds": options.rounds},
        notes=[MEMORY_NOTE, "MB/s of the plain JSONL that the rows are, also where they are read from gzip"],
    )
    if not options.keep:
        shutil.rmtree(WORK)


if __name__ == "__main__":
    main()
