"""The published filters against datatrove's, and what they take from clean English and Chinese text.

    python benchmarks/filters.py

* Verdicts: each rule on English mail and news, against datatrove's filter at the same threshold; where datatrove counts
  something else than the paper says, against the paper's definition over datatrove's words, and how far datatrove is
  from it. The same on Chinese news, whose words jieba finds, as figures.
* Chinese n-grams: articles of the People's Daily, whose words people marked, found by n-grams of those words and by
  n-grams of letters, 1.72 to a word or one to a word.
* What each rule takes from clean corpora.

Writes results/filters.json. datatrove is installed once in an environment of its own under --work.
"""

import argparse
import json
import os
import random
import subprocess
import time
import venv
from pathlib import Path

import polars as pl
from results_file import write_results
from texts import chinese_news, chinese_reviews, english_mail, english_news, people_daily

from modelyard.data.quality.filters import FILTERS, find_filtered
from modelyard.data.quality.words import DUPLICATE_SIZES, LETTERS_PER_WORD, TOP_SIZES, count_words, measure_repetition
from modelyard.evidence.interval import Interval, at_least
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement

PEER = ("datatrove[processing]==0.10.1", "spacy==3.8.18", "jieba==0.42.1")
LEAST_AGREEMENT = 0.95
LEAST_BY_LETTERS = 0.98
SEED = 7
PART = 100


def peer_python(work: Path) -> Path:
    """Python of an environment that holds datatrove."""
    folder = work / "datatrove"
    if not (folder / "made").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PEER], check=True)
        (folder / "made").touch()
    return folder / "bin" / "python"


def ask_datatrove(work: Path, language: str, texts: list[str]) -> dict:
    """What `peers/datatrove_filters.py` writes about the texts, asked in parts."""
    asked, answer = work / f"{language}.json", work / f"{language}.found.json"
    script = Path(__file__).parent / "peers" / "datatrove_filters.py"
    whole: dict = {"paper": {}, "own": {}, "read": {}, "seconds": 0.0}
    for start in range(0, len(texts), PART):
        asked.write_text(json.dumps(texts[start : start + PART]), encoding="utf-8")
        subprocess.run([peer_python(work), script, asked, language, answer], check=True, capture_output=True)
        part = json.loads(answer.read_text(encoding="utf-8"))
        whole["seconds"] += part["seconds"]
        for kind in ("paper", "own", "read"):
            for rule, places in part[kind].items():
                whole[kind].setdefault(rule, set()).update(start + place for place in places)
    return whole


def ours(texts: list[str]) -> dict[str, set[int]]:
    """Rule -> places of the texts it finds."""
    found = find_filtered(pl.DataFrame({"row": range(len(texts)), "text": texts}), list(FILTERS))
    groups = dict(found.group_by("rule").agg("row").iter_rows())
    return {name: set(groups.get(name, [])) for name in FILTERS}


def agreement(one: set[int], other: set[int], n: int) -> Interval:
    """Share of texts on which both say the same."""
    return wilson(n - len(one ^ other), n)


def compare(name: str, texts: list[str], answer: dict, *, judged: bool) -> tuple[list[Verdict], list[Measurement]]:
    """Agreement on each rule, as claims or as figures."""
    verdicts, measurements = [], []
    n = len(texts)
    for rule, own in ours(texts).items():
        theirs = answer["paper"].get(rule, set())
        rows = {"dropped by us": own, "dropped by datatrove": theirs}
        with_datatrove = agreement(own, theirs, n)
        if rule in answer["own"]:
            rows["dropped by datatrove as released"] = answer["own"][rule]
        if rule in READ and judged:
            definition = answer["read"].get(rule, set())
            rows["dropped by the paper's definition on datatrove's words"] = definition
            claim = judge(
                agreement(own, definition, n),
                at_least(LEAST_AGREEMENT),
                rule="same_as_the_paper's_definition",
                scope=f"{name}: {rule}",
            )
            verdicts.append(claim)
            measurements.append(
                Measurement(name="agreement with datatrove", scope=rule, subject=name, interval=with_datatrove)
            )
        elif judged:
            claim = judge(with_datatrove, at_least(LEAST_AGREEMENT), rule="same_as_datatrove", scope=f"{name}: {rule}")
            verdicts.append(claim)
        else:
            measurements.append(
                Measurement(name="agreement with datatrove", scope=rule, subject=name, interval=with_datatrove)
            )
        measurements += [
            Measurement(name=what, scope=rule, subject=name, interval=Interval.exact(len(found), n=n, unit="rows"))
            for what, found in rows.items()
        ]
    return verdicts, measurements


READ = {
    "gopher_alphabetic_words",
    "fineweb_terminal_lines",
    *(f"gopher_top_{size}_gram" for size in TOP_SIZES),
    *(f"gopher_duplicate_{size}_gram" for size in DUPLICATE_SIZES),
}
"""Where datatrove counts something else than the paper says: `FILTERS[...].differs`."""


