"""Personal data: what `find_personal` finds of what is there, on three sets, beside Presidio; and how fast.

    python benchmarks/personal_data.py            # about 3 minutes on two cores

* Synthetic English and Chinese sentences (`personal_sets.py`): every span is known. A span counts as found when one
  finding of its group covers it whole, because a redaction that leaves digits behind is none; a finding is right when
  it overlaps a span of its group.
* E-mails (`personal_mails.py`): headers by Python's own parsers, bodies by a hand-judged sample.
* Presidio's pattern recognisers, in an environment of their own, on the same texts in the same run: default regions and
  those of the set, at whichever score threshold gives it the best F1 per group. Times alternate round by round.

Writes results/personal_data.json. `python benchmarks/personal_mails.py` prints what is not judged yet.
"""

import argparse
import json
import subprocess
import sys
import time
import venv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import personal_mails as letters
import personal_sets as sets
from results_file import write_results

from modelyard.data.personal.find import PERSONAL_KINDS, find_personal
from modelyard.evidence.interval import Interval, at_least
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import time_ratio

HERE = Path(__file__).parent
PRESIDIO = "presidio-analyzer==2.2.366"
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8)
# the countries of the people, and China
REGIONS = "AT,AU,BE,BR,CA,CH,CN,CY,CZ,DE,DK,EE,ES,FI,FR,GB,GL,HU,IS,IT,NL,NO,NZ,PL,PT,SE,SI,TN,US,UY,ZA"
ENTITIES = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IP_ADDRESS": "ip", "CREDIT_CARD": "payment_card",
    "IBAN_CODE": "iban", "US_SSN": "us_ssn", "US_PASSPORT": "passport",
}  # fmt: skip
GROUPS = {"ipv4": "ip", "ipv6": "ip", "phone_national": "phone", "phone_international": "phone"}
ROUNDS = 6
RECALL, PRECISION, SPEED = 0.95, 0.95, 10.0
Span = tuple[str, int, int]


@dataclass(frozen=True)
class Score:
    """Counts behind recall and precision of one group."""

    covered: int
    spans: int
    right: int
    findings: int

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 0 where nothing was found."""
        return 2 * self.right / (self.findings + self.spans) if self.findings else 0.0


def ours(texts: list[str]) -> list[list[Span]]:
    """Group, start and end of what `find_personal` finds in each text."""
    found: list[list[Span]] = [[] for _ in texts]
    for row, kind, start, length in (
        find_personal(letters.as_frame(texts)).select("row", "kind", "start", "length").iter_rows()
    ):
        found[row].append((GROUPS.get(kind, kind), start, start + length))
    return found


def score(examples: list[sets.Example], found: list[list[Span]], synonyms: dict[str, str]) -> dict[str, Score]:
    """Per group of spans: how many are covered whole, how many findings overlap one; `synonyms` renames groups."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for example, findings in zip(examples, found, strict=True):
        named = [(synonyms.get(group, group), start, end) for group, start, end in findings]
        truth = [(synonyms.get(group, group), start, end) for group, start, end in example.spans]
        for group, start, end in truth:
            counts[group][0] += any(group == g and s <= start and end <= e for g, s, e in named)
            counts[group][1] += 1
        for group, start, end in named:
            counts[group][2] += any(group == g and s < end and start < e for g, s, e in truth)
            counts[group][3] += 1
    return {group: Score(*numbers) for group, numbers in sorted(counts.items())}


@dataclass(frozen=True)
class Results:
    """What goes into the report."""

    verdicts: list[Verdict]
    measurements: list[Measurement]

    def add(self, name: str, scope: str, subject: str, interval: Interval) -> None:
        """One more figure."""
        self.measurements.append(Measurement(name=name, scope=scope, subject=subject, interval=interval))


