"""The lines of `modelyard.yaml` that would waive what could not be told: to paste, to fill in and to sign."""

import json
from collections.abc import Iterable
from datetime import date

from modelyard.evidence.judge import Verdict

MOST = 40


def waiver_lines(verdicts: Iterable[Verdict], *, on: date, none_yet: bool) -> list[str]:
    """A sentence and the YAML that waives every INCONCLUSIVE that blocks; nothing where a FAIL blocks too.

    `by` and `reason` stand empty, which the project refuses: a person fills them in.

    Args:
        verdicts: of all stages; one that a later stage carries on counts once.
        on: day of the decision.
        none_yet: the project has no waiver, so that the list's own name is needed.
    """
    blocking = [verdict for verdict in verdicts if verdict.blocks]
    if not blocking or any(verdict.outcome == "FAIL" for verdict in blocking):
        return []
    names = dict.fromkeys((verdict.rule, verdict.scope) for verdict in blocking)
    indent = "    " if none_yet else "  "
    lines = [
        f'{indent}- {{rule: {_scalar(rule)}, scope: {_scalar(scope)}, by: "", on: "{on}", reason: ""}}'
        for rule, scope in list(names)[:MOST]
    ]
    place = "under gates:, in place of waivers: []" if none_yet else "behind those in gates.waivers"
    sentence = f"add rows, or let it pass for a reason that a person signs: in modelyard.yaml, {place}"
    return [sentence, *(["  waivers:"] if none_yet else []), *lines]


def _scalar(text: str) -> str:
    """A YAML scalar: JSON's strings are YAML's double-quoted ones."""
    return json.dumps(text, ensure_ascii=not text.isprintable())
