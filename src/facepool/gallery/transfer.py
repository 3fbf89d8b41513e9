"""From one pool into another, whatever they are kept in: in batches, so that what was interrupted goes on by itself."""

from collections.abc import Collection
from dataclasses import dataclass

from facepool.errors import TransferIncomplete
from facepool.gallery.base import Gallery, Report
from facepool.gallery.checks import clean_name
from facepool.types import Person, counted

_PEOPLE_AT_ONCE = 1000
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What a transfer did.

    Attributes:
        created: Names that the target did not have, sorted.
        extended: Names that it had, and that got templates, sorted.
        added: Templates stored.
        skipped: Templates that the target had already: same person, same numbers.
        notes: Remarks for the user, one line each.
    """

    created: tuple[str, ...]
    extended: tuple[str, ...]
    added: int
    skipped: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in both of two galleries.

    Attributes:
        people: How many.
        templates: How many, with their pictures where both keep them.
    """

    people: int
    templates: int


def transfer(source: Gallery, target: Gallery, report: Report = lambda _done, _total: None) -> TransferReport:
    """Copy everybody with all provenance; people who are in both get the templates of both.

    Batch by batch, each a change of its own that is whole or not at all. What is there already is passed over, so after
    an interruption the next transfer goes on where this one was. The memory that it takes does not grow with the
    galleries, but for those in .npy files, and for names.

    A source that does not know its embedding space is taken for the target's, checked by dimension; the report says so.

    Args:
        source: Where from; others may change it meanwhile.
        target: Where to.
        report: Is told how many templates were copied, of how many.

    Raises:
        SpaceMismatch: The two are of different spaces, or neither knows its own.
        InvalidEmbedding: The source does not know its space, and the dimensions differ.
    """
    space, total, done, after = source.space, source.size().templates, 0, 0
    created: set[str] = set()
    extended: set[str] = set()
    added = skipped = 0
    while len(batch := source.batch(after, target.rows_at_once, with_images=target.keeps_images)):
        stored = target.load(batch, space)
        after, done = batch.last_id, done + len(batch)
        added, skipped = added + stored.added, skipped + stored.skipped
        extended |= stored.extended - created
        created |= stored.created
        report(done, total)
    created |= _add_people_without_templates(source, target)
    notes = (*_add_details(source, target), *_add_consents(source, target))
    pairs = source.look_alikes() - target.look_alikes()
    if pairs:
        target.add((), space, pairs)
    return TransferReport(
        created=tuple(sorted(created)),
        extended=tuple(sorted(extended)),
        added=added,
        skipped=skipped,
        notes=(*source.notes, *target.notes, *notes),
    )


def verify_transfer(source: Gallery, target: Gallery, report: Report = lambda _done, _total: None) -> Verified:
    """Make sure that everybody of a gallery is in another one: people, templates, and pictures where both keep them.

    Args:
        source: Where they were copied from.
        target: Where they have to be, beside others perhaps.
        report: Is told how many people were compared, of how many.

    Raises:
        TransferIncomplete: Something is missing, or differs.
    """
    people, done, templates, after = source.size().people, 0, 0, ""
    with_images = source.keeps_images and target.keeps_images
    while True:
        page = source.people_page(after=after, limit=_PEOPLE_AT_ONCE)
        names = {person.name: clean_name(person.name) for person in page.people}
        here, there = source.views(names), target.views(names.values())
        lacking = [
            name for name in names if not _holds(there.get(names[name]), here.get(name, {}), with_images=with_images)
        ]
        if lacking:
            raise _incomplete(target, lacking)
        done, templates = done + len(names), templates + sum(map(len, here.values()))
        report(done, people)
        if page.following is None:
            return Verified(done, templates)
        after = page.following


def _holds(there: dict[bytes, bytes] | None, here: dict[bytes, bytes], *, with_images: bool) -> bool:
    """Whether a person is there with all of their views."""
    if there is None:
        return False
    return all(
        view in there and (not (picture and with_images) or there[view] == picture) for view, picture in here.items()
    )


def _incomplete(target: Gallery, people: Collection[str]) -> TransferIncomplete:
    names = ", ".join(map(repr, list(people)[:_MOST_NAMED]))
    more = f" and {len(people) - _MOST_NAMED} more" if len(people) > _MOST_NAMED else ""
    return TransferIncomplete(
        f"Not everything is in {target.address}",
        why=f"views of {names}{more} are missing there, or have no picture or another one",
        fix="Copy again, while nobody else changes the two",
    )


def _add_people_without_templates(source: Gallery, target: Gallery) -> set[str]:
    """Make those known who have no templates; the names of those who were not."""
    created: set[str] = set()
    after: str | None = ""
    while after is not None:
        page = source.people_page(after=after, limit=_PEOPLE_AT_ONCE)
        idle = [person for person in page.people if not person.templates]
        new = _not_in(target, idle)
        if new:
            target.add((), source.space, (), new)
            created |= {clean_name(person.name) for person in new}
        after = page.following
    return created


def _add_details(source: Gallery, target: Gallery) -> tuple[str, ...]:
    """Copy what is known of people beside their faces; a remark where there is no place for it."""
    known = 0
    following: str | None = ""
    while following is not None:
        page = source.people_page(after=following, limit=_PEOPLE_AT_ONCE)
        described = [person for person in page.people if person.notes or person.tags or person.external_id]
        if described and not target.keeps_images:
            known += len(described)
        elif described:
            target.add_details(described)
        following = page.following
    if not known:
        return ()
    name = target.address.name
    return (f"{name} has no place for notes, tags and external ids: those of {counted(known, 'name')} are not copied.",)


def _add_consents(source: Gallery, target: Gallery) -> tuple[str, ...]:
    """Copy to what people have agreed; a remark where there is no place for it."""
    known = 0
    following: str | None = ""
    while following is not None:
        page = source.people_page(after=following, limit=_PEOPLE_AT_ONCE)
        consents = source.consents_of([person.name for person in page.people])
        if target.keeps_images:
            target.add_consents(consents)
        else:
            known += len(consents)
        following = page.following
    if not known:
        return ()
    return (f"{target.address.name} has no place for consents: those of {counted(known, 'name')} are not copied.",)


def _not_in(target: Gallery, people: Collection[Person]) -> list[Person]:
    there = target.views({clean_name(person.name) for person in people})
    return [person for person in people if clean_name(person.name) not in there]
