"""The gate: what passes builds a signed release, what fails or cannot tell names itself and leaves what stood.

The folders are real, the engine is a fake that is told which rows it gets wrong.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.artifacts.candidate import Card, Choice, digest_artefact
from modelyard.artifacts.files import digest_bytes, digest_file, digest_folder, write_json
from modelyard.artifacts.keys import ENVIRONMENT, new_key_pair
from modelyard.artifacts.model import Training
from modelyard.artifacts.prepared import Dataset, Source
from modelyard.artifacts.release import open_release
from modelyard.artifacts.reports import read_report, write_report
from modelyard.compression.reference import Reference, write_reference
from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, exit_status, judge
from modelyard.evidence.report import Report
from modelyard.pipeline import release as stage
from modelyard.project.load import parse_settings

LABELS = ["bad", "good"]


@dataclass
class FakeEngine:
    """Answers the true label of each row in order, but for the rows in `wrong`; `shift` is added to every logit."""

    truth: list[int]
    wrong: set[int] = field(default_factory=set)
    shift: float = 0.0
    nan: bool = False
    batches: list[int] = field(default_factory=list)
    closed: bool = False

    def run(self, rows: Sequence[Sequence[int]]) -> Any:
        start = sum(self.batches) % len(self.truth)
        self.batches.append(len(rows))
        logits = np.zeros((len(rows), 2), dtype=np.float32)
        for index in range(len(rows)):
            place = (start + index) % len(self.truth)
            logits[index, self.truth[place] ^ (place in self.wrong)] = 4.0
        logits += np.float32(self.shift)
        return logits * np.float32(np.nan) if self.nan else logits

    def close(self) -> None:
        self.closed = True


@dataclass
class World:
    """A project whose stages have all passed."""

    root: Path
    engine: FakeEngine
    batch_rows: int = 32
    temperature: float = 1.0

    def run(self, gates: str = "{}", more: str = "") -> Report:
        keys = "release: {trusted_keys: [keys/team.pub]}\n" if "release:" not in more else ""
        settings = parse_settings(
            f"schema: 1\nproject: tiny\ndata: {{train: d}}\nmodel: {{base: b}}\ngates: {gates}\n{keys}{more}"
        )
        folders = {name: self.root / name for name in ("prepared", "model", "candidates", "reports")}
        report = stage.release(settings, root=self.root, output=self.root / "release", **folders)
        assert read_report(self.root / "reports/release.json") == report
        assert (self.root / "reports/release.run.json").is_file()
        return report

    def change_card(self, **values: object) -> None:
        path = self.root / "candidates/small/card.json"
        card = Card.model_validate_json(path.read_text(encoding="utf-8"))
        write_json(path, card.model_copy(update=values))
        self.restate()

    def restate(self) -> None:
        """Reports of `train` and `compress` about the folders as they are."""
        dataset = digest_file(self.root / "prepared/dataset.json")
        model = digest_folder(self.root / "model")
        write_json(
            self.root / "candidates/choice.json",
            Choice(chosen="small", ranked=["small"], not_chosen={"export": "slower"}, model=model),
        )
        reports = self.root / "reports"
        write_report(reports, Report(stage="check", project="tiny", parameters={"prepared": dataset}))
        trained = Report(stage="train", project="tiny", inputs={"prepared": dataset}, parameters={"model": model})
        write_report(reports, trained)
        answers = digest_folder(self.root / "candidates/reference")
        inputs = {"prepared": dataset, "model": model, "reference": answers}
        chosen = {"chosen": "small", "batch_rows": {"small": self.batch_rows}}
        write_report(reports, Report(stage="compress", project="tiny", inputs=inputs, parameters=chosen))
        card = Card.model_validate_json((self.root / "candidates/small/card.json").read_text(encoding="utf-8"))
        found = {"prepared": dataset, "model": model, "artefact": card.digest}
        served = {"batch_rows": self.batch_rows, "temperature": self.temperature}
        write_report(reports, Report(stage="audit", project="tiny", inputs=found, parameters=served))


def make_prepared(folder: Path, rows: int) -> list[int]:
    folder.mkdir()
    truth = [number % 2 for number in range(rows)]
    frame = pl.DataFrame(
        {
            "id": [f"id{number}" for number in range(rows)],
            "source": [f"rows.csv:{number + 2}" for number in range(rows)],
            "text": [f"film {number}" for number in range(rows)],
            "label": [LABELS[index] for index in truth],
            "site": ["a" if number % 4 < 2 else "b" for number in range(rows)],
        }
    )
    for name in ("train", "validation", "test"):
        frame.write_parquet(folder / f"{name}.parquet")
    write_json(
        folder / "dataset.json",
        Dataset(
            task="classification",
            labels=LABELS,
            counts=dict.fromkeys(("train", "validation", "test"), rows),
            digests={name: digest_file(folder / f"{name}.parquet") for name in ("train", "validation", "test")},
            slices=["site"],
            seed=0,
            sources=[Source(path="rows <b>|.csv", digest=digest_bytes(b"rows"), rows=rows)],
        ),
    )
    (folder / "baseline.json").write_text("{}", encoding="utf-8")
    return truth


def make_model(folder: Path, tiny_base: Path, prepared: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"pad_token_id": 0}', encoding="utf-8")
    (folder / "tokenizer.json").write_bytes((tiny_base / "tokenizer.json").read_bytes())
    training = Training(
        task="classification",
        labels=LABELS,
        base="sha256:b",
        prepared=digest_file(prepared / "dataset.json"),
        max_length_tokens=32,
        settings={"epochs": 1},
        history=[],
        best_step=1,
    )
    write_json(folder / "training.json", training)


def make_candidate(folder: Path, model: Path, name: str, *, compressed: bool) -> None:
    own = folder / name
    own.mkdir()
    for file in ("config.json", "tokenizer.json"):
        (own / file).write_bytes((model / file).read_bytes())
    (own / "model.onnx").write_bytes(name.encode())
    card = Card(
        name=name,
        technique=f"{name} technique",
        engine="onnx",
        compressed=compressed,
        artefact=["model.onnx"],
        digest=digest_artefact(own, ["model.onnx"]),
        size_bytes=5,
        dtypes={"int8": 5},
        speed_ratio=Interval(low=1.9, estimate=2.0, high=2.1, n=24, unit="ratio", method="order-statistics"),
        accuracy={"test": Interval.exact(0.9, n=10, unit="fraction")},
    )
    write_json(own / "card.json", card)


@pytest.fixture
def make_world(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], World]:
    monkeypatch.delenv(ENVIRONMENT, raising=False)

    def make(rows: int) -> World:
        truth = make_prepared(tmp_path / "prepared", rows)
        make_model(tmp_path / "model", tiny_base, tmp_path / "prepared")
        candidates = tmp_path / "candidates"
        candidates.mkdir()
        make_candidate(candidates, tmp_path / "model", "small", compressed=True)
        make_candidate(candidates, tmp_path / "model", "export", compressed=False)
        engine = FakeEngine(truth)
        trained = engine.run([[1]] * rows)
        engine.batches.clear()
        ids = [f"id{number}" for number in range(rows)]
        write_reference(candidates, "test", Reference(ids, trained, np.array(truth)))
        new_key_pair(tmp_path / "keys")
        world = World(tmp_path, engine)
        world.restate()
        monkeypatch.setattr(stage, "open_engine", lambda *arguments: engine)
        return world

    return make


def of_rule(report: Report, rule: str) -> dict[str, Verdict]:
    return {verdict.scope: verdict for verdict in report.verdicts if verdict.rule == rule}


def test_what_passes_is_built_signed_and_says_everything(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    report = world.run("{accuracy_min: 0.9, latency_p95_ms_max: 60000, compressed: required}")
    assert exit_status(report.verdicts) == 0
    assert world.engine.batches[:25] == [32] * 25  # 800 rows as served
    assert world.engine.closed
    release = open_release(world.root / "release", [world.root / "keys/team.pub"])
    assert set(release.manifest.files) == {
        "model.onnx",
        "tokenizer.json",
        "config.json",
        "baseline.json",
        "MODEL_CARD.md",
        *(f"evidence/{name}.json" for name in ("check", "train", "compress", "audit", "release")),
    }
    lineage = release.manifest.lineage
    assert lineage.model == digest_folder(world.root / "model")
    assert lineage.reports["release"] == digest_file(world.root / "reports/release.json")
    assert set(of_rule(report, "slice_drop_max")) == {"slice:site=a", "slice:site=b", "class:bad", "class:good"}
    # Tango without a discordant row: z^2 / (n + z^2), z^2 = 3.8415
    overall = of_rule(report, "drop_max")["overall"].interval
    assert overall is not None
    assert overall.high == pytest.approx(3.8415 / 803.8415, rel=1e-4)
    assert {of_rule(report, rule)["overall"].outcome for rule in ("accuracy_min", "latency_p95_ms_max")} == {"PASS"}
    assert of_rule(report, "compressed")["overall"].interval is None


def test_equal_work_gives_an_equal_release(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    world.run()
    first = digest_folder(world.root / "release")
    world.run()
    assert digest_folder(world.root / "release") == first


def test_a_model_that_lost_accuracy_fails_and_what_stood_still_stands(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    world.run()
    before = digest_folder(world.root / "release")
    world.engine.wrong = {number for number in range(800) if number % 4 == 0}  # class bad, slice a
    world.engine.batches.clear()
    report = world.run()
    assert exit_status(report.verdicts) == 1
    assert of_rule(report, "drop_max")["overall"].outcome == "FAIL"
    scopes = of_rule(report, "slice_drop_max")
    assert {scope for scope, verdict in scopes.items() if verdict.outcome == "FAIL"} == {"slice:site=a", "class:bad"}
    assert digest_folder(world.root / "release") == before


def test_too_few_rows_are_inconclusive_and_say_how_many_it_takes(make_world: Callable[[int], World]) -> None:
    report = make_world(60).run()
    assert exit_status(report.verdicts) == 3
    # no discordant row: z^2 (1 - 0.01) / 0.01 = 380.3
    assert of_rule(report, "drop_max")["overall"].samples_needed == 381


def test_a_waiver_lifts_what_cannot_be_told_and_stands_in_the_card(make_world: Callable[[int], World]) -> None:
    world = make_world(60)
    undecided = [verdict for verdict in world.run().verdicts if verdict.blocks]
    waivers = ", ".join(
        f'{{rule: {verdict.rule}, scope: "{verdict.scope}", by: Li Wei, on: 2026-11-25, reason: "pilot <b>*only*"}}'
        for verdict in undecided
    )
    world.engine.batches.clear()
    report = world.run(f"{{waivers: [{waivers}]}}")
    assert exit_status(report.verdicts) == 0
    card = (world.root / "release/MODEL_CARD.md").read_text(encoding="utf-8")
    assert r"Li Wei on 2026-11-25: pilot &lt;b&gt;\*only\*" in card
    assert sum("was waived by Li Wei" in note for note in report.notes) == len(undecided)


def test_a_waiver_never_lifts_a_fail_and_one_that_names_nothing_is_said(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    world.engine.wrong = set(range(0, 800, 2))
    report = world.run(
        "{waivers: [{rule: drop_max, by: a, on: 2026-11-25, reason: r}, "
        "{rule: no_rule, by: a, on: 2026-11-25, reason: r}]}"
    )
    assert exit_status(report.verdicts) == 1
    assert of_rule(report, "drop_max")["overall"].waiver is None
    idle = [verdict for verdict in report.verdicts if verdict.rule == "waiver"]
    assert {verdict.subject for verdict in idle} == {"drop_max", "no_rule"}
    assert {verdict.severity for verdict in idle} == {"warning"}


@pytest.mark.parametrize(("gates", "status"), [("{}", 0), ("{compressed: required}", 1)])
def test_the_uncompressed_export_is_judged_by_parity(
    make_world: Callable[[int], World], gates: str, status: int
) -> None:
    world = make_world(60)
    world.change_card(compressed=False)
    world.engine.shift = 0.00009
    report = world.run(gates)
    assert exit_status(report.verdicts) == status
    assert of_rule(report, "parity")["overall"].outcome == "PASS"
    assert not of_rule(report, "drop_max")
    world.engine.shift = 0.0002
    world.engine.batches.clear()
    assert of_rule(world.run(), "parity")["overall"].outcome == "FAIL"


def test_answers_that_are_no_numbers_are_wrong(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    world.engine.nan = True
    report = world.run("{accuracy_min: 0.01}")
    assert of_rule(report, "accuracy_min")["overall"].outcome == "FAIL"
    assert of_rule(report, "drop_max")["overall"].outcome == "FAIL"


@pytest.mark.parametrize(("limit", "outcome"), [(0.9, "PASS"), (0.95, "INCONCLUSIVE"), (0.99, "FAIL")])
def test_accuracy_is_judged_by_its_interval(make_world: Callable[[int], World], limit: float, outcome: str) -> None:
    world = make_world(400)
    world.engine.wrong = set(range(0, 400, 20))  # 95%: Wilson's interval is 0.924 to 0.968
    report = world.run(f"{{accuracy_min: {limit}, drop_max: 0.9, slice_drop_max: 0.9}}")
    assert of_rule(report, "accuracy_min")["overall"].outcome == outcome
    assert exit_status(report.verdicts) == {"PASS": 0, "INCONCLUSIVE": 3, "FAIL": 1}[outcome]


def test_latency_is_judged_on_single_rows(make_world: Callable[[int], World]) -> None:
    report = make_world(100).run("{latency_p95_ms_max: 0.0000001, drop_max: 0.9, slice_drop_max: 0.9}")
    verdict = of_rule(report, "latency_p95_ms_max")["overall"]
    assert verdict.outcome == "FAIL"
    assert verdict.interval is not None
    assert verdict.interval.n == stage.LATENCY_RUNS


def damage_model(world: World) -> None:
    (world.root / "model/extra.txt").write_text("x")


def damage_artefact(world: World) -> None:
    (world.root / "candidates/small/model.onnx").write_bytes(b"ruined")


def damage_reference(world: World) -> None:
    path = world.root / "candidates/reference/test.parquet"
    pl.read_parquet(path).reverse().write_parquet(path)


def damage_check(world: World) -> None:
    write_report(world.root / "reports", Report(stage="check", project="tiny", parameters={"prepared": "sha256:old"}))


def keep_old_train(world: World) -> None:
    path = world.root / "reports/train.json"
    write_report(path.parent, read_report(path).model_copy(update={"parameters": {"model": "sha256:before"}}))


def fail_train(world: World) -> None:
    path = world.root / "reports/train.json"
    bad = judge(Interval.exact(3, n=3, unit="rows"), at_most(0), rule="non_finite")
    write_report(path.parent, read_report(path).model_copy(update={"verdicts": [bad]}))


def fail_own_stage(world: World) -> None:
    bad = judge(Interval.exact(3, n=3, unit="rows"), at_most(0), rule="toxic")
    write_report(world.root / "reports", Report(stage="audit", project="tiny", verdicts=[bad]))


def break_report(world: World) -> None:
    (world.root / "reports/compress.json").write_text("{", encoding="utf-8")


def remove_artefact(world: World) -> None:
    (world.root / "candidates/small/model.onnx").unlink()


def choose_another(world: World) -> None:
    path = world.root / "reports/compress.json"
    write_report(path.parent, read_report(path).model_copy(update={"parameters": {"chosen": "export"}}))


def swap_tokenizer(world: World) -> None:
    (world.root / "candidates/small/config.json").write_text("{}", encoding="utf-8")


def batch_otherwise(world: World) -> None:
    path = world.root / "candidates/small/card.json"
    card = Card.model_validate_json(path.read_text(encoding="utf-8"))
    write_json(path, card.model_copy(update={"batch_rows": 1}))


def rewrite_answers(world: World) -> None:
    path = world.root / "candidates/reference/test.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(logits=pl.Series([[0.0, 1.0]] * frame.height, dtype=pl.List(pl.Float32))).write_parquet(path)


def train_on_other_data(world: World) -> None:
    path = world.root / "model/training.json"
    training = Training.model_validate_json(path.read_text(encoding="utf-8"))
    write_json(path, training.model_copy(update={"prepared": "sha256:old", "labels": LABELS[::-1]}))
    world.restate()


@pytest.mark.parametrize(
    ("damage", "scope", "words"),
    [
        (damage_model, "stage:compress", "not about this model/"),
        (damage_artefact, "stage:compress", "was changed after `compress` judged it"),
        (damage_reference, "stage:compress", "not about the test rows"),
        (damage_check, "stage:check", "not about this prepared/"),
        (keep_old_train, "stage:train", "not about this model/"),
        (fail_train, "stage:train", "non_finite"),
        (fail_own_stage, "stage:audit", "toxic"),
        (break_report, "stage:compress", "is not JSON"),
        (remove_artefact, "stage:compress", "model.onnx is missing"),
        (choose_another, "stage:compress", "another candidate"),
        (batch_otherwise, "stage:compress", "in other batches"),
        (rewrite_answers, "stage:compress", "answers in candidates/reference/ were changed"),
        (train_on_other_data, "stage:train", "trained on another prepared/"),
        (train_on_other_data, "stage:train", "in another order"),
        (swap_tokenizer, "stage:compress", "config.json is not the one of model/"),
    ],
)
def test_evidence_that_does_not_stand_fails_and_is_named(
    make_world: Callable[[int], World], damage: Callable[[World], None], scope: str, words: str
) -> None:
    world = make_world(800)
    damage(world)
    report = world.run()
    assert exit_status(report.verdicts) == 1
    found = [verdict for verdict in report.verdicts if verdict.rule == "evidence"]
    assert any(verdict.scope == scope and words in verdict.reason for verdict in found)
    assert all(verdict.outcome == "FAIL" and verdict.next_step for verdict in found)
    assert not (world.root / "release").exists()


def test_all_missing_reports_are_named_at_once(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    for path in (world.root / "reports").glob("*.json"):
        path.unlink()
    report = world.run()
    assert set(of_rule(report, "evidence")) == {"stage:check", "stage:train", "stage:compress", "stage:audit"}


def test_an_artefact_that_cannot_be_run_fails_the_gate(
    make_world: Callable[[int], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(800)

    def refuse(*arguments: object) -> FakeEngine:
        raise InputError(Problem("model.onnx cannot be loaded", "run `modelyard compress` again"))

    monkeypatch.setattr(stage, "open_engine", refuse)
    report = world.run()
    assert exit_status(report.verdicts) == 1
    assert "cannot be loaded" in of_rule(report, "evidence")["stage:compress"].reason


def test_what_upstream_left_undecided_blocks_until_it_is_waived(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    path = world.root / "reports/check.json"
    few = Interval(low=0.0, estimate=0.5, high=2.0, n=9, unit="rows", method="bca")
    undecided = judge(few, at_most(1), rule="slice_size")
    write_report(path.parent, read_report(path).model_copy(update={"verdicts": [undecided]}))
    assert exit_status(world.run().verdicts) == 3
    waived = world.run("{waivers: [{rule: slice_size, by: a, on: 2026-11-25, reason: r}]}")
    assert exit_status(waived.verdicts) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("release: {}\n", "there is none"),
        ("release: {trusted_keys: [other/team.pub]}\n", "not the private half"),
        ("release: {trusted_keys: [keys/team.pub], private_key: gone.pem}\n", "cannot be read"),
    ],
)
def test_a_release_that_nobody_could_load_is_not_begun(
    make_world: Callable[[int], World], more: str, words: str
) -> None:
    world = make_world(60)
    new_key_pair(world.root / "other")
    with pytest.raises(InputError, match=words):
        world.run(more=more)


@pytest.mark.parametrize("file", ["prepared/baseline.json", "model/tokenizer.json", "candidates/small/card.json"])
def test_folders_that_are_not_whole_are_refused(make_world: Callable[[int], World], file: str) -> None:
    world = make_world(60)
    (world.root / file).unlink()
    with pytest.raises(InputError, match=Path(file).name):
        world.run()


def test_names_that_leave_the_candidates_folder_are_refused(make_world: Callable[[int], World]) -> None:
    world = make_world(60)
    world.change_card(artefact=["../../keys/private.pem"])
    with pytest.raises(InputError, match="plain relative path"):
        world.run()


@pytest.mark.parametrize("batch_rows", [32, 1])
def test_it_is_judged_and_served_in_the_batches_of_its_card(
    make_world: Callable[[int], World], batch_rows: int
) -> None:
    world = make_world(800)
    world.batch_rows, world.temperature = batch_rows, 1.5
    world.change_card(batch_rows=batch_rows)
    assert exit_status(world.run().verdicts) == 0
    assert set(world.engine.batches) == {batch_rows}
    manifest = open_release(world.root / "release", [world.root / "keys/team.pub"]).manifest
    assert manifest.limits.batch_rows == batch_rows
    assert manifest.temperature == 1.5


def test_a_test_split_wears_out_by_what_it_has_judged(make_world: Callable[[int], World]) -> None:
    world = make_world(800)
    for number in range(3):
        artefact = world.root / "candidates/small/model.onnx"
        artefact.write_bytes(f"try {number}".encode())
        world.change_card(digest=digest_artefact(artefact.parent, ["model.onnx"]))
        wear = of_rule(world.run(), "test_wear")["split:test"]
        assert wear.outcome == ("PASS" if number < 2 else "FAIL")  # 2 * 2.5% = 5%, 3 * 2.5% = 7.5%
        assert not wear.blocks
    assert (world.root / "release/manifest.json").is_file()


def test_the_commit_is_named_and_settings_that_differ_from_it(make_world: Callable[[int], World]) -> None:
    world = make_world(800)

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=world.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit() -> str | None:
        world.run()
        return open_release(world.root / "release", [world.root / "keys/team.pub"]).manifest.lineage.commit

    git("init", "-q")
    (world.root / "modelyard.yaml").write_text("schema: 1\n")
    git("add", "modelyard.yaml")
    git("commit", "-q", "-m", "feat: first")
    head = git("rev-parse", "HEAD")
    assert commit() == head
    (world.root / "modelyard.yaml").write_text("schema: 1\n# more\n")
    assert commit() == f"{head}-dirty"


def test_an_artefact_that_changes_under_the_judge_is_not_sealed(
    make_world: Callable[[int], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(800)
    real = stage.judge_evidence

    def then_change(*arguments: Any, **options: Any) -> list[Verdict]:
        found = real(*arguments, **options)
        damage_artefact(world)
        return found

    monkeypatch.setattr(stage, "judge_evidence", then_change)
    with pytest.raises(InputError, match="changed while it was judged"):
        world.run()
    assert not (world.root / "release").exists()
