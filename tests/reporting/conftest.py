"""A project's folders made by hand, small or very large, with text in them that would like to be markup."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.artifacts.candidate import Card, Choice
from modelyard.artifacts.files import digest_bytes, digest_file, write_json
from modelyard.artifacts.model import Training
from modelyard.artifacts.prepared import Dataset, Source
from modelyard.artifacts.release import Lineage, Manifest
from modelyard.artifacts.reports import write_report
from modelyard.compression.reference import Reference, write_reference
from modelyard.data.profile import baseline_of
from modelyard.evidence.interval import Interval, Limit, at_least, at_most
from modelyard.evidence.judge import Verdict, Waiver, judge
from modelyard.evidence.report import Measurement, Report, RunRecord

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}\x00\u202e"
SOME = digest_bytes(b"some")


def share(low: float, estimate: float, high: float, n: int = 400, method: str = "tango") -> Interval:
    return Interval(low=low, estimate=estimate, high=high, n=n, unit="fraction", method=method)


def drop_verdict(interval: Interval, limit: Limit, **names: str) -> Verdict:
    return judge(interval, limit, **({"rule": "drop_max", "subject": "int8"} | names))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Made:
    """A project: its folder, and the label and slice names in it."""

    folder: Path
    labels: list[str]
    slices: list[str]

    @property
    def reports(self) -> Path:
        return self.folder / "reports"


def make_project(
    folder: Path, *, labels: int = 3, slices: int = 2, hostile: bool = False, fails: bool = False, released: bool = True
) -> Made:
    """Every folder and report of a project, consistent with each other, in about `4 * labels` rows a split."""
    bad = HOSTILE if hostile else ""
    names = [f"label {number:03d}{bad}" for number in range(labels)]
    values = [f"site {number:03d}{bad}" for number in range(slices)]
    _prepared(folder / "prepared", names, values, bad)
    _model(folder, names)
    _candidates(folder / "candidates", names, bad)
    _reports(folder / "reports", names, values, bad, fails=fails)
    if released:
        _release(folder, names)
    return Made(folder, names, values)


def _prepared(folder: Path, labels: list[str], values: list[str], bad: str) -> None:
    folder.mkdir(parents=True)
    frames = {}
    for split in ("train", "validation", "test"):
        count = 4 * len(labels)
        frames[split] = pl.DataFrame(
            {
                "id": [f"{split}-{row}" for row in range(count)],
                "source": [f"rows{bad}.csv:{row + 2}" for row in range(count)],
                "text": [f"text number {row} of {split} {'很长' * (row % 40)}{bad}" for row in range(count)],
                "label": [labels[row % len(labels)] for row in range(count)],
                "site": [values[row % len(values)] for row in range(count)],
                "group": pl.Series([None] * count, dtype=pl.String),
            }
        )
        frames[split].write_parquet(folder / f"{split}.parquet")
    dropped = pl.DataFrame(
        {
            "body": [f"dropped {row}{bad}" for row in range(9)],
            "label": [labels[0]] * 9,
            "source": [f"rows.csv:{row}" for row in range(9)],
            "row": list(range(9)),
            "rule": ["duplicate_exact"] * 6 + ["text_too_short"] * 3,
            "evidence": [f"same text as rows{bad}.csv:2"] * 6 + ["3 characters, the least is 10"] * 3,
            "twin": [f"rows{bad}.csv:2"] * 6 + [None] * 3,
        }
    )
    dropped.write_parquet(folder / "dropped.parquet")
    flagged = pl.DataFrame(
        {
            "source": [f"rows{bad}.csv:{row}" for row in (2, 3, 3)],
            "row": [1, 2, 2],
            "rule": ["label_suspect", "personal_data", "personal_data"],
            "kind": [None, f"email{bad}", "ip"],
            "evidence": ["labelled a, more likely b", f"an e-mail address ({bad}) at character 1", "an IP address"],
        }
    )
    flagged.write_parquet(folder / "flagged.parquet")
    dataset = Dataset(
        task="classification",
        labels=labels,
        counts={split: frame.height for split, frame in frames.items()},
        digests={split: digest_file(folder / f"{split}.parquet") for split in frames},
        slices=["site"],
        seed=0,
        sources=[Source(path=f"rows{bad.replace('/', '')}.csv", digest=SOME, rows=99)],
    )
    write_json(folder / "dataset.json", dataset)
    write_json(folder / "baseline.json", baseline_of(frames["train"], ["site"]))


def _model(folder: Path, labels: list[str]) -> None:
    history = [
        {"step": 10.0, "epoch": 0.5, "train_loss": 0.9, "validation_loss": 0.8, "validation_accuracy": 0.6},
        {"step": 20.0, "epoch": 1.0, "train_loss": 0.5, "validation_loss": 0.4, "validation_accuracy": 0.9},
    ]
    training = Training(
        task="classification",
        labels=labels,
        base=SOME,
        prepared=SOME,
        max_length_tokens=16,
        settings={},
        history=history,
        best_step=20,
    )
    write_json(folder / "model" / "training.json", training)
    lines = [json.dumps({"precision_seconds": {"fp32": [0.1]}})]
    lines += [json.dumps({"step": step, "loss": 1 / step, "gradient_norm": float("inf")}) for step in range(1, 20)]
    lines[5] = '{"step": 5, "loss": NaN}'
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / "train.metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 20, "lo')


def _candidates(folder: Path, labels: list[str], bad: str) -> None:
    folder.mkdir(parents=True)
    for name, compressed, ratio, lost in (("int8", True, 2.5, 0.001), ("int4", True, 3.0, 0.02), ("fp32", False, 1, 0)):
        verdicts = [
            drop_verdict(
                share(lost - 0.004, lost, lost + 0.004), at_most(0.01), kind="candidate", subject=f"{name} on test"
            )
        ]
        card = Card(
            name=name,
            technique=f"in words{bad}",
            engine="onnx",
            compressed=compressed,
            artefact=["model.onnx"],
            digest=SOME,
            size_bytes=25_000_000 if compressed else 90_000_000,
            dtypes={"int8": 25_000_000},
            speed_ratio=Interval(
                low=ratio * 0.9, estimate=ratio, high=ratio * 1.1, n=24, unit="ratio", method="order-statistics"
            ),
            peak_memory_bytes=200_000_000,
            verdicts=verdicts if compressed else [],
        )
        write_json(folder / name / "card.json", card)
    not_chosen = {
        "int4": f"loses too much accuracy on validation: {bad}",
        "fp32": "not compressed, and int8 passed every candidate gate on test",
    }
    write_json(
        folder / "choice.json", Choice(chosen="int8", ranked=["int8", "int4"], not_chosen=not_chosen, model=SOME)
    )
    count = 4 * len(labels)
    truth = np.arange(count) % len(labels)
    logits = np.zeros((count, len(labels)), dtype=np.float32)
    logits[np.arange(count), truth] = 2.0
    wrong = np.arange(0, count, 4)  # every fourth row answers the next label, the surer the later the row
    logits[wrong, (truth[wrong] + 1) % len(labels)] = 3.0 + wrong / count
    write_reference(folder, "test", Reference([f"test-{row}" for row in range(count)], logits, truth))


def _reports(folder: Path, labels: list[str], values: list[str], bad: str, *, fails: bool) -> None:
    scopes = [*(f"slice:site={value}" for value in values), *(f"class:{label}" for label in labels)]

    def scoped(kind: str, subject: str) -> list[Verdict]:
        return [
            drop_verdict(
                share(-0.01 + number * 1e-5, number * 1e-5, 0.01 + number * 1e-5),
                at_most(0.03),
                rule="slice_drop_max",
                scope=scope,
                kind=kind,
                subject=subject,
            )
            for number, scope in enumerate(scopes)
        ]

    check = [
        judge(Interval.exact(12, n=21, unit="rows"), at_least(1), rule="not_empty"),
        judge(
            Interval.exact(0.3, n=21, unit="fraction"),
            at_most(0.2),
            rule="duplicate_exact",
            severity="warning",
            next_step=f"export each record once{bad}",
        ),
    ]
    release = [
        Verdict(rule="evidence", interval=None, limit=None, outcome="PASS", reason=f"the reports stand{bad}"),
        drop_verdict(share(0.02, 0.03, 0.04) if fails else share(-0.002, 0.001, 0.004), at_most(0.01)),
        drop_verdict(
            share(-0.02, 0.005, 0.035), at_most(0.03), rule="slice_drop_max", scope=f"slice:site=rare{bad}"
        ).model_copy(
            update={"waiver": Waiver(by=f"Ada{bad}", on=date(2026, 11, 25), reason=f"forty rows more in May{bad}")}
        ),
        *scoped("release", "int8"),
    ]
    accuracy = Measurement(name="accuracy", subject="int8", interval=share(0.85, 0.87, 0.89, 300, "wilson"))
    notes = [f"a note{bad}", "chosen: int8, static int8 by NNCF, calibrated on 300 train rows, 8-bit weights"]
    parameters = {
        "fields": {"text": "body"},
        f"odd{bad}": bad,
        "precision": {"value": "bf16", "reason": f"clearly faster{bad}"},
    }
    project = f"toy{bad}"
    for report in (
        Report(stage="check", project=project, inputs={"train": SOME}, parameters=parameters, verdicts=check),
        Report(stage="train", project=project, inputs={"prepared": SOME, "base": SOME}, notes=notes),
        Report(
            stage="compress",
            project=project,
            inputs={"prepared": SOME, "model": SOME},
            verdicts=scoped("candidate", bad),
        ),
        Report(
            stage="release",
            project=project,
            inputs={"prepared": SOME, "model": SOME, "candidates": SOME},
            measurements=[accuracy],
            verdicts=release,
            notes=notes,
        ),
    ):
        write_report(folder, report)
        write_json(folder / f"{report.stage}.run.json", _run(report.stage, bad))


def _run(stage: str, bad: str) -> RunRecord:
    return RunRecord(
        stage=stage,
        start=datetime(2026, 11, 25, 17, 0, tzinfo=UTC),
        end=datetime(2026, 11, 25, 17, 1, tzinfo=UTC),
        wall_seconds=61.0,
        cpu_seconds=100.0,
        peak_memory_bytes=2_000_000_000,
        machine={"processor": f"a processor{bad}", "cores": 2, "memory_bytes": 25_000_000_000, "cpu_flags": ["avx2"]},
        versions={"python": "3.11.7", "torch": f"2.13.0{bad}"},
    )


def _release(folder: Path, labels: list[str]) -> None:
    reports = {path.stem: digest_file(path) for path in (folder / "reports").glob("*.json") if "." not in path.stem}
    manifest = Manifest(
        project="toy",
        task="classification",
        labels=labels,
        max_length_tokens=16,
        candidate="int8",
        engine="onnx",
        artefact=["model.onnx"],
        dtypes={},
        cpu_flags=[],
        objectives={},
        lineage=Lineage(prepared=SOME, model=SOME, candidates=SOME, reports=reports, commit="abc", modelyard="0.1.0"),
    )
    write_json(folder / "release" / "manifest.json", manifest)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    """`make_project` in a folder of this test's own."""
    return lambda **options: make_project(tmp_path / "project", **options)


