"""What every source of frames has in common: frames, options, news, and how addresses are named for people."""

import os
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

import numpy as np

from facepool.capture.turning import MakeTurnFinder
from facepool.errors import ConfigError, InputError
from facepool.types import Frame, Image, Turn

STREAM_SCHEMES = frozenset(["rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp", "mms", "http", "https"])
"""The kinds of address that are opened; FFmpeg knows more, some of which read local files."""

VIDEO_DEVICE = "/dev/video"
"""How the devices of Linux begin that have a camera's number."""
LONGEST_SOURCE = 4096
"""In characters: the longest path of Linux, and more than any camera's address has."""
_LARGEST_CAMERA = (1 << 20) - 1  # the largest number that Linux gives a device
_MOST_SHOWN = 60

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)

_MASK = "***"
# Users write passwords as they are, so a slash, a question mark or an @ may stand in one. What looks like a first
# query parameter ends the search for the last @; without a colon or an @ before the first slash there is no login.
_LOGIN = re.compile(r"//(?=[^/?#]*[:@])((?:(?!\?[\w.-]+=).)*)@")
# If no host follows, a password may hold what looks like a parameter, unless what comes before the slash is a port.
_LOGIN_WITH_QUERY = re.compile(r"//(?!(?:[^/?#:@]*|\[[^\]]*\]):\d+/)(?=[^/?#]*[:@])(.*)@")
_HOST = re.compile(r"(?:[^/?#:@]*|\[[^\]]*\])(?::\d+)?(?:[/?#]|$)")
_RAW = re.compile(r"[@/?#]|%(?![0-9a-f]{2})", re.IGNORECASE)
# Cameras take them as parameters, too, some in the path (``/user=admin&password=x``, ``/user=admin_password=x_...``).
_PARAMETER = re.compile(
    r"((?:user|usr|login|account|pass|pas|pwd|psw|token|key|auth|secret|sig|credential)[\w.-]*?)"
    r"=.*?(?=&|_(?:password|channel|stream)=|$)",
    re.IGNORECASE,
)

_MADE_UP_S = 0.5


class Shot(NamedTuple):
    """A picture as it comes: (H, W, 3) uint8 BGR, and seconds since the start as its container states them."""

    image_bgr: Image
    time_s: float | None


class FrameSource(Protocol):
    """Pictures, a video, a camera or a stream, read once from front to back.

    Frames come upright, (H, W, 3) uint8 BGR and C-contiguous, with rising ``index``. Iterating again goes on where
    the last loop stopped; after the end, or after ``close``, it yields nothing.
    """

    @property
    def name(self) -> str:
        """What the user named; a password in a URL is masked."""
        ...

    @property
    def description(self) -> str:
        """The kind of source and its name, for people."""
        ...

    @property
    def live(self) -> bool:
        """Whether frames that are not taken in time are lost."""
        ...

    @property
    def frame_count(self) -> int | None:
        """Estimated number of frames, for a progress bar; None where it is unknown."""
        ...

    @property
    def fps(self) -> float | None:
        """Frames per second: as the file states it, measured for a live source; None for pictures."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """The frames that are left.

        Raises:
            InputError: The source broke; the frames before it have been yielded.
        """
        ...

    def close(self) -> None:
        """Let go of the file, camera or connection. May be called again, and while a loop is running."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ClosesOnExit(ABC):
    """The ``with`` statement for everything that has ``close``."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """How long to insist on a live source that died.

    Attributes:
        first_wait_s: Pause before the first attempt; each further pause is twice as long.
        longest_wait_s: No pause is longer.
        give_up_s: After that long without a picture the source is lost; 0 makes no attempt.
    """

    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    give_up_s: float = 60.0


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """How sources are opened.

    Attributes:
        open_timeout_s: How long a camera or stream may take until its first picture.
        read_timeout_s: How long a stream may stay silent before it counts as dead.
        reconnect: What happens then.
        threads: CPU threads that decode a video or stream; None leaves their number to FFmpeg.
        every_s: Seconds between the pictures of an address that serves one picture at a time (http, https), which makes
            it a live source; None takes one picture. Other sources have a pace of their own.
        rotate: Degrees clockwise by which frames of what moves are turned, for a camera that is mounted on its side or
            overhead. Still pictures stay as they are: a face that lies in one is found anyway.
        find_turn: In place of that, finds the turn in the first frames of each source and keeps it: of a video before
            its first frame is given, of something live as soon as somebody was seen in a few. For example
            ``partial(facepool.faces.turns.TurnFinder, analyzer)``.
    """

    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)
    threads: int | None = None
    every_s: float | None = None
    rotate: Turn = 0
    find_turn: MakeTurnFinder | None = None


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """News of a live source.

    Attributes:
        state: ``connected``, ``reconnecting`` or ``lost``.
        attempt: Number of the attempt that begins (``reconnecting``) or that worked (``connected``), from 1; 0 for
            the first connection.
        wait_s: Pause before that attempt.
        reason: What went wrong, in one line; empty when nothing did.
    """

    state: Literal["connected", "reconnecting", "lost"]
    attempt: int = 0
    wait_s: float = 0.0
    reason: str = ""


OnSkip = Callable[[Path, InputError], None]
"""Called for each picture that was left out, with the reason."""
OnStatus = Callable[[LiveStatus], None]
"""Called with a live source's news, in the thread that takes the frames."""


