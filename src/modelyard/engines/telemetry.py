"""Engines that report home unless they are told not to, before they are imported.

OpenVINO and NNCF report every use to Google Analytics by `openvino-telemetry`, and keep an identifier in `~/intel`.
Both look for that package when they are imported and do without where it cannot be imported (read in nncf 3.4
`telemetry/wrapper.py` and openvino 2026.4 `tools/ovc/telemetry_utils.py`; no environment variable stops the file). So
it is hidden while they are imported.

ONNX Runtime on Linux reports to mobile.events.data.microsoft.com and keeps an identifier in
`~/.cache/Microsoft/DeveloperTools/.onnxruntime`, written when it is imported; `disable_telemetry_events()` comes too
late for that. Only ORT_DISABLE_TELEMETRY=1 in the environment of the import stops both (measured with 1.32).
"""

import contextlib
import os
import sys
from collections.abc import Iterator

_PACKAGE = "openvino_telemetry"
_VARIABLE = "ORT_DISABLE_TELEMETRY"


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Import onnxruntime, openvino and nncf inside this block: nothing is sent or written into the user's home."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == _PACKAGE}
    variable = os.environ.get(_VARIABLE)
    for name in before:
        del sys.modules[name]
    sys.modules[_PACKAGE] = None  # type: ignore[assignment]  # the import system raises ImportError on None
    os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]
        sys.modules.update(before)
        if variable is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = variable
