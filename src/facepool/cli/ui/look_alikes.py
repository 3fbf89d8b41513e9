"""Who in the pool looks like the person who is registered: the same person, or somebody else? The user decides."""

import sys
from collections.abc import Collection, Sequence
from typing import Protocol

import click

from facepool.cli.ui.console import Console
from facepool.enroll.identity import LookAlike, Resolution
from facepool.enroll.session import EnrollOptions
from facepool.errors import ConfigError, IdentityConflict
from facepool.gallery import Gallery, find_name

_QUESTION = "Are {person} and {other} the same person, or different people? (cancel stores nothing)"


class Registering(Protocol):
    """What the question is asked for: a scan, or faces that were kept of somebody."""

    @property
    def name(self) -> str:
        """Of the person who is registered."""

    @property
    def subject(self) -> str:
        """What looks like somebody: the scan, for example."""

    @property
    def options(self) -> EnrollOptions:
        """Whether to ask at all."""

    def look_alikes(self) -> tuple[LookAlike, ...]:
        """Who looks alike."""

    def resolve(self, name: str, resolution: Resolution) -> None:
        """Decide on one of them."""


def resolve_named(
    session: Registering, pool: Gallery, same_as: Collection[str], different_from: Collection[str]
) -> None:
    """Decide on the people whom the command line names, before anything is scanned.

    Raises:
        ConfigError: What it says contradicts itself.
        UnknownPerson: The pool has nobody of a name in them.
        IdentityConflict: Two people of the pool would have to become one.
    """
    different: dict[str, Resolution] = {find_name(name): "different" for name in different_from}
    same: dict[str, Resolution] = {find_name(name): "same" for name in same_as}
    for name in different.keys() & same.keys():
        raise ConfigError(f"{name} cannot be both the same and different", fix="Name them once")
    if session.name in {*different, *same}:
        raise ConfigError(
            f"{session.name} cannot look like {session.name}",
            fix="Name somebody else with --same-as or --different-from",
        )
    for name, resolution in (different | same).items():
        pool.templates(name)  # refuses names that the pool does not know
        session.resolve(name, resolution)


def resolve_found(session: Registering, same_as: Collection[str], console: Console) -> tuple[LookAlike, ...]:
    """Decide on everybody who looks like who is registered: with ``--force`` they are somebody else, else by asking.

    Raises:
        IdentityConflict: Nobody can be asked, or a person who is said to be the same does not look like it.
        click.Abort: The user would rather store nothing.
    """
    found = session.look_alikes()
    for name in map(find_name, same_as):
        if name not in {alike.person for alike in found}:
            raise IdentityConflict(
                f"{session.name} was not registered",
                why=f"{session.subject} does not look like {name} of the pool",
                fix=f"Leave out --same-as {name}",
            )
    unresolved = [alike for alike in found if alike.resolution is None]
    if unresolved and not session.options.force and not can_ask(console):
        first = unresolved[0].person
        raise IdentityConflict(
            f"{session.name} looks like {' and '.join(alike.person for alike in unresolved)} of the pool, "
            "and was not registered",
            why="; ".join(map(_words, unresolved)),
            fix=f"Say --same-as {first!r} if they are one person, --different-from {first!r} if they are two",
        )
    for alike in unresolved:
        if session.options.force:
            session.resolve(alike.person, "different")
        else:
            _ask(session, alike, console)
    return session.look_alikes()


def say_look_alikes(look_alikes: Sequence[LookAlike], person: str, console: Console) -> None:
    """What becomes of each person who looks alike."""
    for alike in look_alikes:
        same = alike.resolution == "same"
        flagged = "flagged, recognition asks for a larger lead between the two"
        console.note(f"{alike.person} looks alike: {f'the views are stored as {person}' if same else flagged}")


def can_ask(console: Console) -> bool:
    """Whether somebody sits at the terminal and reads what stands there."""
    return not console.json_lines and sys.stdin.isatty() and sys.stderr.isatty()


def discarded(person: str) -> click.Abort:
    """What ends the command when the user does not want it any more."""
    return click.Abort(f"nothing was stored of {person}")


def _ask(session: Registering, alike: LookAlike, console: Console) -> None:
    """Ask until there is an answer that can be."""
    console.note(f"{session.name} looks like {_words(alike)}")
    while True:
        answer = _answer(_QUESTION.format(person=session.name, other=alike.person))
        if answer == "cancel":
            raise discarded(session.name)
        try:
            session.resolve(alike.person, "same" if answer == "same" else "different")
        except IdentityConflict as error:
            console.note(str(error))
        else:
            return


def _answer(question: str) -> str:
    choice = click.Choice(["same", "different", "cancel"])
    try:
        return str(click.prompt(question, type=choice, default="cancel", err=True))
    except click.Abort:  # Ctrl-C, or the end of what is typed
        return "cancel"


def _words(alike: LookAlike) -> str:
    """``Bob: similarity 0.71, 12 of 13 views match, probably the same person``."""
    verdict = "probably the same person" if alike.probably_same else "perhaps a look-alike"
    matches = f"{alike.views_matched} of {alike.views} views match"
    return f"{alike.person}: similarity {alike.similarity:.2f}, {matches}, {verdict}"
