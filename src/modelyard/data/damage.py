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
import io, sys, polars
source = io.BytesIO(sys.stdin.buffer.read()) if sys.argv[1] == "-" else sys.argv[1]
polars.read_parquet(source, n_rows=int(sys.argv[2]) or None, glob=False, hive_partitioning=False)
"""


def find_damage(path: Path, content: bytes | None, rows_wanted: int | None) -> str:
    """Why a Parquet file cannot be read; empty where it can.

    Args:
        path: the file.
        content: its bytes where they are not those on disk.
        rows_wanted: how many rows are enough; None for all.
    """
    name = str(path.absolute()) if content is None else "-"
    size = path.stat().st_size if content is None else len(content)
    command = [sys.executable, "-P", "-c", _READ, name, str(rows_wanted or 0)]
    try:
        done = subprocess.run(
            command,
            input=content or b"",
            capture_output=True,
            check=False,
            timeout=LEAST_SECONDS + size / BYTES_PER_SECOND,
        )
    except subprocess.TimeoutExpired as error:
        return f"reading it takes more than {error.timeout:.0f} seconds"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"its bytes are damaged so that they end the program that reads them (signal {-done.returncode})"
    said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return said.partition(": ")[2] or said
