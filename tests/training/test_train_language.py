"""`train` of language models, from prepared rows to a model and its report."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.model import check_model_folder, read_classifier, read_training
from modelyard.artifacts.reports import ANSWERS_FILE
from modelyard.errors import InputError, Stopped
from modelyard.evidence.report import Report
from modelyard.project.load import parse_settings
from modelyard.tasks.chat import read_template
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.train import train

PrepareLanguage = Callable[..., Path]

COUNTED = [{"prompt": f"{n} {n}", "completion": f" {n} {n} {n}"} for n in range(60)]


def run(
    base: Path,
    prepared: Path,
    place: Path,
    *,
    task: str = "causal_lm",
    model: str = "",
    progress: Any = None,
    **section: Any,
) -> Report:
    wanted = {"epochs": 3, "precision": "fp32", "learning_rate": 3e-3, "tokens_per_batch": 200} | section
    text = "\n".join(
        [
            "schema: 1",
            "project: tiny",
            f"task: {task}",
            "data: {train: rows.jsonl}",
            f"model: {{base: {json.dumps(str(base))}{model}}}",
            f"train: {json.dumps(wanted)}",
        ]
    )
    settings = parse_settings(text, "modelyard.yaml")
    options = {} if progress is None else {"progress": progress}
    return train(settings, root=place, prepared=prepared, output=place / "model", reports=place / "reports", **options)


def test_answers_are_learned(tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path) -> None:
    report = run(tiny_decoder, prepare_language("prompt_completion", COUNTED), tmp_path, epochs=12)
    (verdict,) = report.verdicts
    assert (verdict.rule, verdict.outcome) == ("better_than_base", "PASS")
    found = {(one.name, one.scope): one.interval for one in report.measurements}
    assert found["perplexity", "overall"].estimate < 40  # a guess among the vocabulary is 260 and more
    assert {scope for name, scope in found if name == "perplexity"} == {"overall", "slice:site=a", "slice:site=b"}
    assert report.notes[0].startswith("perplexity on validation")
    training = read_training(tmp_path / "model")
    assert (training.task, training.labels) == ("causal_lm", [])
    check_model_folder(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", local_files_only=True)
    assert isinstance(model, PreTrainedModel)
    tokenizer = load_tokenizer(tiny_decoder)
    assert read_template(tmp_path / "model", tokenizer) == read_template(tiny_decoder, tokenizer)


def answers(place: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (place / "reports" / ANSWERS_FILE).read_text().splitlines()]


YES_AND_NO = [{"prompt": word * (1 + n % 4), "completion": word} for n, word in enumerate(["yes ", "no "] * 30)]


@pytest.mark.parametrize("task", ["causal_lm", "seq2seq_lm"])
def test_what_the_model_writes_is_judged(
    tiny_decoder: Path, tiny_pair_model: Path, prepare_language: PrepareLanguage, tmp_path: Path, task: str
) -> None:
    base = tiny_decoder if task == "causal_lm" else tiny_pair_model
    prepared = prepare_language("prompt_completion", YES_AND_NO, task)
    report = run(base, prepared, tmp_path, task=task, epochs=25, learning_rate=0.015, tokens_per_batch=300)
    assert report.verdicts[0].outcome == "PASS"
    found = {one.name: one.interval for one in report.measurements if one.scope == "overall"}
    written = answers(tmp_path)
    assert len(written) == found["exact_match"].n == 10
    right = sum(one["written"].strip() == one["wanted"].strip() for one in written)
    assert right == round(found["exact_match"].estimate * 10) == 10
    assert {(one["prompt"].split()[0], one["wanted"].strip()) for one in written} == {("yes", "yes"), ("no", "no")}
    assert found["bleu"].unit == "BLEU"
    assert report.notes[1].startswith("of 10 answers that it wrote 100.0% are the wanted text, 95% interval 72.2% to")


def test_a_pair_model_learns_and_goes_on_where_it_was_stopped(
    tiny_pair_model: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    prepared = prepare_language("prompt_completion", COUNTED, "seq2seq_lm")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    report = run(tiny_pair_model, prepared, whole, task="seq2seq_lm", lora_rank=4, activation_checkpointing=True)
    assert {verdict.rule: verdict.outcome for verdict in report.verdicts}["lora_merge_parity"] == "PASS"

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("train,") and done == 4:
            signal.raise_signal(signal.SIGTERM)

    again = {"task": "seq2seq_lm", "lora_rank": 4, "activation_checkpointing": True}
    with pytest.raises(Stopped):
        run(tiny_pair_model, prepared, stopped, progress=stop, **again)
    run(tiny_pair_model, prepared, stopped, **again)
    assert digest_folder(whole / "model") == digest_folder(stopped / "model")
    assert answers(whole) == answers(stopped)
    model = AutoModelForSeq2SeqLM.from_pretrained(whole / "model", local_files_only=True)
    assert model.config.is_encoder_decoder


def test_long_sides_are_cut_each_by_itself(
    tiny_pair_model: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    rows = [{"prompt": "good " * 30, "completion": f"{n}"} for n in range(30)]
    prepared = prepare_language("prompt_completion", rows, "seq2seq_lm")
    report = run(tiny_pair_model, prepared, tmp_path, task="seq2seq_lm", model=", max_length_tokens: 16")
    shares = {one.name: one.interval.estimate for one in report.measurements if one.subject == "validation"}
    assert shares["rows_cut_share"] == 1.0  # every source is, no target is
    assert len(answers(tmp_path)) == 5


def test_what_is_no_pair_or_no_pair_model_is_refused(
    tiny_decoder: Path, tiny_pair_model: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    texts = prepare_language("text", [{"text": "good"}] * 6, "seq2seq_lm")
    with pytest.raises(
        InputError, match="of the shape text: a sequence to sequence model learns from prompt_completion"
    ):
        run(tiny_pair_model, texts, tmp_path, task="seq2seq_lm")
    pairs = prepare_language("prompt_completion", COUNTED, "seq2seq_lm")
    with pytest.raises(InputError, match="base model cannot be loaded"):
        run(tiny_decoder, pairs, tmp_path, task="seq2seq_lm")
    base = Path(shutil.copytree(tiny_pair_model, tmp_path / "headless"))
    config = json.loads((base / "config.json").read_text())
    for none in (None, -1, 10**6):
        (base / "config.json").write_text(json.dumps(config | {"decoder_start_token_id": none}))
        with pytest.raises(InputError, match=f"names no token that the decoder begins with: .* is {none}"):
            run(base, pairs, tmp_path, task="seq2seq_lm")


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ("text", [{"text": f"the film was quite good {n} " * (n + 1)} for n in range(30)]),
        (
            "messages",
            [
                {
                    "messages": [
                        {"role": "user", "content": f"说 {n}", "tool_calls": None},
                        {"role": "assistant", "content": f"好 {n}", "tool_calls": None},
                    ]
                }
                for n in range(30)
            ],
        ),
    ],
)
def test_texts_and_conversations(
    tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path, shape: str, rows: list[dict[str, Any]]
) -> None:
    report = run(tiny_decoder, prepare_language(shape, rows), tmp_path, model=", max_length_tokens: 32")
    assert report.verdicts[0].outcome == "PASS"
    steps = [json.loads(line) for line in (tmp_path / "reports/train.metrics.jsonl").read_text().splitlines()]
    taken = [line["tokens"] for line in steps if "tokens" in line]
    assert abs(sum(taken) / len(taken) - 200) <= 200 / 10  # some ten steps an epoch, of which a whole number is taken
    assert max(taken) - min(taken) <= 2 * 32  # an even share, and half a row of at most 32 tokens at either end


def test_the_same_work_gives_the_same_bytes_also_after_a_stop(
    tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    prepared = prepare_language("prompt_completion", COUNTED)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(tiny_decoder, prepared, whole)

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("train,") and done == 4:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        run(tiny_decoder, prepared, stopped, progress=stop)
    run(tiny_decoder, prepared, stopped)
    assert digest_folder(whole / "model") == digest_folder(stopped / "model")
    reports = [(place / "reports" / "train.json").read_bytes() for place in (whole, stopped)]
    assert reports[0] == reports[1] and b'"padding_share"' in reports[0]


def test_lora_learns_and_leaves_a_plain_model(
    tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    prepared = prepare_language("prompt_completion", COUNTED)
    report = run(tiny_decoder, prepared, tmp_path, epochs=12, lora_rank=4, learning_rate=0.02)
    assert {verdict.rule: verdict.outcome for verdict in report.verdicts} == {
        "better_than_base": "PASS",
        "lora_merge_parity": "PASS",
    }
    names = set(AutoModelForCausalLM.from_pretrained(tiny_decoder, local_files_only=True).state_dict())
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "model", local_files_only=True)
    assert set(trained.state_dict()) == names
    assert read_training(tmp_path / "model").settings["lora_rank"] == 4


def test_an_encoder_is_no_language_model(tiny_base: Path, prepare_language: PrepareLanguage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"base model cannot be loaded: .*(are missing|see those after them)"):
        run(tiny_base, prepare_language("prompt_completion", COUNTED), tmp_path)


def test_an_encoder_with_a_head_sees_what_it_must_guess(
    tiny_base: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    from transformers import BertConfig, BertLMHeadModel

    base = tmp_path / "bert"
    BertLMHeadModel(BertConfig.from_pretrained(tiny_base)).save_pretrained(base)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (base / name).write_bytes((tiny_base / name).read_bytes())
    with pytest.raises(InputError, match="its tokens see those after them"):
        run(base, prepare_language("prompt_completion", COUNTED), tmp_path)


def test_preferences_teach_no_language_model(
    tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    folder = prepare_language("preference", [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 6)
    with pytest.raises(InputError, match="of the shape preference: a language model learns from text"):
        run(tiny_decoder, folder, tmp_path)


def test_what_comes_after_says_that_it_takes_classifiers(
    tiny_decoder: Path, prepare_language: PrepareLanguage, tmp_path: Path
) -> None:
    run(tiny_decoder, prepare_language("prompt_completion", COUNTED), tmp_path, epochs=1)
    with pytest.raises(InputError, match="trained for causal_lm: this version compresses"):
        read_classifier(tmp_path / "model")


def test_a_learning_rate_that_ruins_the_model_is_told(
    tiny_decoder: Path,
    prepare_language: PrepareLanguage,
    tmp_path: Path,
) -> None:
    rows = [{"text": f"the film {n} was good and the story was bright " * 3} for n in range(12)]
    first = run(tiny_decoder, prepare_language("text", rows), tmp_path / "first", epochs=20)
    assert first.verdicts[0].outcome == "PASS"
    worse = run(tmp_path / "first/model", tmp_path / "prepared-text", tmp_path / "worse", epochs=1, learning_rate=0.9)
    assert worse.verdicts[0].outcome == "FAIL"
