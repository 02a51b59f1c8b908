"""OpenVINO and NNCF report every use to Google Analytics by `openvino-telemetry`, and keep an identifier in `~/intel`.

Both look for that package when they are imported and do without where it cannot be imported (read in nncf 3.4
`telemetry/wrapper.py` and openvino 2026.4 `tools/ovc/telemetry_utils.py`; no environment variable stops the file). So
it is hidden while they are imported: nothing is sent and nothing is written into the user's home.
"""

import contextlib
import sys
from collections.abc import Iterator

_PACKAGE = "openvino_telemetry"


@contextlib.contextmanager
def without_openvino_telemetry() -> Iterator[None]:
    """Import openvino and nncf inside this block: `openvino_telemetry` cannot be found there."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == _PACKAGE}
    for name in before:
        del sys.modules[name]
    sys.modules[_PACKAGE] = None  # type: ignore[assignment]  # the import system raises ImportError on None
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]
        sys.modules.update(before)
