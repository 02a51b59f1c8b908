"""Benchmark files: which column holds the questions, what is said of them, what is refused."""

import hashlib
from pathlib import Path

import pytest

from modelyard.data.contamination.questions import benchmark_facts, load_questions
from modelyard.errors import InputError

LONG = "which of these statements is true about photosynthesis in cold desert plants"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_column_is_known_by_its_name_and_the_answer_goes_with_it(tmp_path: Path) -> None:
    english = write(tmp_path, "quiz.csv", f"id,Question,answer\n1,{LONG},none of them\n2,,x\n")
    chinese = write(tmp_path, "题库.jsonl", '{"问题": "中国古代四大发明中最早传入欧洲的是哪一项", "答案": "造纸术"}\n')
    index = load_questions([english, chinese], tmp_path)
    assert index.questions["source"].to_list() == ["quiz.csv:2", "题库.jsonl:1"]
    facts, notes = benchmark_facts([english, chinese], tmp_path, index)
    assert facts == {
        "questions": 2,
        "not_looked_for": 0,
        "files": {path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in (english, chinese)},
    }
    assert notes == []


def test_questions_too_short_to_be_looked_for_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "quiz.csv", f"question\n{LONG}\nwhy?\nhow so?\n")
    facts, (note,) = benchmark_facts([path], tmp_path, load_questions([path], tmp_path))
    assert (facts["questions"], facts["not_looked_for"]) == (3, 2)
    assert note.startswith("2 of 3 benchmark questions are not looked for")
    assert note.endswith("the first is quiz.csv:3")


def test_every_file_without_such_a_column_is_refused_with_the_columns_it_has(tmp_path: Path) -> None:
    paths = [write(tmp_path, name, "id,stem\n1,x\n") for name in ("a.csv", "b.csv")]
    with pytest.raises(InputError) as caught:
        load_questions(paths, tmp_path)
    assert [(problem.message, problem.where) for problem in caught.value.problems] == [
        ("no column holds questions: 'stem', 'id'", str(path)) for path in paths
    ]


def test_a_plain_text_does_not_say_what_a_question_is(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "Who wrote the first novel?\nWho read it?\n")
    with pytest.raises(InputError, match=r'does not say where a question ends.*\{"question": "…"\}'):
        load_questions([path], tmp_path)
