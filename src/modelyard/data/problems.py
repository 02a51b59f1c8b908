"""All problems at once, the first of them shown and the rest counted."""

from collections.abc import Sequence

from modelyard.errors import InputError, Problem

SHOWN = 20
LEAVE_OUT = "leave such rows out: --skip-bad-rows, in a project data.skip_bad_rows: true"


def raise_found(problems: Sequence[Problem]) -> None:
    """Raise what was found: the first 20 problems, then one that counts the rest; nothing where there is none.

    Raises:
        InputError: there are problems.
    """
    if not problems:
        return
    shown = list(problems[:SHOWN])
    if len(problems) > SHOWN:
        files = {problem.where.rpartition(":")[0] or problem.where for problem in problems[SHOWN:]}
        shown.append(
            Problem(
                f"{len(problems) - SHOWN} more problems in {len(files)} files",
                "mend these first: later ones often have the same cause",
            )
        )
    raise InputError(shown)
