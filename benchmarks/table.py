"""`make bench`: every claim in `benchmarks/results`, the missed ones included."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from modelyard.artifacts.reports import read_report

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Print one row per claim, and how many hold."""
    table = Table("benchmark", "claim", "of what", "outcome", "what was measured", title="claims and their evidence")
    outcomes = []
    for path in sorted(RESULTS.glob("*.json")):
        report = read_report(path)
        for verdict in report.verdicts:
            outcomes.append(verdict.outcome)
            scope = "" if verdict.scope == "overall" else verdict.scope
            what = ", ".join(part for part in (verdict.subject, scope) if part)
            table.add_row(path.stem, verdict.rule, what, verdict.outcome, verdict.reason)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    print(f"{outcomes.count('PASS')} of {len(outcomes)} claims hold")


if __name__ == "__main__":
    main()
