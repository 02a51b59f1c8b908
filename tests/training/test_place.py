"""A process knows its place by the variables of torchrun, and says what is wrong with them."""

import pytest

from modelyard.errors import InputError
from modelyard.training.place import Place, own_place

TOGETHER = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Place:
    for name in (*TOGETHER, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return own_place()


def test_alone_where_no_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch) == Place(rank=0, here=0, size=1, beside=1)
    assert given(monkeypatch, WORLD_SIZE="") == Place()
    # as schedulers number the jobs of an array
    assert given(monkeypatch, RANK="7", WORLD_SIZE="1", LOCAL_RANK="x") == Place()


def test_of_several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, **TOGETHER) == Place(rank=3, here=1, size=4, beside=4)
    assert given(monkeypatch, **TOGETHER, LOCAL_WORLD_SIZE="2") == Place(rank=3, here=1, size=4, beside=2)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"WORLD_SIZE": "four"}, "WORLD_SIZE is 'four': a whole number, 1 or more"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0': a whole number, 1 or more"),
        ({"WORLD_SIZE": "9" * 5_000}, "WORLD_SIZE is '9+': a whole number"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE is '-2'"),
        (
            {"WORLD_SIZE": "2"},
            "2 processes train together, without RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT",
        ),
        (TOGETHER | {"RANK": "4"}, "RANK is '4': a whole number, 0 to 3"),
        (TOGETHER | {"LOCAL_WORLD_SIZE": "1"}, "LOCAL_RANK is '1': a whole number, 0 to 0"),
        (TOGETHER | {"LOCAL_WORLD_SIZE": "5"}, "LOCAL_WORLD_SIZE is '5': a whole number, 1 to 4"),
    ],
)
def test_what_makes_no_sense_is_told(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        given(monkeypatch, **variables)
    assert "unset WORLD_SIZE" in caught.value.problems[0].next_step
