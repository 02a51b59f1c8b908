"""Processes that do not outlive whoever started them."""

import os
import signal
import threading
import time

POLL_SECONDS = 0.2


def die_with_parent(parent: int) -> None:
    """Kill this process group, which this process leads, as soon as `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
