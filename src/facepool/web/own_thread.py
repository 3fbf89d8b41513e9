"""A thread for one client: what belongs to a WebSocket, its pool above all, is used in one thread only."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OwnThread:
    """Runs one thing after the other in a thread that nobody else uses.

    Args:
        name: For people who look at a list of threads.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def do(
        self, work: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Do something in the thread; what it raises is raised."""
        return await asyncio.wrap_future(self._executor.submit(work, *args, **kwargs))

    async def finish(self, work: Callable[[], object], /) -> None:
        """Do something in the thread that has to be done, whether or not who waits for it is cancelled meanwhile."""
        await asyncio.shield(asyncio.wrap_future(self._executor.submit(work)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=False)
