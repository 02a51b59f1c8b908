"""Near duplicates against datatrove, data-juicer and a plain rensa loop, English and Chinese apart.

    python benchmarks/near_duplicates.py --peers /tmp/peers

Documents are Markov text with planted near duplicates (near_corpus.py); the truth is the exact Jaccard similarity of
every pair, all compared with all. Every round runs every contender in turn, each in a process of its own that is warm
before its clock starts. Documents a second count from texts in memory to groups. Each peer's environment is made as
the first lines of benchmarks/peers/near_*.py say; a peer without one is named in the notes. Writes
results/near_duplicates.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from near_corpus import Planted, plant, write_texts
from results_file import write_results
from scipy.sparse.csgraph import connected_components

from modelyard.data.duplicates.minhash import THRESHOLD
from modelyard.evidence.interval import Interval, at_least
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval, time_ratio

HERE = Path(__file__).parent
ONE_CORE = {name: "1" for name in ("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS")}
LIMITS = {"English": 50.0, "Chinese": 15.0}


@dataclass(frozen=True)
class Contender:
    """One tool with its settings.

    Attributes:
        name: as in the report.
        tool: which environment, and which script runs it.
        settings: handed to the script.
        one_core: held to one core and one thread.
        spaced: given the words with spaces between them.
        timed: rows that it is timed on, of all; 0 where only its answer counts.
    """

    name: str
    tool: str
    settings: dict[str, Any]
    one_core: bool = False
    spaced: bool = False
    timed: float = 1.0


OURS, OURS_ONE, RENSA = "modelyard", "modelyard, one core", "rensa loop, one core"
GIVEN = "modelyard, one core, text given normalised"
SIGNING = {OURS_ONE: "normalising and band_keys, one core", GIVEN: "band_keys, one core"}  # MB/s
SLOW = 0.05
ALL = {
    "English": (
        Contender(OURS, "ours", {"processes": 2}),
        Contender(OURS_ONE, "ours", {"processes": 1}, one_core=True),
        Contender(GIVEN, "ours", {"processes": 1, "normalised": True}, one_core=True),
        Contender(RENSA, "rensa", {"how": "batch", "tokens": "shingles"}, one_core=True),
        Contender("rensa rho, one core", "rensa", {"how": "rho", "tokens": "shingles"}, one_core=True),
        Contender("datatrove", "datatrove", {"language": "eng"}, timed=SLOW),
        Contender("data-juicer", "juicer", {"tokenization": "space"}, timed=SLOW),
    ),
    "Chinese": (
        Contender(OURS, "ours", {"processes": 2}),
        Contender(OURS_ONE, "ours", {"processes": 1}, one_core=True),
        Contender(GIVEN, "ours", {"processes": 1, "normalised": True}, one_core=True),
        Contender(RENSA, "rensa", {"how": "batch", "tokens": "shingles"}, one_core=True),
        Contender("rensa rho, one core", "rensa", {"how": "rho", "tokens": "shingles"}, one_core=True),
        Contender("datatrove", "datatrove", {"language": "zho"}, timed=SLOW),
        Contender("datatrove, words given", "datatrove", {"language": "space"}, spaced=True, timed=SLOW),
        Contender("data-juicer", "juicer", {"tokenization": "character"}, timed=SLOW),
        Contender("datatrove as for English", "datatrove", {"language": "eng"}, timed=0),
        Contender("data-juicer as for English", "juicer", {"tokenization": "space"}, timed=0),
        Contender("data-juicer, words given", "juicer", {"tokenization": "space"}, spaced=True, timed=0),
        Contender("rensa as in its README", "rensa", {"how": "batch", "tokens": "split"}, timed=0),
    ),
}


@dataclass(frozen=True)
class Texts:
    """The files of one language: all texts and the first of them, plain and with spaces between words."""

    documents: int
    files: dict[tuple[bool, bool], Path]  # (spaced, all) -> path


def python_of(tool: str, peers: Path) -> str | None:
    """The interpreter of a tool's environment; None where there is none."""
    if tool == "ours":
        return sys.executable
    path = peers / f"near-{tool}" / "bin" / "python"
    return str(path) if path.is_file() else None


def run(contender: Contender, texts: Texts, peers: Path, *, whole: bool) -> dict[str, Any]:
    """What a contender's script wrote about one run."""
    script = HERE / ("near_ours.py" if contender.tool == "ours" else f"peers/near_{contender.tool}.py")
    python = python_of(contender.tool, peers)
    assert python is not None
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        source = texts.files[contender.spaced, whole or contender.timed == 1.0]
        settings = json.dumps({"groups": whole, **contender.settings})
        command = [python, str(script), str(source), answer.name, settings]
        if contender.one_core:
            command = ["taskset", "--cpu-list", "0", *command]
        environment = {**os.environ, **(ONE_CORE if contender.one_core else {})}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{contender.name}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(Path(answer.name).read_text(encoding="utf-8"))
        return found


def grouped_pairs(found: dict[str, Any], documents: int) -> set[tuple[int, int]]:
    """All pairs of documents that a contender put into one group."""
    links = found.get("pairs") or found.get("groups") or []
    if found.get("pairs"):
        ends = np.array(links)
        graph = sp.coo_array((np.ones(len(links)), (ends[:, 0], ends[:, 1])), shape=(documents, documents))
        _, labels = connected_components(graph, directed=False)
        links = list(enumerate(labels.tolist()))
    groups: dict[int, list[int]] = {}
    for row, group in links:
        groups.setdefault(group, []).append(row)
    return {pair for rows in groups.values() for pair in combinations(sorted(rows), 2)}


