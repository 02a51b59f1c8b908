"""What a model writes against transformers' own answer to each question alone."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from modelyard.tasks.classification import load_tokenizer
from modelyard.training.base import load_causal, load_seq2seq
from modelyard.training.batches import Rows
from modelyard.training.writing import MOST_ASKED, Answer, Asked, Ends, ends_of, questions, save_answers, write

QUESTIONS = ["good", "the film was quite good and the story", "好"]


def alone(model: PreTrainedModel, ids: list[int], end: int, most: int) -> list[int]:
    """The likeliest token again and again, without a cache, a batch or padding."""
    both, written = model.config.is_encoder_decoder, list[int]()
    with torch.no_grad():
        while len(written) < most and end not in written:
            if both:
                start = model.config.decoder_start_token_id
                given = {"input_ids": torch.tensor([ids]), "decoder_input_ids": torch.tensor([[start, *written]])}
            else:
                given = {"input_ids": torch.tensor([[*ids, *written]])}
            written.append(int(model(**given).logits[0, -1].argmax()))
    return [token for token in written if token != end]


def absolute_positions() -> PreTrainedModel:
    """A GPT-2, which numbers its places: padded on the left it must not count the padding."""
    torch.manual_seed(3)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2)
    )


@pytest.mark.parametrize("family", ["rotary", "absolute", "pairs"])
def test_answers_in_batches_are_those_alone(
    tiny_decoder: Path, tiny_pair_model: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.training.writing.TOKENS_TOGETHER", 40)  # two batches, one of rows of unlike length
    load = {"rotary": lambda: load_causal(tiny_decoder), "pairs": lambda: load_seq2seq(tiny_pair_model)}
    model = load.get(family, absolute_positions)().train()
    tokenizer = load_tokenizer(tiny_decoder)
    asked = [Asked(tokenizer.encode(text).ids, f"rows:{n}", "wanted") for n, text in enumerate(QUESTIONS)]
    before = model.generation_config
    found = write(model, tokenizer, asked, Ends(token=7, new_tokens=9))
    assert model.training
    assert model.generation_config is before
    model.eval()
    expected = [tokenizer.decode(alone(model, list(one.ids), 7, 9)) for one in asked]
    assert [one.written for one in found] == expected
    assert len(set(expected)) > 1
    assert [(one.source, one.prompt, one.wanted) for one in found] == [
        (f"rows:{n}", text, "wanted") for n, text in enumerate(QUESTIONS)
    ]


def rows_of(*pairs: tuple[list[int], list[int]]) -> Rows:
    return Rows(
        [prompt + answer for prompt, answer in pairs],
        [f"rows:{number}" for number in range(len(pairs))],
        learned=[b"\0" * len(prompt) + b"\1" * len(answer) for prompt, answer in pairs],
    )


def test_answers_end_as_those_of_train() -> None:
    assert ends_of(rows_of(([1], [5, 6, 9]), ([1, 2], [9]), ([3], [5, 5, 5, 8]))) == Ends(token=9, new_tokens=3)
    assert ends_of(rows_of(([1, 2], []))) is None


def test_rows_that_end_each_otherwise_are_cut_and_nothing_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    assert ends_of(rows_of(([1], [5]), ([1], [5]), ([1], [6]), ([1], [7]), ([1], [8]))) is None
    assert "of 5 train rows 2 end with the same token" in caplog.text


def test_only_whole_rows_with_room_are_asked() -> None:
    rows = rows_of(([1], [5, 9]), ([1], [5, 5]), ([1, 2, 3], [9]), ([2], [9]), ([2], [5, 5, 9]))
    wanted = {"rows:0": "a", "rows:1": "cut", "rows:2": "no room", "rows:3": None, "rows:4": "longer than is written"}
    assert questions(rows, wanted, Ends(9, 2), most_tokens=2, seed=0) == [Asked([1], "rows:0", "a")]


def test_many_rows_are_drawn_from_by_the_seed() -> None:
    rows = rows_of(*(([number], [9]) for number in range(10, 1_010)))
    wanted: dict[str, str | None] = dict.fromkeys(rows.sources, "a")
    one, other = (questions(rows, wanted, Ends(9, 2), most_tokens=5, seed=seed) for seed in (1, 2))
    assert len(one) == len({ask.source for ask in one}) == MOST_ASKED
    assert one != other
    assert one == questions(rows, wanted, Ends(9, 2), most_tokens=5, seed=1)


def test_the_last_answer_is_the_one_that_is_asked_for() -> None:
    row = Rows([[1, 2, 3, 4, 9]], ["rows:0"], learned=[b"\0\1\0\1\1"])
    assert questions(row, {"rows:0": "a"}, Ends(9, 2), most_tokens=5, seed=0)[0].ids == [1, 2, 3]


def test_answers_are_kept_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    save_answers([Answer("a:1", "问", "答", "好")], path)
    assert json.loads(path.read_text()) == {"source": "a:1", "prompt": "问", "wanted": "答", "written": "好"}
    save_answers([], path)
    assert not path.exists()
