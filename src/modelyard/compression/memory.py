"""A process of its own that loads one candidate, answers one batch and writes its peak memory in bytes.

    python -m modelyard.compression.memory [FOLDER ENGINE FILE...] < ROWS.json

Without arguments nothing is loaded: what is left is Python and our own modules.
"""

import json
import resource
import sys
from pathlib import Path

from modelyard.engines.opening import open_engine


def main(arguments: list[str]) -> None:
    """Load, answer, write the peak to stdout."""
    rows = json.load(sys.stdin)
    if arguments:
        folder, engine, *artefact = arguments
        if engine not in ("torch", "onnx", "openvino"):
            raise ValueError(f"{engine!r} is no engine")
        open_engine(Path(folder), engine, artefact).run(rows)  # type: ignore[arg-type]  # checked above
    sys.stdout.write(f"{peak_bytes()}\n")


def peak_bytes() -> int:
    """Peak resident memory of this process.

    From /proc where there is one: `ru_maxrss` of a fresh process starts at what its parent held when it forked.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1:])