def scores(pairs: set[tuple[int, int]], planted: Planted) -> dict[str, Interval]:
    """Precision and recall of pairs against exact Jaccard similarity at the threshold."""
    true = {pair for pair, similar in zip(planted.pairs, planted.jaccard, strict=True) if similar >= THRESHOLD}
    right = len(pairs & true)
    found = {"recall": wilson(right, len(true))}
    return {"precision": wilson(right, len(pairs)), **found} if pairs else found


def measure(language: str, texts: Texts, contenders: list[Contender], options: argparse.Namespace) -> dict[str, Any]:
    """Contender -> documents a second in each round; and what of ours is signing, in MB/s."""
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders if contender.timed}
    signing: dict[str, list[float]] = {name: [] for name in SIGNING}
    for number in range(options.rounds):
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            if contender.timed:
                found = run(contender, texts, options.peers, whole=False)
                rates[contender.name].append(texts.documents * contender.timed / found["seconds"])
                if contender.name in signing:
                    signing[contender.name].append(found["bytes"] / found["sign_seconds"] / 1e6)
        said = {name: round(found[-1], 1) for name, found in rates.items()}
        print(f"{language}, round {number + 1} of {options.rounds}: {said}", flush=True)
    return {**rates, **{SIGNING[name]: found for name, found in signing.items()}}


def judged(language: str, rates: dict[str, Any], ours: dict[str, Interval]) -> list[Verdict]:
    """The claims."""
    verdicts = []
    if "datatrove" in rates:
        ratio = time_ratio(rates[OURS], rates["datatrove"])
        scope = f"{language}, {OURS} over datatrove, two cores"
        verdicts.append(judge(ratio, at_least(LIMITS[language]), rule="throughput", scope=scope))
    if RENSA in rates:
        ratio = time_ratio(rates[OURS_ONE], rates[RENSA])
        scope = f"{language}, {OURS_ONE} over {RENSA}"
        verdicts.append(judge(ratio, at_least(1.0), rule="throughput", scope=scope))
    verdicts += [
        judge(interval, at_least(0.95), rule=name, scope=f"{language}, pairs in one group")
        for name, interval in ours.items()
    ]
    return verdicts


def measured(language: str, rates: dict[str, Any], found: dict[str, dict[str, Interval]]) -> list[Measurement]:
    """Every rate, its ratio to ours, and every contender's precision and recall."""
    measurements = []
    for name, rounds in rates.items():
        speed = name in SIGNING.values()
        interval = median_interval(rounds).model_copy(update={"unit": "MB/s" if speed else "documents/s"})
        measurements.append(Measurement(name="rate", scope=language, subject=name, interval=interval))
        if not speed and name != OURS:
            ratio = time_ratio(rates[OURS], rounds)
            measurements.append(Measurement(name=f"{OURS} over", scope=language, subject=name, interval=ratio))
    for name, intervals in found.items():
        for what, interval in intervals.items():
            measurements.append(Measurement(name=what, scope=language, subject=name, interval=interval))
    return measurements


def prepare(planted: Planted, folder: Path, language: str) -> Texts:
    """Write the files that contenders read."""
    files = {}
    first = int(len(planted.texts) * SLOW)
    for spaced, texts in ((False, planted.texts), (True, planted.spaced)):
        for whole in (False, True):
            files[spaced, whole] = folder / f"{language}-{spaced}-{whole}.jsonl"
            write_texts(texts if whole else texts[:first], files[spaced, whole])
    return Texts(len(planted.texts), files)


def main() -> None:
    """Plant, score every contender once, time them in turn, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--originals", type=int, default=3400)
    parser.add_argument("--copies", type=int, default=1600)
    options = parser.parse_args()
    verdicts, measurements, notes = [], [], []
    corpora = {language: plant(language, options.originals, options.copies, seed=7) for language in ALL}
    for language, all_contenders in ALL.items():
        contenders = [one for one in all_contenders if python_of(one.tool, options.peers)]
        notes += [f"{one.name}: no environment, not run" for one in all_contenders if one not in contenders]
        planted = corpora[language]
        with tempfile.TemporaryDirectory() as folder:
            texts = prepare(planted, Path(folder), language)
            found = {}
            for contender in contenders:
                if contender.settings.get("how", "batch") == "batch":
                    pairs = grouped_pairs(run(contender, texts, options.peers, whole=True), texts.documents)
                    found[contender.name] = scores(pairs, planted)
                    print(language, contender.name, len(pairs), found[contender.name], flush=True)
            rates = measure(language, texts, contenders, options)
        verdicts += judged(language, rates, found[OURS])
        measurements += measured(language, rates, found)
        true = sum(similar >= THRESHOLD for similar in planted.jaccard)
        notes.append(
            f"{language}: {texts.documents} documents of {np.mean(planted.shingles):.0f} shingles on average, {true} "
            f"pairs of all reach {THRESHOLD:g}, {len(planted.pairs)} reach 0.5; the slow peers are timed on the first "
            f"{SLOW:.0%}, all are scored on all"
        )
    write_results(
        "near_duplicates",
        verdicts=verdicts,
        measurements=measurements,
        parameters={"rounds": options.rounds, "originals": options.originals, "copies": options.copies},
        notes=[
            *notes,
            "truth: exact Jaccard similarity of all pairs, by plain Python sets of peers/near_shingles.py",
            "a contender's pairs are all pairs within its groups; those of rensa are its pairs joined by union-find",
            "where a tool found no pair it has a recall of 0 and no precision",
        ],
    )


if __name__ == "__main__":
    main()
