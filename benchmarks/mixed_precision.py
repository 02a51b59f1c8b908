"""Training in fp32, bf16 and fp16 on a CUDA GPU: speed, memory and the loss that it ends at.

    python benchmarks/mixed_precision.py --project .work/reviews      # minutes on a data-centre GPU; after `make demo`

Two models. A BERT-base made from its config with random weights, 64 rows of 128 tokens a step: the size that mixed
precision is for. Its steps are timed in turns, one precision after the other in every round; beside the product's three
formats stands fp32 with TF32 matrix products, which is what a user gets by one line of torch. And the demo's MiniLM on
the demo's reviews, whole trainings with several seeds, for the loss on validation rows: evaluated in fp32 whatever the
training's precision, and compared row by row with fp32's.

Activation memory is what the forward pass leaves allocated for the backward pass and grows with the rows, as in
activation_memory.py; what does not, the casts of the weights, is told beside it. Without a GPU the script says so and
ends with status 0, writing nothing.
"""

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from activation_memory import HALF_TO_A_HUNDREDTH, growing
from numpy.typing import NDArray
from results_file import write_results
from torch.profiler import ProfilerActivity, profile
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from modelyard.artifacts.model import check_model_folder
from modelyard.artifacts.prepared import read_prepared
from modelyard.engines.padding import pad
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import Verdict, judge
from modelyard.evidence.paired import bca
from modelyard.evidence.report import Measurement
from modelyard.evidence.timing import time_ratio
from modelyard.tasks.classification import load_tokenizer, losses
from modelyard.training import derive
from modelyard.training.base import load_with_new_head
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier, forward
from modelyard.training.formats import Precision, in_format
from modelyard.training.loop import evaluate, fit, mean_weight, schedule
from modelyard.training.precision import candidates
from modelyard.training.rows import cut_rows, encode_split
from modelyard.training.step import Learner, make_learner, take_step
from modelyard.training.surroundings import for_training

ROWS, TOKENS = 64, 128  # of one step of BERT-base
ROUNDS = 12
STEPS = 10  # in one timed run
SEEDS = 3
SAME_LOSS = 0.01  # nats that a training may end above fp32's: a thirtieth of the demo's validation loss


