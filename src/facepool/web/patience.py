"""Waiting for something no longer than somebody has patience."""

import asyncio
from collections.abc import Awaitable


async def is_over_within(work: Awaitable[object], patience_s: float) -> bool:
    """Wait for some work; False: it takes longer, and goes on to its end unwatched. What it raises in time is raised.

    Args:
        work: What is waited for; in a thread, perhaps, which nobody can interrupt.
        patience_s: For how long.
    """
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=patience_s)
    if not done:
        task.add_done_callback(lambda late: late.cancelled() or late.exception())  # or Python would complain
        return False
    task.result()
    return True
