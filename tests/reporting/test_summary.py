import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.reports import read_report, write_report
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement, Report
from modelyard.reporting.collect import collect
from modelyard.reporting.summary import Summary, summarise

Make = Callable[..., Any]


def summary(made: Any) -> Summary:
    return summarise(collect(made.folder))


def test_a_release_that_names_these_reports(make: Make) -> None:
    found = summary(make())
    assert (found.state, found.outcome, found.mark, found.current) == ("released", "PASS", "✔", True)
    assert (found.project, found.chosen, found.blocking) == ("toy", "int8", 0)  # the waived one does not block
    assert found.digest is not None


def test_a_release_of_other_reports(make: Make) -> None:
    made = make()
    report = read_report(made.reports / "train.json")
    write_report(made.reports, report.model_copy(update={"notes": ["run again"]}))
    found = summary(made)
    assert (found.state, found.current) == ("passed", False)


def test_passed_without_a_release(make: Make) -> None:
    assert summary(make(released=False)).state == "passed"


def test_refused(make: Make) -> None:
    found = summary(make(fails=True))
    assert (found.state, found.outcome, found.mark, found.blocking) == ("refused", "FAIL", "✘", 1)


@pytest.mark.parametrize(("high", "state", "mark"), [(0.5, "open", "…"), (1.5, "inconclusive", "?")])
def test_before_a_release_was_judged(make: Make, high: float, state: str, mark: str) -> None:
    made = make(released=False)
    for stage in ("release", "compress", "train"):
        (made.reports / f"{stage}.json").unlink()
    shutil.rmtree(made.folder / "candidates")
    interval = Interval(low=0, estimate=0.1, high=high, n=9, unit="ratio", method="bca")
    verdict = judge(interval, at_most(1), rule="mine")
    write_report(made.reports, Report(stage="mine", project="p", verdicts=[verdict]))
    found = summary(made)
    assert (found.state, found.mark, found.last, found.project, found.chosen) == (state, mark, "mine", "p", "")
    assert found.figures == []


def test_the_figures_that_everybody_asks_for(make: Make) -> None:
    accuracy, lost, speed, size = summary(make()).figures
    assert accuracy.value == "87.00%" and "85.00 to 89.00, on 300 test rows" in accuracy.below
    assert "0.10 points" in lost.value and "−0.20 to 0.40; allowed" in lost.below
    assert "2.50×" in speed.value and "2.25 to 2.75 times" in speed.below
    assert size.value == "25.0 MB" and "90.0 MB before compression" in size.below


def test_figures_from_the_card_and_earlier_reports(make: Make) -> None:
    made = make(released=False)
    (made.reports / "release.json").unlink()
    report = read_report(made.reports / "train.json")
    accuracy = {
        "name": "accuracy",
        "subject": "validation",
        "interval": Interval(low=0.7, estimate=0.8, high=0.9, n=50, unit="fraction", method="wilson"),
    }
    write_report(made.reports, Report.model_validate({**report.model_dump(), "measurements": [accuracy]}))
    accuracy_figure, lost, _, _ = summary(made).figures
    assert accuracy_figure.value == "80.00%" and "50 validation rows" in accuracy_figure.below
    assert "0.10 points" in lost.value  # of the card's own verdict


@pytest.mark.parametrize(
    ("high", "state", "mark"), [(0.05, "same", "✔"), (0.4, "unsettled", "?"), (None, "changed", "✘")]
)
def test_a_comparison_alone(tmp_path: Path, high: float | None, state: str, mark: str) -> None:
    ends = (0.3, 0.35, 0.4) if high is None else (0.0, 0.02, high)
    interval = Interval(low=ends[0], estimate=ends[1], high=ends[2], n=9, unit="fraction", method="kolmogorov")
    verdict = judge(interval, at_most(0.1), rule="ks", scope="column:price")
    write_report(tmp_path, Report(stage="compare", project="a -> b", verdicts=[verdict]))
    found = summarise(collect(tmp_path))
    assert (found.state, found.mark, found.project, found.blocking) == (state, mark, "a -> b", high != 0.05)


def test_a_comparison_says_nothing_about_a_release(make: Make) -> None:
    made = make()
    before = summary(made)
    interval = Interval(low=0.3, estimate=0.35, high=0.4, n=9, unit="fraction", method="kolmogorov")
    write_report(
        made.reports, Report(stage="compare", project="x", verdicts=[judge(interval, at_most(0.1), rule="ks")])
    )
    after = summary(made)
    assert (after.state, after.project, after.last, after.blocking) == (before.state, "toy", "release", before.blocking)


@pytest.mark.parametrize(
    ("ends", "shown", "state", "outcome"),
    [
        ((-3.0, -2.0, -1.0), ("\u22123.00", "\u22122.00", "\u22121.00"), "trained", "PASS"),
        ((1.0, 2.0, 3.0), ("1.00", "2.00", "3.00"), "worse", "FAIL"),
        ((-1.0, 0.0, 1.0), ("\u22121.00", "0.00", "1.00"), "doubted", "INCONCLUSIVE"),
    ],
)
def test_a_language_model_ends_with_its_training(
    make_language: Callable[..., Any],
    ends: tuple[float, float, float],
    shown: tuple[str, str, str],
    state: str,
    outcome: str,
) -> None:
    gained = Interval(low=ends[0], estimate=ends[1], high=ends[2], n=60, unit="nats", method="linearised")
    found = summarise(collect(make_language(gained)))
    assert (found.state, found.outcome, found.blocking) == (state, outcome, 0)
    judged, against = found.figures
    assert judged.value == "2.50"  # a perplexity has no unit
    assert "2.00 to 3.25, trained model, 60 validation rows" in judged.below
    low, estimate, high = shown
    assert f">{estimate} nats<" in against.value and f">{estimate} 纳特<" in against.value
    assert f">{low} to {high} a token, the same 60 validation rows<" in against.below


def test_a_language_model_before_its_training(make_language: Callable[..., Any]) -> None:
    folder = make_language(Interval(low=0, estimate=0, high=0, n=2, unit="nats", method="linearised"))
    (folder / "reports" / "train.json").unlink()
    found = summarise(collect(folder))
    assert (found.state, found.last, found.next, found.figures) == ("open", "check", "train", [])


@pytest.mark.parametrize(
    ("task", "near", "value"), [("causal_lm", "ROUGE-L", "50.50%"), ("seq2seq_lm", "BLEU", "31.25")]
)
def test_what_a_language_model_writes_is_told(
    make_language: Callable[..., Any], task: str, near: str, value: str
) -> None:
    folder = make_language(Interval(low=-3, estimate=-2, high=-1, n=60, unit="nats", method="linearised"))
    report = read_report(folder / "reports" / "train.json")
    shares = {"exact_match": (0.25, "fraction"), "rouge_l": (0.505, "fraction"), "bleu": (31.25, "BLEU")}
    written = [
        Measurement(
            name=name,
            subject="validation",
            interval=Interval(low=0.0, estimate=share, high=share, n=9, unit=unit, method="wilson"),
        )
        for name, (share, unit) in shares.items()
    ]
    write_report(folder / "reports", report.model_copy(update={"measurements": [*report.measurements, *written]}))
    dataset = folder / "prepared" / "dataset.json"
    dataset.write_text(dataset.read_text().replace("causal_lm", task))
    figures = summarise(collect(folder)).figures
    assert [figure.value for figure in figures[2:]] == ["25.00%", value]
    assert "wanted text" in figures[2].name and f"{near} of its answers" in figures[3].name
    assert ">0.00 to 25.00, 9 validation rows<" in figures[2].below