def by_letters() -> tuple[list[Verdict], list[Measurement]]:
    """N-grams of marked words against n-grams of letters, on the People's Daily."""
    articles = people_daily()
    words = [[word for line in article for word, tag in line if not tag.startswith("w")] for article in articles]
    texts = ["\n".join("".join(word for word, _ in line) for line in article) for article in articles]

    def spaced(parts: list[str]) -> str:
        """In letters that part at spaces, so that each part is one word and as long as before."""
        return " ".join("".join(f"{ord(sign):05x}" for sign in part) for part in parts)

    letters = count_words(pl.Series(texts))["words"].sum() / sum(map(len, words))
    marked = measure_repetition(pl.Series([spaced(parts) for parts in words]))
    scaled = measure_repetition(pl.Series(texts))
    unscaled = measure_repetition(pl.Series([spaced(list("".join(parts))) for parts in words]))
    limits = {2: 0.2, 3: 0.18, 4: 0.16, 5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    verdicts, measurements = [], []
    for size, most in limits.items():
        column = f"{'top' if size in TOP_SIZES else 'duplicate'}_{size}"
        truth = set((marked[column] > most).arg_true().to_list())
        for how, found in (("1.72 letters to a word", scaled), ("a letter to a word", unscaled)):
            rows = set((found[column] > most).arg_true().to_list())
            interval = agreement(rows, truth, len(articles))
            scope = f"People's Daily: {column}-gram"
            measurements.append(
                Measurement(
                    name=f"articles found, {how}",
                    scope=scope,
                    interval=Interval.exact(len(rows), n=len(articles), unit="rows"),
                )
            )
            if found is scaled:
                verdicts.append(
                    judge(interval, at_least(LEAST_BY_LETTERS), rule="same_as_by_marked_words", scope=scope)
                )
            else:
                measurements.append(Measurement(name=f"same as by marked words, {how}", scope=scope, interval=interval))
        measurements.append(
            Measurement(
                name="articles found, marked words", scope=f"People's Daily: {column}-gram",
                interval=Interval.exact(len(truth), n=len(articles), unit="rows"),
            )
        )  # fmt: skip
    measurements.append(
        Measurement(
            name="letters to a marked word", scope="People's Daily",
            interval=Interval.exact(letters, n=sum(map(len, words)), unit="letters"),
        )
    )  # fmt: skip
    return verdicts, measurements


def taken_from_clean_text() -> list[Measurement]:
    """Share of each corpus that each rule finds."""
    corpora = {
        "English news, one line each": english_news(),
        "People's Daily, articles": chinese_news(),
        "Chinese reviews": chinese_reviews(),
    }
    return [
        Measurement(
            name="share found", scope=rule, subject=corpus,
            interval=Interval.exact(len(found) / len(texts), n=len(texts), unit="fraction"),
        )
        for corpus, texts in corpora.items()
        for rule, found in ours(texts).items()
    ]  # fmt: skip


def speed(answer: dict, texts: list[str], name: str) -> list[Measurement]:
    """MB a CPU second of all our rules and of datatrove's four filters as released, each heard on every text."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    start = time.process_time()
    ours(texts)
    seconds = {"all 30 rules, modelyard": time.process_time() - start, "four filters, datatrove": answer["seconds"]}
    return [
        Measurement(
            name="speed", scope=name, subject=subject,
            interval=Interval.exact(size / spent, n=len(texts), unit="MB per CPU second"),
        )
        for subject, spent in seconds.items()
    ]  # fmt: skip


def main() -> None:
    """Compare, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".work/peers"))
    parser.add_argument("--texts", type=int, default=600, help="English; a quarter of so many in Chinese")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    draw = random.Random(SEED)
    mail = draw.sample([text for text in english_mail() if len(text) < 5000], options.texts * 3 // 4)
    news = draw.sample([text for text in english_news() if len(text) < 5000], options.texts - len(mail))
    chinese = draw.sample([text for text in chinese_news() if len(text) < 3000], options.texts // 4)
    verdicts, measurements = by_letters()
    measurements += taken_from_clean_text()
    for name, language, texts in (("English mail and news", "eng", mail + news), ("Chinese news", "cmn", chinese)):
        answer = ask_datatrove(options.work, language, texts)
        found, figures = compare(name, texts, answer, judged=language == "eng")
        verdicts += found
        measurements += figures + speed(answer, texts, name)
    write_results(
        "filters",
        verdicts=verdicts,
        measurements=measurements,
        parameters={
            "texts": options.texts,
            "seed": SEED,
            "letters_per_word": LETTERS_PER_WORD,
            "peer": list(PEER),
            "polars_threads": os.environ.get("POLARS_MAX_THREADS", "all"),
            "differs": {name: rule.differs for name, rule in FILTERS.items() if rule.differs},
        },
        notes=[
            "English news stands on one line an article, so that every rule about lines is all or nothing there",
            "few of these texts break some of the rules; tests/data/quality/filter_vectors.json has some for each",
            "mail is e-mail of SpamAssassin, half of it in HTML: pages as they are crawled rather than clean text",
        ],
    )
    for verdict in verdicts:
        print(verdict.outcome, verdict.rule, verdict.scope, verdict.reason)


if __name__ == "__main__":
    main()
