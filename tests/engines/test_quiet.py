import logging
import sys
import warnings

import pytest

from modelyard.engines.quiet import quietly


def test_nothing_is_heard_and_errors_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), quietly():
        sys.stdout.write("a")
        sys.stderr.write("b")
        logging.getLogger("x").error("c")
        warnings.warn("d", stacklevel=1)
        raise KeyError
    assert capsys.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
