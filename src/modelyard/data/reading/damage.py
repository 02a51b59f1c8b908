"""Whether a Parquet file can be read at all, found out by a process that may die of it.

Damaged bytes make polars panic with a trace on stderr, and some end the whole process (`memory allocation of
2305843009213693944 bytes failed`): seen with 2.1 on small files of which one to three random bytes were changed. What
reads well there is then read here.
"""

import subprocess
import sys
from pathlib import Path

LEAST_SECONDS = 30
BYTES_PER_SECOND = 1_000_000
"""A reader that is slower than this hangs: on one core polars reads more than a hundred times as fast."""
_READ = """
import sys, polars
polars.scan_parquet(sys.argv[1], glob=False, hive_partitioning=False).sink_batches(lambda batch: None)
"""


def find_damage(path: Path) -> str:
    """Why a Parquet file cannot be read; empty where it can. It is read batch by batch: memory stays small."""
    command = [sys.executable, "-P", "-c", _READ, str(path.absolute())]
    timeout = LEAST_SECONDS + path.stat().st_size / BYTES_PER_SECOND
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"reading it takes more than {timeout:.0f} seconds"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"its bytes are damaged so that they end the program that reads them (signal {-done.returncode})"
    said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return said.partition(": ")[2] or said
