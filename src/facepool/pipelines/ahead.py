"""Work on the next item beside the work on this one."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from facepool.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item], work: Callable[[Item], Result]) -> Generator[tuple[Item, Result]]:
    """Each item with what work made of it, in order; work on the next one has begun when an item is handed out.

    Args:
        items: Taken in this thread, one more than was handed out.
        work: Called in a thread of its own, for one item at a time.

    Raises:
        InputError: The items broke. What was begun before is handed out first.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="facepool-ahead") as worker:
        begun = ((item, worker.submit(work, item)) for item in items)
        for item, result in _one_behind(begun):
            yield item, result.result()


def _one_behind(items: Iterable[Item]) -> Iterator[Item]:
    waiting: list[Item] = []
    try:
        for item in items:
            yield from waiting
            waiting = [item]
    except InputError:
        yield from waiting
        raise
    yield from waiting
