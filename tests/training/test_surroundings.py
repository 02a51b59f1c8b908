"""What training changes about the process is put back, also after an error."""

import os
import platform
import sys
from contextlib import suppress
from typing import Any

import psutil
import pytest
import torch
from transformers.utils import logging as transformers_logging

from modelyard.training import surroundings
from modelyard.training.surroundings import (
    allow_what_has_none,
    attention_as_given,
    hand_back_freed,
    keeping_freed_memory,
    quick_dropout,
    quiet_transformers,
    reproducible,
)


def test_reproducible_seeds_and_puts_back() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn = []
    for _ in range(2):
        with reproducible(1):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_reproducible_leaves_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with suppress(ValueError), reproducible(1):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
        raise ValueError
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert not torch.are_deterministic_algorithms_enabled()


def test_quick_dropout_drops_the_share_that_is_asked_for_and_scales_the_rest() -> None:
    ones = torch.ones(1_000, 1_000)
    with reproducible(3), quick_dropout():
        dropped = torch.nn.functional.dropout(ones, 0.1)
    assert torch.equal(dropped.unique(), torch.tensor([0.0, 1 / 0.9]))
    kept = (dropped != 0).double().mean().item()
    assert abs(kept - 0.9) < 5 * (0.9 * 0.1 / 1e6) ** 0.5  # five standard errors of a million places
    # no row or column goes without: an error of how bits are laid out would show there
    for side in (0, 1):
        assert ((dropped != 0).double().mean(dim=side) - 0.9).abs().max() < 5.5 * (0.9 * 0.1 / 1e3) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.bool])
def test_quick_dropout_draws_any_share_into_any_tensor(dtype: torch.dtype) -> None:
    with reproducible(3), quick_dropout():
        assert not torch.empty(5, dtype=dtype).bernoulli_(0.0).any()
        assert torch.empty(5, dtype=dtype).bernoulli_(1.0).all()
        assert torch.empty(0, dtype=dtype).bernoulli_(0.5).shape == (0,)
        sideways = torch.empty(300, 700, dtype=dtype).t()  # not in the order of its memory
        assert abs(sideways.bernoulli_(0.25).double().mean().item() - 0.25) < 5 * (0.25 * 0.75 / 210_000) ** 0.5


def test_quick_dropout_follows_the_generator_reaches_attention_and_is_put_back() -> None:
    token = torch.ones(1, 1, 7, 4)

    def drawn() -> torch.Tensor:
        torch.manual_seed(5)
        hidden = torch.nn.functional.dropout(torch.ones(64), 0.5)
        return torch.cat(
            [
                hidden,
                torch.nn.functional.scaled_dot_product_attention(token, token, token, dropout_p=0.5).flatten(),
            ]
        )

    before = drawn()
    with quick_dropout():
        first, second = drawn(), drawn()
    assert torch.equal(first, second)
    assert not torch.equal(first[:64], before[:64])
    assert not torch.equal(first[64:], before[64:])
    assert torch.equal(drawn(), before)


def test_attention_with_dropout_keeps_the_format_it_is_given_and_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # beside a GPU torch decides
    torch.manual_seed(2)
    parts = [torch.randn(2, 3, 50, 16, dtype=torch.bfloat16, requires_grad=True) for _ in "qkv"]
    query, key, value = (part.detach().double() for part in parts)
    exact = torch.softmax(query @ key.mT / 4, dim=-1) @ value  # the root of 16 is 4

    def kept() -> set[torch.dtype]:
        formats = set()

        def note(saved: torch.Tensor) -> torch.Tensor:
            formats.add(saved.dtype)
            return saved

        with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
            found = torch.nn.functional.scaled_dot_product_attention(*parts, dropout_p=1e-9)
        assert (found.double() - exact).abs().max() < 4 / 256  # bf16 has 8 bits of which one is not written
        return formats

    before = kept()
    with attention_as_given():
        within = kept()
    assert torch.float32 in before
    assert torch.float32 not in within
    assert kept() == before


def test_an_operation_without_a_deterministic_kernel_is_allowed_and_named() -> None:
    def put() -> None:
        torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))

    with reproducible(1):
        assert allow_what_has_none(lambda: None) == ""
        with pytest.raises(RuntimeError, match="shapes"):
            allow_what_has_none(lambda: torch.ones(2, 3) @ torch.ones(2, 3))
        with pytest.raises(RuntimeError, match="deterministic"):
            put()
        assert allow_what_has_none(put) == "put_ does not have a deterministic implementation"
        with pytest.warns(UserWarning, match="put_ does not have a deterministic implementation"):
            put()
        assert "CUBLAS_WORKSPACE_CONFIG" in allow_what_has_none(lambda: None)  # where it was allowed from the start
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_on_a_gpu_matrix_products_are_allowed_and_the_environment_is_left_as_it_was() -> None:
    with reproducible(1):
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
        product = torch.rand(300, 300, device="cuda") @ torch.rand(300, 300, device="cuda")
    assert product.isfinite().all()


@pytest.mark.parametrize("bars", [True, False])
def test_quiet_transformers_puts_back(bars: bool) -> None:
    before, had = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    try:
        (transformers_logging.enable_progress_bar if bars else transformers_logging.disable_progress_bar)()
        with suppress(ValueError), quiet_transformers():
            assert transformers_logging.get_verbosity() == transformers_logging.ERROR
            assert not transformers_logging.is_progress_bar_enabled()
            raise ValueError
        assert transformers_logging.get_verbosity() == before
        assert transformers_logging.is_progress_bar_enabled() == bars
    finally:
        (transformers_logging.enable_progress_bar if had else transformers_logging.disable_progress_bar)()


class Libc:
    def __init__(self) -> None:
        self.calls = []

    def mallopt(self, option: int, value: Any) -> None:
        self.calls.append((option, value))

    def malloc_trim(self, pad: int) -> None:
        self.calls.append(("trim", pad))


def test_keeping_freed_memory_sets_both_thresholds_and_puts_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Libc()
    monkeypatch.setattr(surroundings.ctypes, "CDLL", lambda name: libc)
    monkeypatch.setattr(sys, "platform", "linux")
    with suppress(ValueError), keeping_freed_memory():
        assert libc.calls == [(-3, 1 << 30), (-1, 1 << 30)]
        raise ValueError
    assert libc.calls[2:] == [(-3, 32 << 20), (-1, 64 << 20), ("trim", 0)]


@pytest.mark.parametrize("name", ["darwin", "linux"])
def test_keeping_freed_memory_does_without_glibc(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "platform", name)
    asked: list[object] = []
    monkeypatch.setattr(surroundings.ctypes, "CDLL", lambda library: asked.append(library) or object())
    with keeping_freed_memory():
        pass
    assert asked == ([None] if name == "linux" else [])  # no library is looked for elsewhere


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc, which keeps freed memory")
def test_freed_memory_is_handed_back() -> None:
    """A small tensor behind each large one keeps the heap from shrinking by itself."""
    own = psutil.Process().memory_info
    with keeping_freed_memory():
        large = [(torch.ones(1 << 20), torch.ones(16)) for _ in range(64)]  # 4 MiB each
        small = [few for _, few in large]
        del large
        before = own().rss
        hand_back_freed()
        assert before - own().rss > 128 << 20
    assert len(small) == 64
