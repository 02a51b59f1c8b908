import pytest

from modelyard.data.problems import raise_found
from modelyard.errors import InputError, Problem


def test_none_is_fine() -> None:
    raise_found([])


def test_twenty_are_shown_and_the_rest_counted() -> None:
    with pytest.raises(InputError) as caught:
        raise_found([Problem("broken", "mend it", f"{'ab'[line % 2]}.csv:{line}") for line in range(25)])
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].message == "5 more problems in 2 files"