class Pace:
    """When to show the frames of a file: at its own speed, or slower where looking at them takes longer."""

    def __init__(self) -> None:
        self._started_s: float | None = None

    def due(self, time_s: float, now_s: float) -> float:
        """The moment, on the clock of ``now_s``, at which to show the frame of ``time_s``."""
        # A small delay is made up for; a long one is not, else the film would race after every halt.
        if self._started_s is None or self._started_s + time_s < now_s - _MADE_UP_S:
            self._started_s = now_s - time_s
        return self._started_s + time_s


class Rhythm:
    """How far apart the frames are that somebody looks at, whatever the source sends, and however fast they look."""

    _RECENT = 5
    """Over so many intervals it is measured: a single halt is not a rate."""
    _SPARSE_S = 0.25
    _SILENT_INTERVALS = 3

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._intervals_s: deque[float] = deque(maxlen=self._RECENT)

    def look(self, time_s: float | None) -> None:
        """One more frame, with its time in the source; None tells nothing, and neither does a time that goes back."""
        if time_s is None:
            return
        if self._last_s is not None and time_s > self._last_s:
            self._intervals_s.append(time_s - self._last_s)
        self._last_s = time_s

    @property
    def interval_s(self) -> float:
        """Usual time between two frames, lately; 0 before the second."""
        return float(np.median(self._intervals_s)) if self._intervals_s else 0.0

    @property
    def sparse(self) -> bool:
        """Whether frames are so far apart that people come, go and change places between two of them."""
        return self.interval_s > self._SPARSE_S

    def silent_after(self, least_s: float) -> float:
        """Seconds without a frame after which the source counts as silent: three intervals, and so many at least."""
        return max(least_s, self._SILENT_INTERVALS * self.interval_s)


def check_source(text: str) -> None:
    """Refuse what names no source anywhere, before anything is asked for it.

    Raises:
        ConfigError: An address has characters that none has or is too long, a path some that no file system takes, or
            the number is larger than that of any camera.
    """
    if len(text) > LONGEST_SOURCE:
        raise _no_source(text, f"it has {len(text)} characters, the limit is {LONGEST_SOURCE}")
    number = text.removeprefix(VIDEO_DEVICE)
    if number.isascii() and number.isdigit() and int(number) > _LARGEST_CAMERA:
        raise _no_source(text, f"no camera has a number above {_LARGEST_CAMERA}")
    is_address = bool(url_scheme(text))
    flaw = next((char for char in text if char == "\0" or (is_address and not char.isprintable())), None)
    if flaw is not None:
        raise _no_source(text, f"it has the character U+{ord(flaw):04X}, which is part of no name")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise _no_source(text, "it has half of a character") from error


def _no_source(text: str, why: str) -> ConfigError:
    shown = mask_credentials(text)
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
    return ConfigError(
        f"The source {shown!r} cannot be used", why=why, fix="Give the number of a camera, an address or a path"
    )


def url_scheme(text: str) -> str:
    """The lower-case scheme of a URL; empty for what is not one, such as a path."""
    match = _URL.match(text)
    return match[1].lower() if match else ""


def mask_credentials(url: str) -> str:
    """The URL with logins, and the values of parameters that are named like one, replaced.

    Rather too much is masked than too little: in ``http://host:80/a@b``, ``host:80/a`` could be a login.
    """
    login = _login(url)
    masked = url if login is None else f"{url[: login.start()]}//{_MASK}@{url[login.end() :]}"
    return _PARAMETER.sub(rf"\1={_MASK}", masked)


def login_hint(url: str, *, refused: bool) -> str:
    """What to do about the login of a URL that did not open; empty where its login was read as it was meant.

    Args:
        url: With its login.
        refused: Whether the other side refused it, so that even what looks encoded may be a password as it is.
    """
    login = _login(url)
    if login is None or not (_RAW.search(login[1]) or (refused and "%" in login[1])):
        return ""
    return "In a user name or password write @ as %40, / as %2F, # as %23, ? as %3F and % as %25"


def _login(url: str) -> re.Match[str] | None:
    login = _LOGIN.search(url)
    if login is not None and _HOST.match(url, login.end()):
        return login
    return _LOGIN_WITH_QUERY.search(url) or login
