"""How often a test split has been judged: `reports/test-judgements.jsonl`, one line per artefact, only added to.

It lies among the reports, which Git keeps: a clone goes on counting where the original stood.

A test split wears out. Each compressed artefact that is judged on it has a chance of at most 2.5% to pass although it
loses more than the limit (one end of a two-sided 95% interval). Whatever their dependence, the chance that any of k
does is at most k times that (Boole's inequality; Dunn 1961, Multiple comparisons among means, JASA 56: 52-64). The
promise of the gate is 5%: two artefacts keep it, as many as `compress` confirms; from the third on a warning says so.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from modelyard.errors import InputError, Problem
from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge

FILE = "test-judgements.jsonl"
FALSE_PASS = 0.025
FAMILY_FALSE_PASS = 0.05
MAX_BYTES = 16 * 1024 * 1024


class Judgement(BaseModel):
    """One line: the digest of a test split's file and that of an artefact that was judged on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: str
    artefact: str
    candidate: str


def record_judgements(reports: Path, judged: Iterable[Judgement]) -> int:
    """Add what is new and return how many artefacts this test split has judged.

    The same artefact on the same rows gives the same answers again: it counts once.

    Args:
        reports: folder of the reports.
        judged: compressed artefacts, all judged on one test split, which may be none.

    Raises:
        InputError: the file is broken or cannot be written.
    """
    wanted = list(judged)
    path = reports / FILE
    known = _read(path)
    new = [line for line in dict.fromkeys(wanted) if (line.test, line.artefact) not in known]
    if new:
        text = "".join(json.dumps(line.model_dump(), ensure_ascii=False) + "\n" for line in new)
        size = path.stat().st_size if path.is_file() else 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as handle:
                handle.write(text.encode())
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # half a line would be broken for ever
                os.truncate(path, size)
            raise InputError(
                Problem(f"{path} cannot be written: {error.strerror}", "free space or allow writing it", str(path))
            ) from error
    tests = {line.test for line in wanted}
    return len({artefact for test, artefact in known if test in tests} | {line.artefact for line in wanted})


def judge_wear(artefacts: int, rows: int) -> Verdict:
    """The warning verdict `test_wear`: the bound on the chance of a false pass against 5%.

    Args:
        artefacts: compressed artefacts that this test split has judged.
        rows: of the test split.
    """
    bound = min(1.0, FALSE_PASS * artefacts)
    return judge(
        Interval.exact(bound, n=rows, unit="fraction"),
        at_most(FAMILY_FALSE_PASS),
        rule="test_wear",
        scope="split:test",
        severity="warning",
        next_step=f"this test split has judged {artefacts} compressed artefacts: judge the next one on fresh test rows "
        "(another data.split.seed, or a data.test of newer rows)",
    )


def _read(path: Path) -> set[tuple[str, str]]:
    if not path.is_file():
        return set()
    next_step = "take it back from Git (git checkout); it is only ever added to"
    if path.stat().st_size > MAX_BYTES:
        raise InputError(Problem(f"{path} is larger than 16 MiB", next_step, str(path)))
    known = set()
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            line = Judgement.model_validate_json(text)
        except ValidationError as error:
            raise InputError(Problem("this line is not a judgement", next_step, f"{path}:{number}")) from error
        known.add((line.test, line.artefact))
    return known
