"""Switching off what libraries report home, before any of them is imported. Each line names the code that reads it."""

import sys
from collections.abc import MutableMapping
from types import ModuleType
from typing import cast

OFF = {
    "DVC_NO_ANALYTICS": "1",  # dvc/analytics.py, is_enabled
    "DVC_STUDIO_OFFLINE": "true",  # dvc/utils/studio.py
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub/constants.py
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",  # huggingface_hub/constants.py
    "DO_NOT_TRACK": "1",  # huggingface_hub/constants.py, iterative_telemetry
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime/core/platform/telemetry_1ds.cc: Linux too, from 1.32 on
    "NNCF_CI": "1",  # nncf/telemetry/wrapper.py: a stub takes the place of the sender
}
OFF_UNLESS_SET = {
    "HF_HUB_OFFLINE": "1",  # huggingface_hub/constants.py: no model is looked up on the network
}


def switch_off(environment: MutableMapping[str, str]) -> None:
    """Set the variables above in `environment`, and keep OpenVINO's telemetry package from being imported.

    OpenVINO and NNCF import `openvino_telemetry` where it is installed and carry on without it; the package has no
    switch in the environment and writes a client identifier into the home folder as soon as it is used.
    """
    environment.update(OFF)
    for name, value in OFF_UNLESS_SET.items():
        environment.setdefault(name, value)
    # the import system takes None for "this module does not exist"
    sys.modules["openvino_telemetry"] = cast("ModuleType", None)