def main() -> None:
    """Measure, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(".work/reviews"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("not run: no GPU here")
        return
    check_model_folder(options.project / "models" / "minilm")
    names = candidates(torch.device("cuda"))
    with for_training(0):
        verdicts, measurements = large_model(names)
        small = small_model(options.project, names, range(options.seeds))
    path = write_results(
        "mixed_precision",
        verdicts=verdicts + small[0],
        measurements=measurements + small[1],
        parameters={
            "gpu": torch.cuda.get_device_name(),
            "bert_base": {"rows": ROWS, "tokens": TOKENS, "rounds": ROUNDS, "steps_a_round": STEPS},
            "minilm": {"project": "examples/reviews", "seeds": options.seeds},
            "seconds_minilm": small[2],
        },
        notes=[
            "the device's torch is the machine's own, not the lock's: see `versions`",
            "intervals of the loss are over validation rows, not over trainings: another seed differs as well",
        ],
    )
    print(path)


def large_model(names: list[Precision]) -> tuple[list[Verdict], list[Measurement]]:
    """BERT-base from its config: seconds of steps in turns, and the memory of each format."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(num_labels=2)).to("cuda")
    draw = np.random.default_rng(0)
    ids = draw.integers(1_000, 30_000, size=(ROWS, TOKENS)).tolist()
    rows = Rows(ids, [f"row {number}" for number in range(ROWS)], draw.integers(0, 2, size=ROWS))
    learners = {name: make_learner(copy.deepcopy(model).train(), Classifier(0), precision=name) for name in names}
    measurements = [_bytes(name, *memory_of(learner, rows)) for name, learner in learners.items()]
    activations = {one.subject: one.interval.estimate for group in measurements for one in group[:1]}

    seconds = in_turns(
        {
            **{name: lambda learner=learner: timed_steps(learner, rows) for name, learner in learners.items()},
            "tf32": lambda: _with_tf32(lambda: timed_steps(learners["fp32"], rows)),
        }
    )
    found = [one for group in measurements for one in group]
    verdicts = []
    for name in seconds:
        if name == "fp32":
            continue
        faster = time_ratio(seconds["fp32"], seconds[name])
        found.append(Measurement(name="steps_per_second_over_fp32", subject=f"bert-base, {name}", interval=faster))
        if name in ("bf16", "fp16"):
            verdicts.append(judge(faster, at_least(1.5), rule="speed_over_fp32", subject=f"bert-base, {name}"))
            share = activations[f"bert-base, {name}"] / activations["bert-base, fp32"]
            ratio = Interval.exact(share, n=1, unit="ratio")
            verdicts.append(
                judge(
                    ratio,
                    at_most(HALF_TO_A_HUNDREDTH),
                    rule="activation_memory_over_fp32",
                    subject=f"bert-base, {name}",
                )
            )
            over_tf32 = time_ratio(seconds["tf32"], seconds[name])
            found.append(
                Measurement(name="steps_per_second_over_tf32", subject=f"bert-base, {name}", interval=over_tf32)
            )
    for name, learner in learners.items():
        busy = Interval.exact(round(busy_share(learner, rows), 3), n=STEPS, unit="fraction")
        found.append(Measurement(name="gpu_busy_share", subject=f"bert-base, {name}", interval=busy))
    for name, times in seconds.items():
        rate = ROWS * TOKENS * STEPS / float(np.median(times))
        interval = Interval.exact(round(rate), n=ROUNDS, unit="tokens/s")
        found.append(Measurement(name="tokens_per_second", subject=f"bert-base, {name}", interval=interval))
    return verdicts, found


def memory_of(learner: Learner, rows: Rows) -> tuple[int, int, int]:
    """Bytes that a forward pass leaves, growing with the rows and not, and the peak of a step, weights included."""
    batch = list(range(len(rows.ids)))
    take_step(learner, rows, batch, learning_rate=0.0, step=0)  # the optimiser's state is there from now on
    learner.optimiser.zero_grad(set_to_none=True)
    activations, beside = growing(lambda count: _left_by_a_pass(learner, rows, count), len(rows.ids))
    torch.cuda.reset_peak_memory_stats()
    others = torch.cuda.memory_allocated() - _own_bytes(learner)
    take_step(learner, rows, batch, learning_rate=0.0, step=0)
    return activations, beside, torch.cuda.max_memory_allocated() - others


def _left_by_a_pass(learner: Learner, rows: Rows, count: int) -> int:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    logits = in_format(learner.model, learner.precision, lambda: forward(learner.model, pad(rows.ids[:count], 0)))
    loss = losses(logits, torch.from_numpy(rows.labels[:count]).to("cuda")).sum()
    kept = torch.cuda.memory_allocated() - before
    del logits, loss
    return kept


def timed_steps(learner: Learner, rows: Rows) -> float:
    """Seconds of `STEPS` steps over all rows."""
    batch = list(range(len(rows.ids)))
    torch.cuda.synchronize()
    start = time.perf_counter()
    for step in range(STEPS):
        take_step(learner, rows, batch, learning_rate=1e-5, step=step)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def busy_share(learner: Learner, rows: Rows) -> float:
    """Share of the time in which a kernel runs; where it is low, the processor cannot launch them fast enough."""
    wall = timed_steps(learner, rows)
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        timed_steps(learner, rows)
    return sum(float(event.self_device_time_total) for event in trace.key_averages()) / 1e6 / wall