@pytest.fixture
def make_language(tmp_path: Path) -> Callable[[Interval], Path]:
    """A language model's project, which ends with `train`: its folder, by what the model gained over its base."""

    def made(gained: Interval) -> Path:
        folder = tmp_path / "tutor"
        names = ("train", "validation", "test")
        (folder / "prepared").mkdir(parents=True)
        for name in names:
            rows = {
                "id": [name],
                "source": [f"{name}.jsonl:1"],
                "prompt": ["说"],
                "completion": ["好"],
                "group": [None],
            }
            pl.DataFrame(rows, schema_overrides={"group": pl.String}).write_parquet(
                folder / "prepared" / f"{name}.parquet"
            )
        dataset = Dataset(
            task="causal_lm",
            shape="prompt_completion",
            labels=[],
            counts=dict.fromkeys(names, 1),
            digests={name: digest_file(folder / "prepared" / f"{name}.parquet") for name in names},
            slices=[],
            seed=0,
            sources=[Source(path="rows.jsonl", digest=SOME, rows=3)],
        )
        write_json(folder / "prepared" / "dataset.json", dataset)
        training = Training(
            task="causal_lm",
            labels=[],
            base=SOME,
            prepared=SOME,
            max_length_tokens=16,
            settings={},
            history=[{"step": 2.0, "epoch": 1.0, "train_loss": 1.0, "validation_loss": 2.0}],
            best_step=2,
        )
        write_json(folder / "model" / "training.json", training)
        perplexity = Interval(low=2.0, estimate=2.5, high=3.25, n=60, unit="perplexity", method="linearised")
        verdict = judge(
            gained, at_most(0.0), rule="better_than_base", scope="split:validation", severity="warning", next_step="so"
        )
        trained = Measurement(name="perplexity", subject="validation", interval=perplexity)
        for report in (
            Report(
                stage="check",
                project="tutor",
                verdicts=[judge(Interval.exact(3, n=3, unit="rows"), at_least(1), rule="not_empty")],
            ),
            Report(stage="train", project="tutor", measurements=[trained], verdicts=[verdict], notes=["perplexity"]),
        ):
            write_report(folder / "reports", report)
        steps = [
            {
                "step": step,
                "loss": 1.0,
                "learning_rate": 0.1,
                "gradient_norm": 1.0,
                "tokens_per_second": 9.0,
                "padding_share": 0.1,
            }
            for step in (1, 2)
        ]
        (folder / "reports" / "train.metrics.jsonl").write_text("\n".join(map(json.dumps, steps)), encoding="utf-8")
        return folder

    return made
