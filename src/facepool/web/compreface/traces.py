"""What has to follow a change of the pool: who did it is noted, and the activity goes by the new name or is gone."""

from collections.abc import Iterable

from facepool.web.services import Caller, Services


async def erased(services: Services, caller: Caller, people: Iterable[str]) -> None:
    """They are gone from the pool; let nothing else tell of them."""
    for person in people:
        await services.activity.forget(person)
        await services.audit.erased(caller, person)


async def renamed(services: Services, caller: Caller, old: str, new: str, *, merged: bool) -> None:
    """Who was called one thing is called another now, alone or together with who had that name before."""
    await services.activity.rename(old, new)
    await services.audit.add(caller, "merged" if merged else "renamed", new, old)


async def lost_examples(services: Services, caller: Caller, examples: Iterable[tuple[str, int]]) -> None:
    """People have lost a template each, which is told by its number."""
    for person, number in examples:
        await services.audit.add(caller, "erased_sample", person, str(number))
