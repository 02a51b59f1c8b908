"""A hundred kills of one training, at random moments: it must end with the bytes of a training that was never killed.

    python benchmarks/kill_train.py          # about 25 minutes on two cores; needs `modelyard fetch minilm` once

MiniLM on 1,200 of the demo's reviews, dropout on. `modelyard train --resume-test` kills 6 times in 40 steps; this is
the same proof with 100 kills in 160 steps, half of them by SIGKILL and half by SIGTERM, each up to two steps after the
line of a drawn step: within a step, its saving, an evaluation, or the loading after the kill before.

Writes `results/kill_train.json`.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from kill_run import MODELYARD, make_project
from results_file import write_results

from modelyard.evidence.interval import Interval, at_least
from modelyard.evidence.judge import judge
from modelyard.project.load import load_project
from modelyard.training.resume_test import resume_test


def main() -> None:
    """Kill, compare, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_200)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        project = make_project(Path(parent), "killed", options.rows)
        subprocess.run([MODELYARD, "check", "--exit-zero"], cwd=project, check=True, capture_output=True)
        report = resume_test(
            load_project(project).settings,
            root=project,
            prepared=project / "prepared",
            reports=project / "reports",
            steps=options.steps,
            kills=options.kills,
            seed=options.seed,
            progress=lambda what, done, total: print(f"{what}: {done} of {total}", flush=True),
        )
    kills = report.parameters["kills"]
    write_results(
        "kill_train",
        verdicts=[
            *report.verdicts,
            judge(
                Interval.exact(kills, n=options.kills, unit="kills"), at_least(options.kills), rule="kills_that_came"
            ),
        ],
        measurements=[],
        parameters=vars(options) | report.parameters,
        notes=[*report.notes, "one process; training in several is not there yet"],
    )


if __name__ == "__main__":
    main()
