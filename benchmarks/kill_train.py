"""A hundred kills of a training, at random moments: it must end with the bytes of one that was never killed.

    python benchmarks/kill_train.py          # 25 minutes on two cores; needs `modelyard fetch minilm` once

A BERT of 2 layers with MiniLM's tokenizer on 600 of the demo's reviews, dropout on, in 1, 2 and 4 processes.
`modelyard train --resume-test` kills 4 times in 20 steps; this is the same proof with 40, 30 and 30 kills in 60 steps,
half by SIGKILL and half by SIGTERM, to one of the processes, each up to two steps after the line of a drawn step:
within a step, its saving, an evaluation, or the loading after the kill before.

Writes `results/kill_train.json`.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from kill_run import MODELYARD, make_project
from results_file import write_results
from transformers import BertConfig, BertModel

from modelyard.evidence.interval import Interval, at_least
from modelyard.evidence.judge import judge
from modelyard.project.load import load_project
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.base import find_base
from modelyard.training.resume_test import resume_test

PROCESSES = (1, 2, 4)
KILLS = (40, 30, 30)
STEPS = 60


def small_base(folder: Path, like: Path) -> Path:
    """A model whose steps and saves take a fraction of a second, so that a kill meets every moment of them."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(like)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
    )
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(like / name, folder / name)
    return folder


def main() -> None:
    """Kill, compare, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, nargs=3, default=KILLS, help="of 1, 2 and 4 processes")
    options = parser.parse_args()
    verdicts, came = [], 0
    with tempfile.TemporaryDirectory() as parent:
        project = make_project(Path(parent), "killed", options.rows)
        subprocess.run([MODELYARD, "check", "--exit-zero"], cwd=project, check=True, capture_output=True)
        settings = load_project(project).settings
        assert settings.model is not None
        base = small_base(Path(parent) / "small", find_base(settings.model.base, None, root=project))
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"base": str(base)})})
        for processes, kills in zip(PROCESSES, options.kills, strict=True):
            report = resume_test(
                settings,
                root=project,
                prepared=project / "prepared",
                reports=project / "reports",
                steps=STEPS,
                kills=kills,
                seed=options.seed,
                processes=processes,
                progress=lambda what, done, total: print(f"{what}: {done} of {total}", flush=True),
            )
            subject = f"{processes} processes"
            verdicts += [verdict.model_copy(update={"subject": subject}) for verdict in report.verdicts]
            print(subject, [(verdict.rule, verdict.scope, verdict.outcome) for verdict in report.verdicts], flush=True)
            came += report.parameters["kills"]
    asked = sum(KILLS)
    verdicts.append(judge(Interval.exact(came, n=asked, unit="kills"), at_least(asked), rule="kills_that_came"))
    write_results(
        "kill_train",
        verdicts=verdicts,
        measurements=[],
        parameters=vars(options) | {"processes": PROCESSES, "steps": STEPS},
        notes=["every step was saved: SIGTERM may lose none, SIGKILL the one that was not saved yet"],
    )


if __name__ == "__main__":
    main()
