import json
from pathlib import Path

from modelyard.reporting.answers import MAX_ANSWERS, Answer, read_answers


def line(**changes: object) -> str:
    return json.dumps({"source": "a:1", "prompt": "say", "wanted": "yes", "written": "no"} | changes)


def test_answers_are_read_masked_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "train.answers.jsonl"
    told = [line(), line(source="a:2", written=" yes\n"), line(prompt="write to ada@example.com")]
    path.write_text("\n".join([*told, "{", "[1]", line(written=None)]), encoding="utf-8")
    assert read_answers(path) == [
        Answer("a:1", "say", "yes", "no", same=False),
        Answer("a:2", "say", "yes", " yes\n", same=True),
        Answer("a:1", "write to <EMAIL>", "yes", "no", same=False),
    ]


def test_a_file_of_many_answers_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "train.answers.jsonl"
    path.write_text("\n".join(line() for _ in range(200)), encoding="utf-8")
    assert len(read_answers(path)) == MAX_ANSWERS


def test_no_file_no_answers(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "train.answers.jsonl") == []
    (tmp_path / "empty.jsonl").write_text("")
    assert read_answers(tmp_path / "empty.jsonl") == []
