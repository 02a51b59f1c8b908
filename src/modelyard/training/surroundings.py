"""What training needs of the process around it, put back as it was when it ends."""

import contextlib
import ctypes
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from transformers.utils import logging as transformers_logging

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEEP_BYTES = 1 << 30
_GLIBC_LIMIT_TRIM, _GLIBC_LIMIT_MMAP = 64 << 20, 32 << 20  # where glibc's own adaptive thresholds end (mallopt(3))


@contextlib.contextmanager
def for_training(seed: int) -> Iterator[None]:
    """All that training needs, see below."""
    with reproducible(seed), quiet_transformers(), keeping_freed_memory(), quick_dropout(), attention_as_given():
        yield


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch and ask for its deterministic kernels: the same work on the same machine gives the same bits.

    Not `warn_only`: attention's backward pass takes its other kernel then, and says so at every training. An operation
    that has no deterministic kernel raises, see `allow_what_has_none`.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            torch.use_deterministic_algorithms(True)
            # finds reads of memory that nobody wrote: a debugging aid that costs a pass over every new tensor
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            if torch.cuda.is_available() and not _cublas_is_let_through():
                torch.use_deterministic_algorithms(True, warn_only=True)
            torch.manual_seed(seed)
            yield
        finally:
            torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
            torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def allow_what_has_none(one_pass: Callable[[], None]) -> str:
    """Within `reproducible`, let operations without a deterministic kernel run where `one_pass` needs one.

    Args:
        one_pass: a step of the training, on a copy of the model.

    Returns:
        Why two trainings may differ, as torch says it of the first such operation; empty where they will not.
    """
    if torch.is_deterministic_algorithms_warn_only_enabled():
        return "CUDA was in use before, or CUBLAS_WORKSPACE_CONFIG is neither :4096:8 nor :16:8"
    try:
        one_pass()
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        torch.use_deterministic_algorithms(True, warn_only=True)
        return str(error).partition(",")[0]
    return ""


def _cublas_is_let_through() -> bool:
    """Whether torch lets matrix products through in its deterministic mode; the first one in a process decides.

    It looks once whether CUBLAS_WORKSPACE_CONFIG names a fixed workspace, so the variable is set for one small product.
    Left set, it is parsed again at every product: a step of MiniLM on an H100 took 22 ms instead of 14. torch hands
    cuBLAS a workspace of its own in any case, and training uses one stream, on which cuBLAS gives the same bits
    (cuBLAS, Results reproducibility).
    """
    name = "CUBLAS_WORKSPACE_CONFIG"
    before = os.environ.get(name)
    os.environ.setdefault(name, ":4096:8")
    try:
        torch.ones(1, 1, device="cuda") @ torch.ones(1, 1, device="cuda")
    except RuntimeError:
        return False
    finally:
        if before is None:
            del os.environ[name]
    return True


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no advice from transformers: the new head's weights are missing because it is new."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    try:
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


@contextlib.contextmanager
def quick_dropout() -> Iterator[None]:
    """On a CPU draw dropout's masks from 16 random bits a place; the share that is dropped is one of 65,536 steps.

    torch draws a double for each place, a seventh of a step of MiniLM in bf16: 816 x 1,536 places take it 7.6 ms
    instead of 1.4. It takes the place of the operation that every dropout draws by, attention's too, and draws from the
    same generator, whose state a checkpoint holds.
    """
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Warning only once for all operators", UserWarning)  # that it is overridden
        library.impl("bernoulli_.float", _draw, "CPU")  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        del library


def _draw(tensor: torch.Tensor, p: float = 0.5, *, generator: torch.Generator | None = None) -> torch.Tensor:
    """Fill a tensor with ones, each with a probability, and zeros."""
    places = tensor.numel()
    words = torch.empty(math.ceil(places / 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    bits = words.view(torch.int16)[:places].view(tensor.shape)
    limit = round(p * 2**16) - 2**15
    return tensor.fill_(1) if limit == 2**15 else torch.lt(bits, limit, out=tensor)


@contextlib.contextmanager
def attention_as_given() -> Iterator[None]:
    """On a CPU let attention in bf16 keep bf16 where torch has no kernel for it and takes one operation after another.

    So with dropout: torch casts to fp32 before its two products, and keeps that for the backward pass. Both products
    add up in fp32 in any case; forward and backward over 4 rows of 256 tokens with 12 heads of 64 take 20 ms instead of
    38 (two cores). A GPU has kernels for it, and adds up products in bf16 as its own switches say: left as it is.
    """
    if torch.cuda.is_available():
        yield
        return
    switch = torch.backends.cuda  # a CPU's too
    allowed = switch.fp16_bf16_reduction_math_sdp_allowed()  # type: ignore[no-untyped-call]
    switch.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        yield
    finally:
        switch.allow_fp16_bf16_reduction_math_sdp(allowed)


@contextlib.contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Let glibc keep freed memory for the next step instead of handing it back to the system.

    Every step frees and asks for the same large tensors; each time the kernel clears the pages anew. MiniLM, 32 rows of
    22 tokens, 2 cores: a step takes 414 ms instead of 578 in fp32, 260 instead of 372 in bf16.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    try:
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _GLIBC_LIMIT_MMAP)
        libc.mallopt(_M_TRIM_THRESHOLD, _GLIBC_LIMIT_TRIM)
        libc.malloc_trim(0)


def hand_back_freed() -> None:
    """Hand freed memory that glibc keeps back to the system, which counts it as used until then."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return libc if hasattr(libc, "mallopt") else None  # musl has none
