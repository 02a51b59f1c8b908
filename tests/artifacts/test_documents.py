from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from modelyard.artifacts.documents import read_document
from modelyard.errors import InputError


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = Field(default=1, alias="schema")
    words: int
    title: str


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('{"schema": 1, "words": "many", "name": "x"}', ["words", "title", "name"]),
        ('{"schema": 7, "anything": true}', ["has schema 7, this Modelyard reads 1"]),
        ("[1]", ["page.json"]),
        ("{", ["is not JSON"]),
        ("[" * 100_000, ["is not JSON"]),
    ],
)
def test_every_problem_is_named_with_the_file(tmp_path: Path, text: str, messages: list[str]) -> None:
    path = tmp_path / "page.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_document(path, Page, next_step="write it again")
    assert len(caught.value.problems) == len(messages)
    for problem, message in zip(caught.value.problems, messages, strict=True):
        assert message in problem.message
        assert problem.where == str(path)


def test_a_good_one_is_read_and_a_missing_one_named(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    path.write_text('{"schema": 1, "words": 2, "title": "a b"}', encoding="utf-8")
    assert read_document(path, Page, next_step="").words == 2
    with pytest.raises(InputError, match="write it again"):
        read_document(tmp_path / "none.json", Page, next_step="write it again")
