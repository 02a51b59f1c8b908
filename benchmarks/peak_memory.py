"""The most memory that a part of a process holds, for the contenders of training_turns.py; needs Linux 4.0."""

import ctypes
import gc
from pathlib import Path

import torch

_RESET_PEAK = "5"  # proc_pid_clear_refs(5): the peak of the resident set becomes what it is now


def begin() -> None:
    """Give back what came before, such as copies that were tried, and count from here."""
    gc.collect()  # a copy and its optimiser may refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)


def peak_bytes() -> int:
    """The peak since `begin`: of a GPU what torch held there, else of the resident set."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status["VmHWM"].split()[0])
