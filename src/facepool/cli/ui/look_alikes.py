"""Who in the pool looks like the person of a scan: the same person, or somebody else? The user decides."""

import sys
from dataclasses import dataclass

import click

from facepool.cli.ui.console import Console
from facepool.cli.ui.unguided import discarded
from facepool.enroll.guided import GuidedEnrollment, Resolution
from facepool.enroll.look_alikes import LookAlike
from facepool.errors import ConfigError, IdentityConflict
from facepool.gallery import Pool, clean_name

_QUESTION = "Are {person} and {other} the same person, or different people? (cancel stores nothing)"


@dataclass(frozen=True, slots=True)
class LookAlikeChoices:
    """What the command line says of look-alikes.

    Attributes:
        same: People of the pool who are the person of the scan.
        different: People of the pool who only look alike.
        all_different: Everybody who looks alike is somebody else.
    """

    same: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    all_different: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """A look-alike, and what was decided.

    Attributes:
        alike: Who, and how much.
        resolution: What they are; ``different`` also where the pool had them as a pair before.
    """

    alike: LookAlike
    resolution: Resolution


class Settlement:
    """Decides on look-alikes: by what the command line says, else by asking.

    Args:
        guided: The scan.
        pool: Where its views go.
        answers: What the command line says.
        console: Where look-alikes are listed.

    Raises:
        ConfigError: The answers contradict each other.
        UnknownPerson: The pool has nobody of a name in them.
        IdentityConflict: Two people of the pool would have to become one.
    """

    def __init__(self, guided: GuidedEnrollment, pool: Pool, answers: LookAlikeChoices, console: Console) -> None:
        self._guided = guided
        self._pool = pool
        self._answers = answers
        self._console = console
        self._decided: dict[str, Resolution] = {}
        for name, resolution in self._said().items():
            pool.templates(name)  # refuses names that the pool does not know
            self._decide(name, resolution)

    @property
    def person(self) -> str:
        """Who gets the views."""
        same = (name for name, resolution in self._decided.items() if resolution == "same")
        return next(same, self._guided.person)

    def settle(self) -> tuple[Settled, ...]:
        """Decide on everybody who looks like the finished scan.

        Raises:
            IdentityConflict: Nobody can be asked, or somebody who is said to be the same does not look like it.
            click.Abort: The user would rather store nothing.
        """
        found = self._guided.lookalikes()
        self._check_same([alike.person for alike in found])
        flagged = self._pool.matrix().look_alikes
        for alike in found:
            if frozenset((alike.person, self._guided.person)) in flagged:
                self._decided.setdefault(alike.person, "different")
        unsettled = [alike for alike in found if alike.person not in self._decided]
        if self._answers.all_different:
            for alike in unsettled:
                self._decide(alike.person, "different")
        elif unsettled and not self._can_ask():
            raise self._conflict(unsettled)
        else:
            for alike in unsettled:
                self._ask(alike)
        return tuple(Settled(alike, self._decided[alike.person]) for alike in found)

    def _said(self) -> dict[str, Resolution]:
        """The answers of the command line by name."""
        different: dict[str, Resolution] = {clean_name(name): "different" for name in self._answers.different}
        same: dict[str, Resolution] = {clean_name(name): "same" for name in self._answers.same}
        for name in different.keys() & same.keys():
            raise ConfigError(f"{name} cannot be both the same and different", fix="Name them once")
        if self._guided.person in {*different, *same}:
            raise ConfigError(
                f"{self._guided.person} cannot look like {self._guided.person}",
                fix="Name somebody else with --same-as or --different-from",
            )
        return different | same

    def _decide(self, name: str, resolution: Resolution) -> None:
        self._guided.resolve(name, resolution)
        self._decided[name] = resolution

    def _check_same(self, found: list[str]) -> None:
        for name, resolution in self._decided.items():
            if resolution == "same" and name not in found:
                raise IdentityConflict(
                    f"{self._guided.person} was not registered",
                    why=f"the scan does not look like {name} of the pool",
                    fix=f"Leave out --same-as {name}",
                )

    def _can_ask(self) -> bool:
        return not self._console.json_lines and sys.stdin.isatty() and sys.stderr.isatty()

    def _conflict(self, unsettled: list[LookAlike]) -> IdentityConflict:
        names = " and ".join(alike.person for alike in unsettled)
        first = unsettled[0].person
        return IdentityConflict(
            f"{self._guided.person} looks like {names} of the pool, and was not registered",
            why="; ".join(words(alike) for alike in unsettled),
            fix=f"Say --same-as {first!r} if they are one person, --different-from {first!r} if they are two",
        )

    def _ask(self, alike: LookAlike) -> None:
        self._console.note(f"{self._guided.person} looks like {words(alike)}")
        while alike.person not in self._decided:
            answer = self._answer(alike.person)
            if answer == "cancel":
                raise discarded(self._guided.person)
            try:
                self._decide(alike.person, "same" if answer == "same" else "different")
            except IdentityConflict as error:
                self._console.note(str(error))

    def _answer(self, other: str) -> str:
        try:
            return str(
                click.prompt(
                    _QUESTION.format(person=self._guided.person, other=other),
                    type=click.Choice(["same", "different", "cancel"]),
                    default="cancel",
                    err=True,
                )
            )
        except click.Abort:  # Ctrl-C, or the end of what is typed
            return "cancel"


def words(alike: LookAlike) -> str:
    """``Bob: similarity 0.71, 12 of 13 views match, probably the same person``."""
    verdict = "probably the same person" if alike.probably_same else "perhaps a look-alike"
    matches = f"{alike.views_matched} of {alike.views} views match"
    return f"{alike.person}: similarity {alike.similarity:.2f}, {matches}, {verdict}"
