"""What the command line says of a guided registration."""

from dataclasses import dataclass, field
from pathlib import Path

from facepool.cli.ui.look_alikes import LookAlikeChoices
from facepool.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """What the command line says of a scan.

    Attributes:
        partial: Accept any coverage.
        appearance: Name of the look; empty for the usual one.
        answers: What is said of look-alikes.
        report: Where the report's picture goes; None for nowhere.
        force: Store although the face speaks against it.
    """

    partial: bool = False
    appearance: str = ""
    answers: LookAlikeChoices = field(default_factory=LookAlikeChoices)
    report: Path | None = None
    force: bool = False

    def check(self, *, moving: bool, pictures: bool) -> None:
        """Refuse options that would do nothing, or not to everything.

        Args:
            moving: Whether anything is to be scanned.
            pictures: Whether there are pictures.

        Raises:
            ConfigError: One of them.
        """
        given = {
            "--partial": self.partial,
            "--appearance": self.appearance,
            "--same-as": self.answers.same,
            "--different-from": self.answers.different,
            "--report": self.report,
        }
        options = [option for option, value in given.items() if value]
        if options and not moving:
            raise ConfigError(
                f"{options[0]} cannot be used with pictures",
                why="it is about a scan, in which a head turns",
                fix="Name a camera or a video, or leave it out",
            )
        if self.appearance and pictures:
            raise ConfigError(
                "--appearance cannot be used with pictures",
                why="they would be stored as the usual look",
                fix="Register the pictures in a command of their own",
            )
