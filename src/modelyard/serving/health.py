"""Live and ready: two different questions, both answered by the engine itself and not by the web server alone."""

import asyncio
import time

import numpy as np

from modelyard.serving.pace import PROBE_TEXT
from modelyard.serving.queue import EngineQueue, QueueClosed, QueueFull, RowFailed

FRESH_SECONDS = 2.0
"""An answer this recent is proof enough; a quiet service is asked a probe."""
PROBE_SECONDS = 5.0
STUCK_SECONDS = 60.0
"""A batch is cut to take a tenth of a second; one that runs this long will not end."""


def why_not_live(queue: EngineQueue) -> str:
    """Why only a restart would help; empty where none is needed."""
    if not queue.alive:
        return "the engine's thread is gone"
    if queue.stuck_seconds > STUCK_SECONDS:
        return f"a batch has been running for {queue.stuck_seconds:.0f} s"
    return ""


async def why_not_ready(queue: EngineQueue) -> str:
    """Why no request should be sent here; empty where the engine has just answered one, or answers a probe."""
    dead = why_not_live(queue)
    if dead or time.monotonic() - queue.answered_at < FRESH_SECONDS:
        return dead
    try:
        answer = await asyncio.wait_for(queue.answer([PROBE_TEXT]), PROBE_SECONDS)
    except QueueFull as full:
        return f"the queue is full, {full}"
    except QueueClosed:
        return "the service is stopping"
    except RowFailed as failure:
        return f"the engine failed a probe: {failure}"
    except TimeoutError:
        return f"the engine has not answered a probe in {PROBE_SECONDS:.0f} s"
    return "" if np.isfinite(answer.logits).all() else "the engine answered a probe with what is no number"
