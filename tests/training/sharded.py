"""What test_sharding.py starts in several processes: `sharded.py BASE PREPARED BATCHES OUTPUT`."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from modelyard.artifacts.prepared import read_prepared
from modelyard.tasks.classification import load_tokenizer
from modelyard.training.base import load_with_new_head
from modelyard.training.batches import Rows
from modelyard.training.classifier import Classifier
from modelyard.training.group import Group, joined
from modelyard.training.loop import evaluate
from modelyard.training.precision import LEAST_STEPS, choose_precision, step_on_copies
from modelyard.training.rows import encode_split
from modelyard.training.sharding import put_from_first, shard, whole
from modelyard.training.step import make_learner, take_step
from modelyard.training.surroundings import quiet_transformers

OBJECTIVE = Classifier(0, tokens_per_forward=32)
"""So small that a process's share of a batch takes several passes, and not all equally many."""


def main(base: Path, prepared: Path, batches: list[list[int]], output: Path) -> None:
    """Train on the batches; the first process writes what was found and, beside it, the weights."""
    data, tokenizer = read_prepared(prepared), load_tokenizer(base)
    train, validation = (encode_split(tokenizer, data, name) for name in ("train", "validation"))
    with joined() as group, quiet_transformers():
        model = load_with_new_head(base, ["bad", "good"], seed=1)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        weights = sum(weight.numel() for weight in model.parameters())
        shard(model, torch.device("cpu"))
        held = sum(weight.to_local().numel() for weight in model.parameters() if isinstance(weight, DTensor))
        found: dict[str, Any] = {"weights": weights, "held": group.gather(held)}

        step_on_copies(model, train, OBJECTIVE)
        chosen = choose_precision(model, train, batches * LEAST_STEPS, OBJECTIVE, wanted="auto", group=group)
        found["chosen_alike"] = all(one == chosen for one in group.gather(chosen))
        found["timed"] = sorted(chosen[2])
        found["gradients"] = sum(weight.grad is not None for weight in model.parameters())
        tried = dict(whole(model.state_dict(), first=group.first))
        found["unchanged"] = not group.first or all(torch.equal(tried[name], before[name]) for name in before)
        found["given"] = group.gather(len(tried))

        model.eval()  # no dropout: every process draws its own
        evaluate(model, validation, OBJECTIVE, group=group)  # before the first step, as of a language model
        learner = make_learner(model, OBJECTIVE, precision="fp32", group=group)
        found["steps"] = [
            take_step(learner, train, batch, learning_rate=1e-3, step=step)[:2]
            for step, batch in enumerate(batches, start=1)
        ]
        found["outputs"] = evaluate(model, validation, OBJECTIVE, group=group).tolist()
        after = dict(whole(model.state_dict(), first=group.first))
        put_from_first(model, tried)
        found |= in_fp16(model, train, batches, group)
        put_from_first(model, tried)
        back = dict(whole(model.state_dict(), first=group.first))
        if group.first:
            found["put_back"] = all(torch.equal(back[name], before[name]) for name in before)
            save_file(after, output.with_suffix(".safetensors"))
            output.write_text(json.dumps(found))


def in_fp16(model: PreTrainedModel, train: Rows, batches: list[list[int]], group: Group) -> dict[str, Any]:
    """Steps and scales of the loss, of which the first is too high; then one process alone has met an infinity."""
    learner = replace(make_learner(model, OBJECTIVE, precision="fp16", group=group), scaler=too_high())
    found: dict[str, Any] = {"fp16_steps": [], "scales": []}
    for step, batch in enumerate(batches, start=1):
        found["fp16_steps"].append(take_step(learner, train, batch, learning_rate=1e-3, step=step)[:2])
        found["scales"].append(group.gather(learner.scaler.get_scale()))
    learner.optimiser.zero_grad()
    learner.scaler.scale(OBJECTIVE.read(train, [0])(model).sum()).backward()  # type: ignore[no-untyped-call]
    parts = [weight for weight in model.parameters() if isinstance(weight, DTensor)]
    if group.rank == group.size - 1:
        met = next(weight.grad for weight in parts if weight.to_local().numel())
        assert isinstance(met, DTensor)
        met.to_local().view(-1)[0] = torch.inf
    before = [weight.to_local().clone() for weight in parts]
    learner.scaler.unscale_(learner.optimiser)
    learner.scaler.step(learner.optimiser)
    learner.scaler.update()
    kept = all(torch.equal(weight.to_local(), was) for weight, was in zip(parts, before, strict=True))
    return found | {"skipped": group.gather((kept, learner.scaler.get_scale()))}


def too_high() -> torch.amp.GradScaler:
    """A scaler whose first scales are more than fp16 holds."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**22)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), Path(sys.argv[4]))
