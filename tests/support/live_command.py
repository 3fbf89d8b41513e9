"""A command that runs while a test looks at its window and presses keys."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.commands import Commands
from support.screen import PATIENCE_S, until

INTERRUPTED = 130
IN_MEMORY = {"SDL_VIDEODRIVER": "dummy"}
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


class Live:
    """A command that is running; killed at the end of the block.

    Args:
        commands: Says where and with which pool and models.
        words: Of the command, after ``python``.
        display: Variables that say where its window opens.
    """

    def __init__(self, commands: Commands, words: Sequence[str | Path], display: dict[str, str]) -> None:
        env = {name: value for name, value in commands.env.items() if name not in PROXIES}
        self._log = commands.folder / "said.txt"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, words)],
                cwd=commands.folder,
                env=env | display,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        """Everything that it has printed."""
        return self._log.read_text(encoding="utf-8")

    def says(self, text: str, times: int = 1) -> bool:
        """Whether it prints this, so often, in time."""
        return until(lambda: self.said.count(text) >= times)

    def interrupt(self) -> None:
        """Press Ctrl-C in its terminal."""
        self.process.send_signal(signal.SIGINT)

    def ends(self, patience_s: float = PATIENCE_S) -> int:
        """Its exit code, waited for."""
        code = self.process.wait(patience_s)
        assert "Traceback" not in self.said, self.said
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
