"""A challenge as people see it: in a window, or line by line in the terminal."""

from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

from facepool.capture import FrameSource
from facepool.cli.ui.console import Console
from facepool.cli.ui.viewer import Viewer
from facepool.liveness.session import LivenessStep
from facepool.overlay import Canvas, Painter, RingPainter, challenge_view, challenge_words
from facepool.records import liveness_step_record
from facepool.types import Floats, Frame, Image

_SEEN_S = 1.5
"""How long the outcome stays on the screen."""
_KEYS = "Q ends · M mirrors · F full screen"


class _Silence(Exception):
    """A camera gives no pictures."""


def _give_up() -> None:
    raise _Silence


class ChallengeScreen:
    """Shows one person what they are asked to do, until the challenge has ended.

    Args:
        look: Looks at a frame, and says what is to be done next, and where the face is, (4,) xyxy in pixels.
        painter: Draws the text.
        console: Told of each thing that is asked, for programs; and for people, where there is no window.
        title: At the top left of the window.
        headless: There is no window.
    """

    def __init__(
        self,
        look: Callable[[Frame], tuple[LivenessStep, Floats | None]],
        painter: Painter,
        console: Console,
        *,
        title: str,
        headless: bool,
    ) -> None:
        self._look = look
        self._console = console
        self._title = title
        self._headless = headless
        self._ring = RingPainter(painter)
        self._asked: tuple[int, str] | None = None

    def run(self, source: FrameSource, viewer: Viewer) -> None:
        """Show frame after frame until the challenge, the source or the user ends, or a camera falls silent.

        Raises:
            InputError: The source broke.
        """
        with suppress(_Silence), closing(viewer.play(source, self._look, self._draw, _give_up)) as played:
            for frame, shown in played:
                self._tell(shown[0])
                if shown[0].result is not None:
                    viewer.show(frame, partial(self._draw, shown))
                    viewer.wait_for_next(_SEEN_S)
                    return

    def _tell(self, step: LivenessStep) -> None:
        """Say what is asked, once."""
        asked = (step.number, step.hint.code)
        if asked == self._asked or step.result is not None:
            return
        self._asked = asked
        self._console.emit({"challenge": liveness_step_record(step)})
        if self._headless:
            self._console.say(challenge_words(step))

    def _draw(self, shown: tuple[LivenessStep, Floats | None], canvas: Canvas) -> Image:
        step, box = shown
        view = challenge_view(step, box, canvas, self._title, _KEYS)
        return self._ring.draw(canvas.image_bgr, view, mirrored=canvas.mirrored)
