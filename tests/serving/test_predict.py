import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.release import Limits, open_release
from modelyard.errors import InputError
from modelyard.serving.predict import as_document, check_texts, opened, opened_unsigned


def test_answers_are_those_of_the_artefact_in_order(sealed: Any) -> None:
    release = open_release(sealed.folder, [sealed.key])
    with opened(release) as predictor:
        short, same = predictor.answer(["good", "good good"])
    assert short.logits == [3.0, 9.0]  # [CLS] 2, good 4, [SEP] 3
    assert same.logits == [4.0, 13.0]
    assert short.label == "大"
    assert short.probabilities["long"] == pytest.approx(1 / (1 + 2.718281828459045**6))


def test_long_texts_are_cut_and_many_are_answered_in_batches(sealed: Any) -> None:
    release = open_release(sealed.folder, [sealed.key])
    with opened(release) as predictor:
        answers = predictor.answer(["good " * 50] + ["good"] * 64)
    assert answers[0].logits == [16.0, 2 + 14 * 4 + 3.0]  # max_length_tokens is 16
    assert [answer.logits for answer in answers[1:]] == [[3.0, 9.0]] * 64
    assert [answer.truncated for answer in answers] == [True] + [False] * 64


@pytest.mark.parametrize(("words", "truncated"), [(14, False), (15, True), (5000, True)])
def test_a_text_that_fits_just_so_is_whole(sealed: Any, words: int, truncated: bool) -> None:
    with opened(open_release(sealed.folder, [sealed.key])) as predictor:  # 16 tokens, [CLS] and [SEP] among them
        (answer,) = predictor.answer(["good " * words])
    assert as_document(answer).get("truncated", False) is truncated
    assert ("truncated" in as_document(answer)) is truncated


def test_every_text_without_an_answer_is_named() -> None:
    with pytest.raises(InputError) as caught:
        check_texts(["fine", "", " \t\u3000", "x" * 11, "\ud800"], Limits(characters=10))
    assert [problem.where for problem in caught.value.problems] == [f"inputs[{index}]" for index in (1, 2, 3, 4)]
    with pytest.raises(InputError, match="stdin:7"):
        check_texts([""], Limits(), names=["stdin:7"])
    check_texts(["好" * 10], Limits(characters=10))


def test_neither_torch_nor_transformers_is_loaded_to_answer(sealed: Any) -> None:
    code = (
        "import sys; from modelyard.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({'torch', 'transformers', 'polars', 'scipy', 'fastapi', 'openvino', 'onnx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "predict", str(sealed.folder), "good", "--trusted-key", str(sealed.key)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_plain_folder_answers_only_when_asked_for_by_name(tiny_classifier: Path) -> None:
    with opened_unsigned(tiny_classifier) as predictor:
        (answer,) = predictor.answer(["good great lovely"])
        assert set(answer.probabilities) == {"bad", "good"}
        assert predictor.digest == f"unsigned:{digest_folder(tiny_classifier)}"
        assert predictor.about["signer"] is None


def test_a_pickle_is_not_served_unsigned_either(tiny_classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_classifier, tmp_path / "model"))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="run code"), opened_unsigned(folder):
        pass
