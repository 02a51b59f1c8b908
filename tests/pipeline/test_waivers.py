"""The lines are pasted into a project and read back."""

from datetime import date
from typing import Any

import pytest

from modelyard.errors import InputError
from modelyard.evidence.judge import Verdict
from modelyard.pipeline.waivers import waiver_lines
from modelyard.project.load import parse_settings

DAY = date(2026, 11, 25)
HEAD = "schema: 1\nproject: toy\ndata: {train: data}\nmodel: {base: base}\ngates:\n"


def undecided(**changes: Any) -> Verdict:
    return Verdict.model_validate(
        {"rule": "drop_max", "interval": None, "limit": None, "outcome": "INCONCLUSIVE", "reason": "so", **changes}
    )


def test_the_lines_waive_what_they_name_once_a_person_has_signed_them() -> None:
    scopes = ["overall", "class:好评: 是的", 'slice:site=a "b" #c', "slice:x=\x1b[2J\\n"]
    _, *lines = waiver_lines([undecided(scope=scope) for scope in scopes] * 2, on=DAY, none_yet=True)
    text = HEAD + "\n".join(lines) + "\n"
    with pytest.raises(InputError, match=r"waivers.*by"):  # nobody has yet
        parse_settings(text)
    signed = parse_settings(text.replace('by: ""', "by: Li Wei").replace('reason: ""', "reason: a trial"))
    assert [(one.rule, one.scope, one.on) for one in signed.gates.waivers] == [
        ("drop_max", scope, DAY) for scope in scopes
    ]
    assert all(line.isprintable() for line in lines)


def test_lines_for_a_list_that_is_there_already() -> None:
    sentence, line = waiver_lines([undecided()], on=DAY, none_yet=False)
    assert "gates.waivers" in sentence
    first = '  waivers:\n  - {rule: accuracy_min, by: Li Wei, on: "2026-01-31", reason: a trial}\n'
    signed = line.replace('by: ""', "by: Li Wei").replace('reason: ""', "reason: a trial")
    settings = parse_settings(f"{HEAD}{first}{signed}\n")
    assert [one.rule for one in settings.gates.waivers] == ["accuracy_min", "drop_max"]


@pytest.mark.parametrize(
    "changes", [{"outcome": "FAIL"}, {"outcome": "PASS"}, {"severity": "warning"}, {"kind": "candidate"}]
)
def test_what_a_waiver_does_not_help_gets_none(changes: dict[str, str]) -> None:
    assert waiver_lines([undecided(**changes)], on=DAY, none_yet=True) == []


def test_a_waiver_beside_a_fail_would_be_in_vain() -> None:
    failed = undecided(outcome="FAIL", rule="non_finite")
    assert waiver_lines([undecided(), failed], on=DAY, none_yet=True) == []
    assert (
        len(waiver_lines([undecided(), failed.model_copy(update={"severity": "warning"})], on=DAY, none_yet=True)) == 3
    )
