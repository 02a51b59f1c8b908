import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from modelyard.artifacts.files import write_text
from modelyard.artifacts.reports import read_report, write_report
from modelyard.data.change.history import append, history_file
from modelyard.errors import InputError
from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Report
from modelyard.reporting.collect import collect
from modelyard.reporting.page import flattened, number, render, write_page, write_report_page
from modelyard.reporting.words import read_words

Make = Callable[..., Any]
SECTIONS = ("data", "training", "ladder", "mistakes")
VOID = {"meta", "input", "br", "img", "link", "hr"}
MAX_BYTES = 1_500_000


class Page(HTMLParser):
    """What a browser's parser meets: elements with attributes, the text, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html_of(made: Any) -> str:
    return render(collect(made.folder))


@pytest.fixture
def hostile(make: Make) -> str:
    return html_of(make(hostile=True, fails=True))


def test_hostile_text_is_only_text(hostile: str) -> None:
    page = Page(hostile)
    assert page.open == []
    assert len(page.named("script")) == 1 and page.named("script")[0] == {}
    assert len(page.named("style")) == 1
    assert not {tag for tag, _ in page.elements} & {"img", "iframe", "object", "embed", "link", "base", "form", "frame"}
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("style", "src", "srcset", "action", "data"), (tag, name)
            assert name not in ("href", "xlink:href") or (value or "").startswith("#"), (tag, value)
    said = "".join(page.text)
    assert said.count("<script>alert(1)</script>") > 50  # shown as the text that it is
    assert "{{7*7}}" in said and "toy49" not in said
    assert "\x00" not in hostile and "\u202e" not in hostile


def test_hostile_text_reaches_every_section(hostile: str) -> None:
    parts = re.split(r'<section id="(\w+)">', hostile)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(found) == {"verdicts", *SECTIONS, "lineage"}
    for name, part in found.items():
        assert name == "training" or "&lt;script&gt;" in part, name


def test_only_our_own_style_and_script_are_allowed(hostile: str) -> None:
    (policy,) = [one["content"] or "" for one in Page(hostile).named("meta") if "http-equiv" in one]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", hostile, flags=re.DOTALL)[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert hostile.index("Content-Security-Policy") < hostile.index("<style>")


def test_nothing_is_loaded_from_anywhere(make: Make) -> None:
    html = html_of(make())
    assert not re.search(r"https?://", html)
    assert set(re.findall(r"url\(([^)]*)\)", html)) == {"#hatch"}


def test_every_drawing_is_well_formed(hostile: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", hostile, flags=re.DOTALL)
    assert len(drawings) > 40
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-hidden") == "true"  # its numbers stand beside it as text
        assert not [part for part in root.iter() if part.tag in ("script", "foreignObject", "image", "a", "use")]


def test_ids_are_unique_and_links_lead_somewhere(hostile: str) -> None:
    page = Page(hostile)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    targets = {(one["href"] or "")[1:] for one in page.named("a")} | {one["for"] for one in page.named("label")}
    assert len(targets) > 10 and targets <= set(names)


def test_both_languages_are_whole(make: Make) -> None:
    page = Page(html_of(make()))
    spans = [one for tag, one in page.elements if tag in ("span", "tspan") and one.get("class") in ("en", "zh")]
    english = [one for one in spans if one["class"] == "en"]
    assert len(english) > 150 and 2 * len(english) == len(spans)
    assert all(one["lang"] == {"en": "en", "zh": "zh-CN"}[one["class"] or ""] for one in spans)


@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        ("prepared", {"data", "mistakes"}),
        ("candidates", {"ladder", "mistakes"}),
        ("candidates/reference", {"mistakes"}),
        ("", set()),
    ],
)
def test_a_missing_section_names_the_command_that_writes_it(make: Make, gone: str, missing: set[str]) -> None:
    made = make()
    if gone:
        shutil.rmtree(made.folder / gone)
    html = html_of(made)
    Page(html)
    said = {name for name in SECTIONS if read_words()[f"left_out.{name}"]["en"] in html}
    assert said == missing


def test_reports_alone_make_a_page(make: Make) -> None:
    made = make(released=False)
    for folder in ("prepared", "candidates", "model"):
        shutil.rmtree(made.folder / folder)
    for path in [*made.reports.glob("*.run.json"), made.reports / "train.metrics.jsonl"]:
        path.unlink()
    html = html_of(made)
    Page(html)
    for name in (*SECTIONS, "lineage"):
        assert read_words()[f"left_out.{name}"]["zh"] in html


def test_what_cannot_be_read_is_told(make: Make) -> None:
    made = make()
    for name in ("prepared/dataset.json", "candidates/choice.json", "release/manifest.json", "reports/train.run.json"):
        (made.folder / name).write_text("{")
    html = html_of(made)
    Page(html)
    for name in ("dataset.json", "choice.json", "manifest.json", "train.run.json"):
        assert f"{name} is not JSON" in html


def test_outcomes_stand_as_words_and_marks(make: Make) -> None:
    html = html_of(make(fails=True))
    assert re.search(r'class="chip FAIL"><span aria-hidden="true">✘</span> <span class="en" lang="en">FAIL', html)
    assert re.search(r'class="chip INCONCLUSIVE quiet"><span aria-hidden="true">\?</span>', html)  # it is waived
    assert "by Ada on 2026-11-25: forty rows more in May" in html
    assert html.index('chip FAIL"') < html.index('id="data"')


def test_a_stage_of_ones_own_is_shown(make: Make) -> None:
    made = make()
    write_report(made.reports, Report(stage="my-stage", project="toy", parameters={"a": {"b": {}}, "c": [1, "é"]}))
    html = html_of(made)
    Page(html)
    assert "<code>my-stage</code>" in html and "<code>a.b</code>" in html


def test_a_very_large_project_still_opens(make: Make) -> None:
    made = make(labels=300, slices=200, hostile=True, fails=True)
    html = html_of(made)
    Page(html)
    assert len(html.encode()) < MAX_BYTES
    assert "40 of 500 are shown" in html  # verdicts of one rule
    assert "276 between these are left out" in html  # labels
    assert "176 between these are left out" in html  # values of a slice


def test_the_same_folders_give_the_same_page(make: Make) -> None:
    made = make()
    assert html_of(made) == html_of(made)


def test_the_page_is_written_beside_the_reports(make: Make) -> None:
    made = make()
    for place in (made.folder, made.reports):
        assert write_page(place) == made.reports / "report.html"
    assert write_page(made.folder, made.folder / "other.html").is_file()
    assert {path.suffix for path in made.reports.iterdir()} == {".json", ".jsonl", ".html"}


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_not_ours_is_not_replaced(make: Make, kind: str) -> None:
    made = make()
    target = made.folder / "data.csv"
    if kind == "file":
        target.write_text("precious")
    elif kind == "link":
        write_page(made.folder, made.folder / "ours.html")
        target.symlink_to(made.folder / "ours.html")
    else:
        target.mkdir()
    with pytest.raises(InputError, match="no report page of ours"):
        write_page(made.folder, target)


def test_a_signed_release_is_not_broken(make: Make) -> None:
    made = make()
    write_text(made.folder / "release" / "signature", "{}")
    shutil.copytree(made.reports, made.folder / "release" / "evidence")
    with pytest.raises(InputError, match="no longer verifies"):
        write_page(made.folder / "release" / "evidence")
    assert not (made.folder / "release" / "evidence" / "report.html").exists()
    assert write_page(made.folder / "release" / "evidence", made.folder / "page.html").is_file()


def test_one_report_is_no_page(make: Make) -> None:
    made = make()
    with pytest.raises(InputError, match="a page shows a folder"):
        write_page(made.reports / "check.json")


def test_parameters_are_flattened() -> None:
    assert flattened({"a": {"value": 1, "reason": "why"}, "b": {"c": {"d": True}}, "e": "text"}) == [
        ("a", "1", "why"),
        ("b.c.d", "true", ""),
        ("e", "text", ""),
    ]


def test_deep_parameters_end(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"a": deep}
    ((name, value, _),) = flattened(deep)
    assert name == "a.a.a.a.a" and value.startswith('{"a"')


def test_numbers_that_are_none() -> None:
    assert [number(value, 2) for value in (1234.5, float("nan"), float("-inf"))] == ["1,234.50", "nan", "-inf"]


HOSTILE = "<script>alert(1)</script>\"'>{{7*7}}"


def test_a_comparison_alone_shows_only_itself(tmp_path: Path) -> None:
    drawn = {"column": f"price{HOSTILE}", "kind": "category", "names": [HOSTILE], "old": [1.0], "new": [1.0]}
    report = Report(stage="compare", project=f"a -> b{HOSTILE}", parameters={"distributions": [drawn], "old": HOSTILE})
    html = write_report_page(report, tmp_path / "change.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == [] and "<script>alert" not in html
    assert [one.get("id") for one in page.named("section")] == ["verdicts", "changes"]
    assert "<code>distributions" not in html  # it is drawn, not listed
    write_report_page(report, tmp_path / "change.html")  # ours may be replaced
    (tmp_path / "change.html").write_text("mine")
    with pytest.raises(InputError, match="no report page of ours"):
        write_report_page(report, tmp_path / "change.html")


def test_changes_and_trends_of_a_project(make: Make) -> None:
    made = make()
    write_report(made.reports, Report(stage="compare", project="a -> b"))
    append(made.reports, read_report(made.reports / "check.json"), datetime(2026, 11, 1, tzinfo=UTC))
    page = Page(html_of(made))
    sections = ["verdicts", "data", "changes", "history", "training", "ladder", "mistakes", "lineage"]
    assert [one.get("id") for one in page.named("section")] == sections
    assert page.open == []
    history_file(made.reports).write_text("{")
    assert "there is no audit in" in html_of(made)  # why it is left out


def test_a_language_model_has_no_section_that_cannot_be_filled(make_language: Callable[..., Any]) -> None:
    gained = Interval(low=-3, estimate=-2, high=-1, n=60, unit="nats", method="linearised")
    html = render(collect(make_language(gained)))
    page = Page(html)
    assert [one.get("id") for one in page.named("section")] == ["verdicts", "data", "training", "lineage"]
    targets = {one["href"] for one in page.named("a")}
    assert targets == {"#content", "#stage-1", "#stage-2", "#data", "#training", "#lineage"}
    said = "".join(page.text)
    for key in ("data.labels", "title.ladder", "title.mistakes", "left_out.ladder", "left_out.mistakes"):
        assert read_words()[key]["en"] not in said, key
    assert "2.50 perplexity" not in said and "7.39" in said  # the perplexity of a loss of 2 nats
    titles = ("training.losses", "training.gradient_norm", "training.learning_rate", "training.shares")
    assert all(read_words()[key]["en"] in said for key in titles)


def test_what_a_language_model_writes_is_shown_as_text(make_language: Callable[..., Any]) -> None:
    folder = make_language(Interval(low=-3, estimate=-2, high=-1, n=60, unit="nats", method="linearised"))
    bad = "<script>alert(1)</script>"
    answers = [{"source": "a:1", "prompt": bad, "wanted": bad, "written": written} for written in (bad, "other")]
    (folder / "reports" / "train.answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    html = render(collect(folder))
    page = Page(html)
    assert len(page.named("script")) == 1
    part = html.partition('<section id="training">')[2]
    assert part.count("&lt;script&gt;") == 4  # what is as it was wanted stands there once
    assert read_words()["training.answers"]["en"] in "".join(page.text)
