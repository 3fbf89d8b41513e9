"""What was done to those who were seen, and taking it back.

Each change leaves an entry in the journal of the inbox, which has ids and numbers only. Who makes a kind of change
knows what it was in words, and how to take it back: `WAYS` has a line for each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facepool.errors import UndoUnknown
from facepool.gallery import Gallery
from facepool.gallery.sightings import JournalEntry
from facepool.groups import correct, learn, naming, unknown

_ALL = 1 << 40
Words = Callable[[Gallery, JournalEntry], str]
"""Says in words what a change was; people by the names that they have now."""
TakeBack = Callable[[Gallery, JournalEntry], None]
"""Takes a change back, inside a change of the inbox, and tells the logs; `UndoOutdated` where it no longer fits."""


@dataclass(frozen=True, slots=True)
class Undoable:
    """A change that can be undone.

    Attributes:
        number: By which it is.
        at: When it was made, ISO 8601 in UTC.
        caller: Who made it.
        action: What kind of change it is.
        what: The same in words.
    """

    number: int
    at: str
    caller: str
    action: str
    what: str


WAYS: Mapping[str, tuple[Words, TakeBack]] = {
    "named": (naming.naming_in_words, naming.take_back_naming),
    correct.CORRECTED: (correct.correction_in_words, correct.take_back),
    "ignored": (unknown.change_in_words, unknown.take_back_state),
    "watched": (unknown.change_in_words, unknown.take_back_state),
    "split": (unknown.change_in_words, unknown.take_back_split),
    "joined": (unknown.change_in_words, unknown.take_back_join),
    "kept apart": (unknown.change_in_words, unknown.take_back_apart),
    learn.ACCEPTED: (learn.answer_in_words, learn.take_back_answer),
    learn.DECLINED: (learn.answer_in_words, learn.take_back_answer),
}


def undoable(pool: Gallery, limit: int = 100) -> list[Undoable]:
    """Changes that can be undone, newest first."""
    return [_undoable(pool, entry) for entry in pool.inbox.journal(limit) if entry.action in WAYS]


def undo(pool: Gallery, number: int | None = None) -> Undoable:
    """Take a change back, in one transaction.

    Args:
        pool: Where it was made.
        number: Which one; None: the last.

    Raises:
        UndoUnknown: There is none, or none of that number.
        UndoOutdated: What was done since stands against it.
    """
    inbox = pool.inbox
    if number is None:
        entry = next((entry for entry in inbox.journal(_ALL) if entry.action in WAYS), None)
    else:
        entry = inbox.entry(number)
    if entry is None or entry.action not in WAYS:
        raise _nothing_to_undo(number)
    change = _undoable(pool, entry)  # before it: afterwards nobody may have the name
    _, take_back = WAYS[entry.action]
    with inbox.change():
        if not inbox.forget_entry(entry.number):  # somebody else has undone it just now
            raise _nothing_to_undo(entry.number)
        take_back(pool, entry)
    return change


def _undoable(pool: Gallery, entry: JournalEntry) -> Undoable:
    words, _ = WAYS[entry.action]
    what = words(pool, entry)
    return Undoable(entry.number, entry.at, entry.caller, entry.action, what[:1].upper() + what[1:])


def _nothing_to_undo(number: int | None) -> UndoUnknown:
    if number is None:
        return UndoUnknown("There is nothing to undo", fix="What was erased cannot be undone")
    return UndoUnknown(
        f"There is no change {number} to undo",
        why="it was undone, has expired, or was of somebody who is erased",
        fix="`facepool unknown undo --list` shows those that can be undone",
    )
