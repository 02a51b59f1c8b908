"""`kill -9` at ten random moments of `modelyard run`: what stood before still stands whole, and the next run completes.

    python benchmarks/kill_run.py            # about 45 minutes on two cores; needs `modelyard fetch minilm` once

A project is made from 1,200 (--rows) of the demo's reviews and run once. Then, ten times: a setting is changed so that
every stage has work to do, `modelyard run` is started and killed with SIGKILL at a uniformly drawn moment of the time
that a whole run takes (alone, and in every second round with its whole process group), every folder is opened with the
checks that the product itself makes, and `modelyard run` is called again and must pass. After the last round the same
settings are run in a project that was never killed, and the reports must be the same to the byte.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from results_file import write_results

from modelyard.artifacts.candidate import read_card, read_choice
from modelyard.artifacts.files import digest_folder
from modelyard.artifacts.model import check_model_folder, read_training
from modelyard.artifacts.prepared import read_prepared
from modelyard.artifacts.release import open_release
from modelyard.evidence.interval import Interval, at_least
from modelyard.evidence.judge import judge
from modelyard.evidence.report import Measurement

STAGES = ("prepared", "model", "candidates", "release")
MODELYARD = str(Path(sys.executable).parent / "modelyard")


def run(folder: Path) -> float:
    """A whole run that must pass; seconds it took."""
    start = time.monotonic()
    done = subprocess.run([MODELYARD, "run"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"run ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - start


def make_project(parent: Path, name: str, rows: int) -> Path:
    """A project of the first rows of every site."""
    reviews = parent / "all.csv"
    subprocess.run([sys.executable, "examples/reviews/make_reviews.py", str(reviews)], check=True, capture_output=True)
    lines = reviews.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = random.Random(0).sample(lines[1:], rows)
    (parent / "reviews.csv").write_text(lines[0] + "".join(kept), encoding="utf-8")
    options = ["--data", "reviews.csv", "--text", "text", "--label", "label", "--slices", "site", "--group", "review"]
    subprocess.run(
        [MODELYARD, "init", name, *options, "--model", "minilm"], cwd=parent, check=True, capture_output=True
    )
    return parent / name


def set_seeds(folder: Path, seed: int) -> None:
    """Change the seed of the split, so that every stage has work to do."""
    path = folder / "modelyard.yaml"
    text, count = re.subn(
        r"(split:[^}]*?seed: )\d+", rf"\g<1>{seed}", path.read_text(encoding="utf-8"), count=1, flags=re.DOTALL
    )
    assert count == 1, "modelyard.yaml has no seed of the split"
    path.write_text(text, encoding="utf-8")


def check_whole(folder: Path) -> dict[str, str]:
    """Open every folder as the product does; the digest of each that stands."""
    if (folder / "prepared").exists():
        read_prepared(folder / "prepared")
    if (folder / "model").exists():
        check_model_folder(folder / "model")
        read_training(folder / "model")
    if (folder / "candidates").exists():
        choice = read_choice(folder / "candidates")
        read_card(folder / "candidates" / choice.chosen)
    if (folder / "release").exists():
        open_release(folder / "release", sorted((folder / "keys").glob("*.pub")))
    return {name: digest_folder(folder / name) for name in STAGES if (folder / name).exists()}


def kill_at(folder: Path, seconds: float, *, whole_group: bool) -> int:
    """Start a run, kill it after `seconds`; how many of its processes are still there two seconds later."""
    process = subprocess.Popen(
        [MODELYARD, "run"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(seconds)
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    if process.poll() is None:
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    _, there = psutil.wait_procs(family, timeout=2)
    return sum(running(one) for one in there)


def running(process: psutil.Process) -> bool:
    """Whether a process still does something; one that died stays a zombie until the system collects it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def same_as_never_killed(work: Path, killed: Path, *, rows: int, seed: int) -> int:
    """How many of three things no clock decides equal a calm project's: prepared/, check.json and train.json."""
    (work / "calm").mkdir()
    calm = make_project(work / "calm", killed.name, rows)
    set_seeds(calm, seed)
    run(calm)
    names = ("check.json", "train.json")
    folders = digest_folder(killed / "prepared") == digest_folder(calm / "prepared")
    return folders + sum((killed / "reports" / n).read_bytes() == (calm / "reports" / n).read_bytes() for n in names)


def main() -> None:
    """Ten kills, their outcome, and the comparison with a run that was never killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(".work/kill"))
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    draw = random.Random(options.seed)
    project = make_project(options.work, "killed", options.rows)
    seconds = run(project)
    whole = completed = orphans = 0
    moments = []
    for number in range(options.kills):
        set_seeds(project, 100 + number)
        before = check_whole(project)
        moment = draw.uniform(0, seconds)
        orphans += kill_at(project, moment, whole_group=number % 2 == 1)
        after = check_whole(project)
        # a folder that stood before is the old one still, or the whole new one
        whole += before.keys() <= after.keys()
        changed = sorted(name for name in before if before[name] != after[name])
        run(project)
        completed += 1
        moments.append({"seconds": round(moment, 1), "replaced_before_the_kill": changed, "group": number % 2 == 1})
        print(f"kill {number + 1} at {moment:.1f} s of {seconds:.0f}: whole, completed; already replaced: {changed}")
    same = same_as_never_killed(options.work, project, rows=options.rows, seed=100 + options.kills - 1)
    n = options.kills
    verdicts = [
        judge(Interval.exact(value, n=n, unit="kills"), at_least(n), rule=rule)
        for rule, value in (
            ("what_stood_stands_whole", whole),
            ("next_run_completes", completed),
            ("no_orphan_left", n - orphans),
        )
    ]
    verdicts.append(judge(Interval.exact(same, n=3, unit="reports"), at_least(3), rule="same_as_never_killed"))
    path = write_results(
        "kill_run",
        verdicts=verdicts,
        measurements=[Measurement(name="kills", interval=Interval.exact(n, n=n, unit="kills"))],
        parameters={
            "rows": options.rows,
            "seed": options.seed,
            "moments": moments,
            "uninterrupted_seconds": round(seconds, 1),
        },
        notes=["the moment is drawn uniformly from the time that a whole run takes; odd rounds kill the process group"],
    )
    print(path)


if __name__ == "__main__":
    main()