class Peer:
    """Presidio in a process of its own, asked over pipes."""

    def __init__(self, python: str, regions: str, work: Path) -> None:
        self.files = (work / f"texts{len(regions)}.jsonl", work / f"found{len(regions)}.json")
        command = [python, str(HERE / "peers" / "presidio_finder.py"), regions]
        log = (work / "presidio.log").open("w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"presidio did not start: see {log.name}")

    def find(self, texts: list[str]) -> tuple[float, list[list[tuple[str, int, int, float]]]]:
        """Seconds, and per text entity, start, end, score."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.files[0].write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
        self.process.stdin.write(json.dumps([str(path) for path in self.files]) + "\n")
        self.process.stdin.flush()
        seconds = float(self.process.stdout.readline())
        return seconds, json.loads(self.files[1].read_text(encoding="utf-8"))

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def presidio_python(work: Path) -> str:
    """Python of an environment of Presidio's own."""
    folder = work / "presidio"
    if not (folder / "made").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", PRESIDIO], check=True)
        (folder / "made").touch()
    return str(folder / "bin/python")


def best_of(examples: list[sets.Example], answers: list[list[list[tuple[str, int, int, float]]]]) -> dict[str, Score]:
    """Presidio's best score per group over its settings and thresholds."""
    best: dict[str, Score] = {}
    for answer in answers:
        for threshold in THRESHOLDS:
            found = [[(ENTITIES[e], s, t) for e, s, t, sure in row if sure >= threshold] for row in answer]
            for group, one in score(examples, found, {"cn_mobile": "phone"}).items():
                if group not in best or one.f1 > best[group].f1:
                    best[group] = one
    return best


def judge_set(name: str, scores: dict[str, Score]) -> tuple[list[Verdict], list[Measurement]]:
    """A verdict on recall and one on precision per group that has spans."""
    verdicts, measurements = [], []
    for group, one in scores.items():
        if not one.spans:
            continue
        figures = [("recall", wilson(one.covered, one.spans), RECALL)]
        figures.append(("precision", wilson(one.right, max(one.findings, 1)), PRECISION))
        for figure, interval, limit in figures:
            verdicts.append(judge(interval, at_least(limit), rule=f"{name}_{figure}", scope=group))
            measurements.append(
                Measurement(name=f"{name} {figure}", scope=group, subject="modelyard", interval=interval)
            )
    return verdicts, measurements


def peer_measurements(name: str, scores: dict[str, Score]) -> list[Measurement]:
    """Presidio's recall and precision per group that has spans."""
    made = []
    for group, one in scores.items():
        if one.spans:
            figures = {"recall": wilson(one.covered, one.spans), "precision": wilson(one.right, max(one.findings, 1))}
            for figure, interval in figures.items():
                made.append(Measurement(name=f"{name} {figure}", scope=group, subject="presidio", interval=interval))
    return made


def judge_bodies(every: list[letters.Mail]) -> tuple[list[Verdict], list[Measurement], list[str]]:
    """Precision per kind from the judged sample; recall of telephone numbers and addresses from what was not found."""
    judged = letters.read_judgements()
    sampled, sizes = letters.sample_bodies(every)
    shares: dict[str, Interval] = {}
    notes = []
    for name, places in sampled.items():
        known = [judged.get(name, {}).get(letters.judgement_key(*place)) for place in places]
        answers = [answer for answer in known if answer is not None]
        if len(answers) < len(known):
            notes.append(f"{len(known) - len(answers)} of {len(known)} sampled `{name}` are not judged")
        if answers:
            shares[name] = wilson(sum(answers), len(answers))
    verdicts, measurements = [], []
    for name, interval in shares.items():
        measurements.append(Measurement(name="mail body share judged true", scope=name, interval=interval))
        if not name.startswith("unfound"):
            verdicts.append(judge(interval, at_least(0.9), rule="mail_body_precision", scope=name))
    phones = sum(sizes.get(kind, 0) for kind in ("phone_national", "phone_international", "cn_mobile"))
    for group, found, unfound in (("phone", phones, "unfound digits"), ("email", sizes["email"], "unfound @")):
        interval = _recall(found, sizes[unfound], shares[unfound])
        verdicts.append(judge(interval, at_least(0.9), rule="mail_body_recall", scope=group))
        measurements.append(Measurement(name="mail body recall", scope=group, subject="modelyard", interval=interval))
    return verdicts, measurements, notes


def _recall(found: int, unfound: int, share: Interval) -> Interval:
    """Found / (found + missed), with missed = the share of true ones among the unfound; distinct values."""
    ends = [found / (found + unfound * part) for part in (share.high, share.estimate, share.low)]
    return Interval(low=ends[0], estimate=ends[1], high=ends[2], n=share.n, unit="fraction", method="wilson")


def time_both(peer: Peer, texts: list[str]) -> tuple[Interval, float, float]:
    """Ratio of Presidio's time to ours over alternating rounds, and the best seconds of each."""
    mine, theirs = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        find_personal(letters.as_frame(texts))
        mine.append(time.perf_counter() - start)
        theirs.append(peer.find(texts)[0])
    return time_ratio(theirs, mine), min(mine), min(theirs)


def compare_synthetic(peers: list[Peer], examples: dict[str, list[sets.Example]], results: Results) -> None:
    """Both sides on the sentences whose spans are known."""
    for name, made in examples.items():
        texts = [example.text for example in made]
        verdicts, measured = judge_set(name, score(made, ours(texts), {}))
        results.verdicts.extend(verdicts)
        results.measurements.extend(measured)
        results.measurements.extend(peer_measurements(name, best_of(made, [peer.find(texts)[1] for peer in peers])))


def compare_headers(peer: Peer, every: list[letters.Mail], results: Results) -> None:
    """All headers for us, those of every sixtieth mail for Presidio."""
    few = every[::60]
    answer = peer.find([mail.text for mail in few])[1]
    theirs = [[(ENTITIES[entity], start, end) for entity, start, end, _ in row] for row in answer]
    mine = ours([mail.text for mail in every])
    for figure, (hits, number) in sorted(letters.score_headers(every, mine).items()):
        interval = wilson(hits, number)
        results.verdicts.append(judge(interval, at_least(RECALL), rule="mail_headers", scope=figure))
        results.add("mail headers", figure, "modelyard", interval)
    for figure, (hits, number) in sorted(letters.score_headers(few, theirs).items()):
        results.add("mail headers", figure, "presidio", wilson(hits, number))


def compare_speed(
    peer: Peer, examples: dict[str, list[sets.Example]], every: list[letters.Mail], results: Results
) -> None:
    """The ratio of times on samples that Presidio ends in seconds; our own rate on more."""
    texts = {name: [example.text for example in made] for name, made in examples.items()}
    timed = {name: some[::10] for name, some in texts.items()} | {"mails": [mail.text for mail in every[::500]]}
    for name, some in timed.items():
        ratio, mine, theirs = time_both(peer, some)
        size_mb = sum(len(text.encode()) for text in some) / 1e6
        results.verdicts.append(judge(ratio, at_least(SPEED), rule="times_as_fast_as_presidio", scope=name))
        results.add("times as fast as presidio", name, "modelyard", ratio)
        for subject, seconds in (("modelyard", mine), ("presidio", theirs)):
            rate = Interval.exact(size_mb / seconds, n=len(some), unit="MB/s")
            results.add("speed, best round", name, subject, rate)
    for name, some in (texts | {"mails": [mail.text for mail in every[::3]]}).items():
        frame = letters.as_frame(some)
        rounds = []
        for _ in range(3):
            start = time.perf_counter()
            find_personal(frame)
            rounds.append(time.perf_counter() - start)
        rate = Interval.exact(sum(len(text.encode()) for text in some) / 1e6 / min(rounds), n=len(some), unit="MB/s")
        results.add("speed of more, best of 3", name, "modelyard", rate)


def main() -> None:
    """All sets, both sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=Path(".work/peers"))
    options = parser.parse_args()
    options.peers.mkdir(parents=True, exist_ok=True)
    python = presidio_python(options.peers)
    peers = [Peer(python, "", options.peers), Peer(python, REGIONS, options.peers)]
    examples = {"synthetic_english": sets.english(), "synthetic_chinese": sets.chinese()}
    every = letters.mails()
    results = Results([], [])
    compare_synthetic(peers, examples, results)
    compare_headers(peers[0], every, results)
    verdicts, measured, notes = judge_bodies(every)
    results.verdicts.extend(verdicts)
    results.measurements.extend(measured)
    compare_speed(peers[0], examples, every, results)
    for peer in peers:
        peer.close()
    for measurement in results.measurements:
        one = measurement.interval
        print(f"{measurement.name:32} {measurement.scope:24} {measurement.subject:10}", end=" ")
        print(f"{one.low:.4f} {one.estimate:.4f} {one.high:.4f} n={one.n} {one.unit}")
    for verdict in results.verdicts:
        if verdict.outcome != "PASS":
            print(verdict.rule, verdict.scope, verdict.outcome, verdict.reason)
    path = write_results(
        "personal_data",
        verdicts=results.verdicts,
        measurements=results.measurements,
        parameters=_parameters(),
        notes=[*notes, *_notes()],
    )
    print(path)


def _parameters() -> dict[str, object]:
    return {
        "seed": sets.SEED,
        "kinds": [kind.name for kind in PERSONAL_KINDS],
        "without_counterpart": sets.NO_COUNTERPART,
        "presidio": PRESIDIO,
        "presidio_regions": ["US,GB,DE,FR,IL,IN,CA,BR (default)", REGIONS],
        "presidio_thresholds": list(THRESHOLDS),
        "python": sys.version.split()[0],
    }


def _notes() -> list[str]:
    return [
        "the synthetic sets measure formats and boundaries, not the wild: the templates were read before the words that"
        " may stand beside a telephone number were chosen, and the Chinese ones are our own",
        "the e-mails were read while the rules were written; the judged sample was drawn by digest at the end",
        "a judgement says whether the thing is what its kind says, whoever it belongs to; a partial number is false",
        "most telephone numbers missed in the bodies are written to be missed (1 - 8 0 0 - ...), broken by line ends of"
        " quoted-printable, or seven digits without a word beside them; Greenland's six digits are never found",
        "Presidio has no recogniser of Chinese identity numbers; `\\b` in its patterns fails between Han and digits",
        "Presidio's spaCy models come from a hub: its blank English pipeline, words in place of lemmas, stands in",
    ]


if __name__ == "__main__":
    main()