def in_turns(work: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Seconds of every piece of work in each round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(ROUNDS + 1):
        for name, run in work.items():
            took = run()
            if turn > 0:
                seconds[name].append(took)
    return seconds


def small_model(
    project: Path, names: list[Precision], seeds: range
) -> tuple[list[Verdict], list[Measurement], dict[str, list[float]]]:
    """The demo's MiniLM, trained whole by each format and seed: the loss of each validation row against fp32's."""
    data = read_prepared(project / "prepared")
    base = project / "models" / "minilm"
    tokenizer = load_tokenizer(base)
    uncut = {name: encode_split(tokenizer, data, name) for name in ("train", "validation")}
    limit = int(derive.max_length_tokens(uncut["train"].lengths, None, 512, derive.ENCODERS.longest).value)
    train, validation = (cut_rows(tokenizer, rows, data, name, limit)[0] for name, rows in uncut.items())
    seconds: dict[str, list[float]] = {name: [] for name in names}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            model = load_with_new_head(base, data.dataset.labels, seed=seed).to("cuda")
            start = time.perf_counter()
            found[name].append(row_losses(model, train, validation, name, seed))
            seconds[name].append(round(time.perf_counter() - start, 2))
    mean = {name: np.mean(rows, axis=0) for name, rows in found.items()}
    verdicts, measurements = [], []
    for name, rows in mean.items():
        value = Interval.exact(float(rows.mean()), n=len(rows), unit="nats")
        measurements.append(Measurement(name="validation_loss", subject=f"minilm, {name}", interval=value))
        if name != "fp32":
            worse = bca(rows, mean["fp32"], np.mean, 0, unit="nats")
            verdicts.append(judge(worse, at_most(SAME_LOSS), rule="loss_above_fp32", subject=f"minilm, {name}"))
    return verdicts, measurements, seconds


def row_losses(
    model: PreTrainedModel, train: Rows, validation: Rows, precision: Precision, seed: int
) -> NDArray[np.float64]:
    """One epoch as the product trains by default; the loss of each validation row in nats, shape (rows,)."""
    budget = int(derive.tokens_per_batch(train.lengths, None, max(train.lengths)).value)
    rate = derive.ENCODERS.small_rate.value
    steps = list(
        schedule(
            train.lengths,
            epochs=1,
            tokens_per_batch=budget,
            learning_rate=rate,
            evaluations_per_epoch=1,
            seed=seed,
            by_rows=True,
        )
    )
    objective = Classifier(int(model.config.pad_token_id))
    fitted = fit(
        model,
        train,
        validation,
        objective,
        steps,
        precision=precision,
        seed=seed,
        record=lambda figures: None,
        step_weight=mean_weight(train, steps),
    )
    again = evaluate(model, validation, objective)
    if not np.array_equal(again, fitted.outputs):
        raise SystemExit(f"{precision}: the best weights do not answer as they did when they were chosen")
    return losses(torch.from_numpy(again).double(), torch.from_numpy(validation.labels)).numpy()


def _bytes(name: str, activations: int, beside: int, peak: int) -> list[Measurement]:
    values = {"activation_bytes": activations, "bytes_beside": beside, "peak_bytes": peak}
    return [
        Measurement(name=what, subject=f"bert-base, {name}", interval=Interval.exact(value, n=1, unit="bytes"))
        for what, value in values.items()
    ]


def _own_bytes(learner: Learner) -> int:
    """Bytes of a learner's weights and of its optimiser's state."""
    tensors = [*learner.model.parameters(), *learner.model.buffers()]
    tensors += [
        value for state in learner.optimiser.state.values() for value in state.values() if torch.is_tensor(value)
    ]
    return sum(one.numel() * one.element_size() for one in tensors if one.is_cuda)


def _with_tf32(work: Callable[[], float]) -> float:
    torch.set_float32_matmul_precision("high")
    try:
        return work()
    finally:
        torch.set_float32_matmul_precision("highest")  # torch's default


if __name__ == "__main__":
    main()
