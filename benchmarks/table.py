"""`make bench`: every claim in `benchmarks/results`, the missed ones included."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from modelyard.artifacts.reports import read_report

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Print one row per claim, and how many hold."""
    table = Table("benchmark", "claim", "scope", "outcome", "what was measured", title="claims and their evidence")
    outcomes = []
    for path in sorted(RESULTS.glob("*.json")):
        report = read_report(path)
        for verdict in report.verdicts:
            outcomes.append(verdict.outcome)
            table.add_row(path.stem, verdict.rule, verdict.scope, verdict.outcome, verdict.reason)
    Console().print(table)
    print(f"{outcomes.count('PASS')} of {len(outcomes)} claims hold")


if __name__ == "__main__":
    main()
