"""torch.compile against eager steps: MiniLM, SmolLM2-135M and GPT-2-small, and after how many steps it has paid off.

    python benchmarks/compile_speed.py --project .work/reviews      # some 10 minutes on two cores; after `make demo`

The same batches are stepped over by a learner in eager mode and by one whose model, all but its output layer, was
compiled with `dynamic=True`; in turns, in bf16 where the machine has it. The output layer stays eager because the loop
hooks into it anew at each step, and torch would compile anew each time. Seconds to compile are what all compiled
steps took beyond the eager ones over the median ratio: the first ones, and every later one that was compiled again.
Each model has a process of its own, and caches of earlier compilations are left aside.

Writes `results/compile_speed.json`, with a GPU `results/compile_speed_gpu.json`; where the C++ compiler that torch
needs is not there, it says so and ends with status 0, writing nothing.
"""

import argparse
import copy
import math
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from language_speed import LAYERS, SETUPS, write_language
from results_file import write_results
from training_ours import Course, course
from training_speed import write_reviews
from training_turns import has_bf16

from modelyard.evidence.interval import Interval
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import time_ratio
from modelyard.training.formats import Precision
from modelyard.training.step import Learner, make_learner, take_step
from modelyard.training.surroundings import for_training

FIRST = 4  # steps that are not timed: the first compiles, the next ones find what of its shapes may change
STEPS = 24  # timed
REVIEWS = 1_024  # train rows of MiniLM: more than the steps take
SAME_LOSS = 0.05  # nats that the mean loss of all steps may differ by: each draws its own dropout


class Compared(NamedTuple):
    """Seconds and mean loss of each step of one learner, in nats; the first `FIRST` warm up."""

    seconds: list[float]
    losses: list[float]


def main() -> None:
    """Time, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--work", type=Path, default=Path(".work/compile-speed"))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--layers", type=int, default=LAYERS, help="of gpt2, to try the script")
    options = parser.parse_args()
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        print("not run: no C++ compiler")
        return
    precision: Precision = "bf16" if has_bf16() else "fp32"
    measurements: list[Measurement] = []
    notes = ["ratio: seconds of an eager step over those of a compiled one, side by side on the same batch"]
    # a process each: what torch starts and looks up once is paid for by every model
    fresh = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    for name in ("minilm", *SETUPS):
        found = fresh.submit(compared, name, options, precision).result()
        told, note = figures(name, found)
        measurements += told
        notes += note
        print(name, {one.name: round(one.interval.estimate, 3) for one in told}, *note, flush=True)
    on_gpu = torch.cuda.is_available()
    print(
        write_results(
            "compile_speed_gpu" if on_gpu else "compile_speed",
            verdicts=[],
            measurements=measurements,
            parameters={
                "device": torch.cuda.get_device_name() if on_gpu else "CPU",
                "precision": precision,
                "steps": options.steps,
                "steps_before": FIRST,
            },
            notes=notes,
        )
    )


def compared(name: str, options: argparse.Namespace, precision: Precision) -> dict[str, Compared]:
    """The steps of an eager and of a compiled learner of one model, in turns.

    Args:
        name: `minilm` or of `SETUPS`.
        options: where the demo is and the rows go, and how many steps to time; the batches of an epoch come again where
            there are fewer.
        precision: of the forward pass.

    Raises:
        SystemExit: the compiled model's loss is another.
    """
    work = options.work / name
    if name == "minilm":
        write_reviews(options.project, work, REVIEWS, 1)
    else:
        write_language(name, work, SETUPS[name].rows, options.layers)
    with tempfile.TemporaryDirectory() as cache, for_training(0):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        given = course(work, 0)
        learners = {kind: learner(given, precision, compiled=kind == "compiled") for kind in ("eager", "compiled")}
        found = {kind: Compared([], []) for kind in learners}
        for number in range(FIRST + options.steps):
            batch = given.steps[number % len(given.steps)].batch
            for kind, one in learners.items():
                start = time.perf_counter()
                result = take_step(one, given.train, batch, learning_rate=0.0, step=number)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                found[kind].seconds.append(time.perf_counter() - start)
                found[kind].losses.append(result.loss_sum / given.train.weight(batch))
    losses = {kind: statistics.mean(one.losses) for kind, one in found.items()}
    if abs(losses["eager"] - losses["compiled"]) > SAME_LOSS:
        raise SystemExit(f"{name}: the mean loss is {losses}")
    return found


def learner(given: Course, precision: Precision, *, compiled: bool) -> Learner:
    """One that steps a copy of the model."""
    model = copy.deepcopy(given.model).train()
    if compiled:
        model.base_model.compile(dynamic=True)
    return make_learner(model, given.objective, precision=precision)


def figures(name: str, found: dict[str, Compared]) -> tuple[list[Measurement], list[str]]:
    """Step times, their ratio, seconds to compile and steps until they are won back; a note where they never are."""
    timed = {kind: one.seconds[FIRST:] for kind, one in found.items()}
    medians = {kind: statistics.median(times) for kind, times in timed.items()}
    ratio = time_ratio(timed["eager"], timed["compiled"])
    compiling = sum(found["compiled"].seconds) - sum(found["eager"].seconds) / ratio.estimate
    n = len(timed["compiled"])
    told = [
        *(
            Measurement(name="step_seconds", subject=f"{name}, {kind}", interval=_exact(value, n, "s"))
            for kind, value in medians.items()
        ),
        Measurement(name="ratio", subject=name, interval=ratio),
        Measurement(name="compile_seconds", subject=name, interval=_exact(compiling, 1, "s")),
    ]
    won = medians["eager"] - medians["compiled"]
    if won <= 0.0:
        return told, [f"{name}: a compiled step takes no less time than an eager one, so compiling never pays"]
    steps = math.ceil(compiling / won)
    return [*told, Measurement(name="steps_to_pay_back", subject=name, interval=_exact(steps, 1, "steps"))], []


def _exact(value: float, n: int, unit: str) -> Interval:
    return Interval.exact(value, n=n, unit=unit)


if __name__ == "__main__":
    main()
