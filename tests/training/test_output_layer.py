"""The loss of the output layer against torch's own, in what it says and in what it keeps."""

import numpy as np
import pytest
import torch

from modelyard.training.output_layer import summed_losses

PLACES, TOKENS = 37, 11  # more places than are taken together, and no multiple of them


def drawn(dtype: torch.dtype) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(4)
    logits = torch.from_numpy(draw.normal(scale=4, size=(PLACES, TOKENS))).to(dtype)
    return logits, draw.integers(TOKENS, size=PLACES), np.sort(draw.integers(3, size=PLACES))


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2**-8)])
def test_losses_and_gradients_are_those_of_torch(dtype: torch.dtype, near: float) -> None:
    logits, targets, owners = drawn(dtype)
    shares = torch.tensor([0.5, 2.0, -1.0])
    gradients = []
    for ours in (True, False):
        leaf = logits.clone().requires_grad_()
        if ours:
            found = summed_losses(leaf, targets, owners, rows=3)
        else:
            each = torch.nn.functional.cross_entropy(leaf.double(), torch.from_numpy(targets), reduction="none")
            found = torch.stack([each[torch.from_numpy(owners == row)].sum() for row in range(3)])
        (found * shares.to(found.dtype)).sum().backward()
        gradients.append((found.detach().double(), leaf.grad.double()))
    (found, gradient), (found_torch, gradient_torch) = gradients
    assert torch.allclose(found, found_torch, rtol=1e-5)
    assert (gradient - gradient_torch).abs().max() <= near


def test_it_keeps_the_logits_as_they_are_and_nothing_else_as_large() -> None:
    logits, targets, owners = drawn(torch.bfloat16)
    leaf = logits.requires_grad_()
    large = []

    def note(saved: torch.Tensor) -> torch.Tensor:
        large.extend([saved.data_ptr()] if saved.numel() >= PLACES * TOKENS else [])
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        loss = summed_losses(leaf, targets, owners, rows=3)
    assert loss.dtype == torch.float32
    assert large == [leaf.data_ptr()]
