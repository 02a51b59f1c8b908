"""Sharded training: every process holds a part of each weight, of its gradient and of its moments (FSDP2).

torch cuts each weight along its first dimension (Rajbhandari et al. 2020, ZeRO, stage 3; Zhao et al. 2023, PyTorch
FSDP). A layer is gathered whole right before it is computed, forward and backward, and let go right after; what lies
outside the layers, embeddings and the output layer, likewise. So every process must take part in every pass, be it for
nothing. The rest of the training asks the functions here, which leave a model that is not sharded as it is.
"""

import contextlib
from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from modelyard.errors import InputError, Problem

_LAYERDROP = ("layerdrop", "encoder_layerdrop", "decoder_layerdrop")
"""Share of layers that a pass leaves out, in a config (Fan et al. 2020): the others would wait for their weights."""


def shard(model: PreTrainedModel, device: torch.device) -> None:
    """Divide a model among all processes, in place, onto their devices.

    Each layer is moved and cut by itself, so that a device never holds more than one of them and what lies outside.

    Args:
        model: whole, on the CPU, the same in every process.
        device: its kind; of several GPUs the current one is taken.

    Raises:
        InputError: transformers does not know the model's layers, or leaves some out at random, or it has a weight
            without a dimension to cut.
    """
    # the class of a layer that transformers can compute again, which is every family's but the oldest
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    kind, next_step = model.config.model_type, "set it to false"
    if not layers:
        message = f"train.sharded is true: transformers knows no layers of a {kind} to divide"
        raise InputError(Problem(message, next_step, "modelyard.yaml"))
    if scalars := [name for name, weight in model.named_parameters() if weight.ndim == 0]:
        message = f"train.sharded is true: the weight {scalars[0]} of this {kind} is one number, which has no parts"
        raise InputError(Problem(message, next_step, "modelyard.yaml"))
    for module in model.modules():
        for name in _LAYERDROP if isinstance(module, PreTrainedModel) else ():
            if share := getattr(module.config, name, None):
                message = f"train.sharded is true and {name} is {share}: each process would leave out other layers"
                raise InputError(Problem(message, f"set {name} to 0 in the base's config.json", "modelyard.yaml"))
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    # torch's caches keep the mesh until the process ends, and the mesh its group, whose threads then run into the end
    # of Python and abort it now and then; without an entry the group is found by its name
    mesh._pg_registry.clear()
    for module in (*layers, model):
        # torch would keep what lies outside the layers gathered after a pass, after an evaluation even beside the next
        # update: a checkpoint would then be of weights that the next pass does not see
        fully_shard(module, mesh=mesh, reshard_after_forward=True)


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether each process holds a part of the model only."""
    return isinstance(model, FSDPModule)


def no_gradients(model: torch.nn.Module) -> contextlib.AbstractContextManager[object]:
    """Within it a forward pass keeps nothing for a backward pass.

    What FSDP gathers in torch's inference mode it uses again in training, which takes no tensor of that mode.
    """
    return torch.no_grad() if is_sharded(model) else torch.inference_mode()


@contextlib.contextmanager
def tried_out(model: torch.nn.Module) -> Iterator[None]:
    """Around steps that are only tried, at a learning rate of 0 and even in vain: no trace of them is left."""
    begun: list[bool] = []
    told = model.register_forward_pre_hook(lambda *_: begun.append(True), prepend=True)
    try:
        yield
    finally:
        told.remove()
        if begun and isinstance(model, FSDPModule):  # before its first pass FSDP has nothing to reset and raises
            model.zero_grad()  # of the weights that a pass which raised left gathered
            model.reset_iter_state()  # else it is still under way
            model.zero_grad()  # of the parts


def whole(tensors: Mapping[str, torch.Tensor], *, first: bool) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors by name, divided ones gathered, of which no more than one is whole on a device at a time.

    Every process must draw all of them.

    Args:
        tensors: of a model or an optimiser.
        first: whether this process is the one that is given what is gathered, on the CPU; the others go without.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, DTensor):
            yield name, tensor
            continue
        gathered = tensor.full_tensor().detach()
        if first:
            yield name, gathered.cpu()


def divided(tensor: torch.Tensor, like: torch.Tensor | None, *, source: int | None = None) -> torch.Tensor:
    """A whole tensor as `like` is held: this process's part of it, or all.

    Args:
        tensor: whole.
        like: of the model; None: it has no such tensor.
        source: the process whose tensor is taken; None: every process has the same one.
    """
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=source)


def put(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a model its weights, of which every process has all.

    Raises:
        RuntimeError: they do not fit the model.
    """
    own = model.state_dict()
    model.load_state_dict({name: divided(tensor, own.get(name)) for name, tensor in tensors.items()})


def put_from_first(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a model its weights; where it is sharded, the first process has them, as `whole` gave them."""
    if not is_sharded(model):
        put(model, tensors)
        return
    parts = {}
    for name, like in model.state_dict().items():
        # what is not divided every process has
        absent = isinstance(like, DTensor) and name not in tensors
        tensor = torch.empty(like.shape, dtype=like.dtype) if absent else tensors[name]
        parts[name] = divided(tensor, like, source=0)
    model.load_state_dict(parts)


def gathered(model: PreTrainedModel, *, first: bool) -> dict[str, torch.Tensor]:
    """A model's state, whole and on the CPU, in the first process, nothing in the others; all of them call it.

    Tied weights are one tensor under several names, as `save_pretrained` needs them.

    Args:
        model: which leaves its device where it is not sharded.
        first: whether this process is the first.
    """
    if not is_sharded(model):
        return model.to("cpu").state_dict() if first else {}
    state = model.state_dict()
    names: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    tied = {name: names.setdefault(id(weight), name) for name, weight in named}
    once = {name: weight for name, weight in state.items() if tied.get(name, name) == name}
    found = dict(whole(once, first=first))
    return {name: found[tied.get(name, name)] for name in state} if first else {}


def undivided(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those tensors of a model that every process has whole: of a sharded one its buffers."""
    own = model.state_dict()
    return {name: tensor for name, tensor in tensors.items() if not isinstance(own.get(name), DTensor)}


def generated(model: PreTrainedModel, **given: torch.Tensor) -> torch.Tensor:
    """What `model.generate` gives; where it is sharded, every process passes as often as the longest answer needs."""
    if isinstance(model, FSDPModule):
        model.unshard()  # an encoder is called by itself, before the model that its embeddings belong to
    with no_gradients(model):
        found: torch.Tensor = model.generate(**given, synced_gpus=True if is_sharded(model) else None)
    return found


def number(value: torch.Tensor) -> float:
    """A tensor of one number that every process has, or has a share of."""
    return float((value.full_tensor() if isinstance(value, DTensor) else value).item())
