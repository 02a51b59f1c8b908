"""How often the paired gate says PASS, INCONCLUSIVE and FAIL, by the true drop and the number of rows.

    python benchmarks/gate_simulation.py            # about a minute

Rows are drawn with 3% of them discordant (5% where the drop itself is 5 points: a drop cannot exceed the discordance),
20,000 test sets for each true drop and size, and judged by Tango's interval against a limit of one point. The claim:
a model that loses the limit or more passes in at most 5% of test sets. Writes `results/gate_simulation.json` and the
figure `docs/figures/gates.svg`.
"""

from collections import Counter
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from results_file import write_results

from modelyard.evidence.interval import Interval, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.paired import tango
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement

DROPS = (0.0, 0.005, 0.01, 0.02, 0.05)
SIZES = (100, 200, 500, 1000, 2000, 5000, 10_000)
DISCORDANCE = 0.03
LIMIT = 0.01
REPLICATES = 20_000
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "gates.svg"
OUTCOMES = ("PASS", "INCONCLUSIVE", "FAIL")
LOOKS = {"PASS": ("#2a9d8f", ""), "INCONCLUSIVE": ("#d9d9d9", "//"), "FAIL": ("#b5483a", "xx")}


def outcomes(drop: float, rows: int, random: np.random.Generator) -> Counter[str]:
    """Outcome -> how many of the simulated test sets had it."""
    discordance = max(DISCORDANCE, drop)
    chances = [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance]
    drawn = Counter(map(tuple, random.multinomial(rows, chances, size=REPLICATES)[:, :2].tolist()))
    found: Counter[str] = Counter()
    for (b, c), count in drawn.items():
        found[judge(tango(b, c, rows), at_most(LIMIT), rule="drop_max").outcome] += count
    return found


def draw(shares: dict[tuple[float, int], dict[str, float]]) -> None:
    """One panel per true drop: the shares of the three outcomes, stacked, over the number of rows."""
    mpl.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "gates", "font.size": 9, "hatch.linewidth": 0.4})
    figure, axes = plt.subplots(1, len(DROPS), figsize=(11, 3.1), sharey=True, facecolor="white")
    for axis, drop in zip(axes, DROPS, strict=True):
        bottom = np.zeros(len(SIZES))
        for outcome in OUTCOMES:
            heights = np.array([shares[drop, rows][outcome] for rows in SIZES])
            colour, hatch = LOOKS[outcome]
            axis.bar(
                range(len(SIZES)), heights, 0.86, bottom, color=colour, hatch=hatch, edgecolor="white", label=outcome
            )
            bottom += heights
        axis.set_title(f"true drop {100 * drop:g} point{'' if drop == 0.01 else 's'}", fontsize=9.5)
        axis.set_xticks(range(len(SIZES)), [f"{rows / 1000:g}k" if rows >= 1000 else str(rows) for rows in SIZES])
        axis.tick_params(axis="x", labelsize=7.5, length=0)
        axis.set_xlabel("test rows")
        axis.spines[["top", "right", "left"]].set_visible(False)
    axes[0].set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    axes[0].set_ylabel("share of test sets")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="upper center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 1.02))
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    """Simulate, judge the claim, draw."""
    random = np.random.default_rng(0)
    shares: dict[tuple[float, int], dict[str, float]] = {}
    measurements, verdicts = [], list[Verdict]()
    for drop in DROPS:
        for rows in SIZES:
            found = outcomes(drop, rows, random)
            shares[drop, rows] = {outcome: found[outcome] / REPLICATES for outcome in OUTCOMES}
            scope = f"drop={drop:g} rows={rows}"
            intervals: dict[str, Interval] = {outcome: wilson(found[outcome], REPLICATES) for outcome in OUTCOMES}
            measurements += [Measurement(name=key, scope=scope, interval=value) for key, value in intervals.items()]
            if drop >= LIMIT:
                verdicts.append(judge(intervals["PASS"], at_most(0.05), rule="false_pass_rate", scope=scope))
    draw(shares)
    path = write_results(
        "gate_simulation",
        verdicts=verdicts,
        measurements=measurements,
        parameters={"limit": LIMIT, "discordance": DISCORDANCE, "replicates": REPLICATES, "seed": 0},
        notes=["discordance is 5% where the true drop is 5 points"],
    )
    worst = max(shares[drop, rows]["PASS"] for drop in DROPS for rows in SIZES if drop >= LIMIT)
    print(f"{path}: the highest rate of false passes is {worst:.2%}")
    for drop in DROPS:
        print(drop, {rows: {k: round(v, 3) for k, v in shares[drop, rows].items()} for rows in (500, 2000, 5000)})


if __name__ == "__main__":
    main()
