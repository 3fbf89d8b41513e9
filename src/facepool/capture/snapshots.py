"""Addresses that serve one picture: fetched once, or again and again from a camera that has nothing else."""

import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import httpx2

from facepool.capture.formats import HEAD_BYTES, FileKind, is_picture, kind_of
from facepool.capture.live import LiveSource
from facepool.capture.pictures import read_image
from facepool.capture.reading import FetchedPicture
from facepool.capture.source import CaptureOptions, OnStatus, Shot, login_hint, mask_credentials
from facepool.capture.turning import Turning
from facepool.errors import StreamLost, StreamUnavailable

LARGEST_PICTURE = 64 * 1024 * 1024
"""In bytes. No camera sends more; a stream that looks like a picture does."""

_HEADERS = {"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": "facepool"}
_CHUNK = 64 * 1024
_SILENT_PICTURES = 3  # so many that stay away are silence
_MULTIPART = b"--"
_JPEG_AFTER_JPEG = "mjpeg"  # each picture is known to be whole when the next begins
_JPEG_AND_ANOTHER = b"\xff\xd9\xff\xd8"
_CHECK_LOGIN = "Check the user name and password in the address: http://USER:PASSWORD@HOST/..."
_CHECK = "Check the address, and that the camera or server is on"


class NoAnswer(Exception):
    """An address gave no picture; says why, and what to do.

    Attributes:
        is_plain: Whether the reason is clear; otherwise it may be a dialect of HTTP that FFmpeg knows.
    """

    def __init__(self, why: str, fix: str = _CHECK, *, is_plain: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix
        self.is_plain = is_plain


@dataclass(frozen=True, slots=True)
class Moving:
    """What serves no single picture.

    Attributes:
        containers: FFmpeg's names of what it may serve, whatever the address looks like, the likeliest first; empty for
            what cannot be told.
    """

    containers: tuple[str, ...] = ()


def look_at(url: str, options: CaptureOptions) -> FetchedPicture | Moving | None:
    """What an address serves that FFmpeg takes for no video.

    Returns:
        A picture, or a stream; None for what cannot be told.

    Raises:
        StreamUnavailable: It does not answer, refuses, or serves a web page or the like.
    """
    try:
        with closing(Address(url, options)) as address:
            found = address.fetch()
    except NoAnswer as error:
        if not error.is_plain:
            return None
        raise _unavailable(f"The stream {mask_credentials(url)} cannot be opened", url, error) from None
    return None if isinstance(found, Moving) and not found.containers else found


def fetch_picture(url: str, options: CaptureOptions | None = None) -> FetchedPicture:
    """The picture that an address serves.

    Args:
        url: ``http://`` or ``https://``; with ``user:password@`` where it takes a sign-in, basic or digest.
        options: How long it may take.

    Raises:
        StreamUnavailable: It does not answer, refuses, or serves something else.
    """
    what = f"The picture {mask_credentials(url)} cannot be fetched"
    try:
        with closing(Address(url, options or CaptureOptions())) as address:
            found = address.fetch()
    except NoAnswer as error:
        raise _unavailable(what, url, error) from None
    if isinstance(found, Moving):
        raise StreamUnavailable(what, why="it is a stream or a video", fix="Name the address of one picture")
    return found


def _unavailable(what: str, url: str, error: NoAnswer) -> StreamUnavailable:
    # What answers, and is no picture, was asked with a login that was understood.
    refused = error.fix is _CHECK_LOGIN
    hint = login_hint(url, refused=refused) if refused or error.fix is _CHECK else ""
    return StreamUnavailable(what, why=error.why, fix=hint or error.fix)


class Address:
    """An address, and a client to ask it with.

    No message of its names what is secret in it, and no error of the HTTP client is kept as a cause.

    Args:
        url: With its credentials, if it needs any.
        options: How long it may take until an answer comes, and, beyond that, until all of it is there.

    Raises:
        NoAnswer: It is no address.
    """

    def __init__(self, url: str, options: CaptureOptions) -> None:
        self.name = mask_credentials(url)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise _explained(error) from None
        self._url = _without_login(parts)
        self._patience_s = options.open_timeout_s
        self._longest_s = options.open_timeout_s + options.read_timeout_s
        auth = None
        if parts.username is not None:
            auth = _Login(unquote(parts.username), unquote(parts.password or ""))
        self._client = httpx2.Client(
            timeout=self._patience_s, auth=auth, follow_redirects=True, max_redirects=5, headers=_HEADERS
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def fetch(self) -> FetchedPicture | Moving:
        """Ask it once.

        Raises:
            NoAnswer: It does not answer, refuses, or serves what is neither a picture nor can be played.
        """
        try:
            return self._fetch()
        except httpx2.TimeoutException:
            raise NoAnswer(f"no answer within {self._patience_s:g} s") from None
        except NotImplementedError:
            raise NoAnswer("it asks for a sign-in of a kind that is not known") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, UnicodeError, ValueError) as error:
            raise _explained(error) from None

    def _fetch(self) -> FetchedPicture | Moving:
        ends_s = time.monotonic() + self._longest_s
        with self._client.stream("GET", self._url) as answer:
            _check_status(answer)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind.startswith("multipart/"):
                # Where FFmpeg does not find the parts, it finds the pictures.
                return Moving(("mpjpeg", _JPEG_AFTER_JPEG))
            if kind.startswith(("video/", "audio/")):
                return Moving()
            length = answer.headers.get("content-length", "")
            data = bytearray()
            for chunk in answer.iter_bytes(_CHUNK):
                is_first = len(data) < HEAD_BYTES
                data += chunk
                if is_first and len(data) >= HEAD_BYTES and not _is_one_picture(bytes(data[:HEAD_BYTES]), kind):
                    break
                if len(data) > LARGEST_PICTURE:
                    return _too_much(f"it sends more than {LARGEST_PICTURE >> 20} MiB", bytes(data), length)
                if time.monotonic() > ends_s:  # it trickles, or never ends
                    return _too_much(f"the picture is not there after {self._longest_s:g} s", bytes(data), length)
        head = bytes(data[:HEAD_BYTES])
        if _is_one_picture(head, kind):
            return FetchedPicture(self.name, bytes(data))
        return _no_picture(head)


def _check_status(answer: httpx2.Response) -> None:
    if answer.status_code in (401, 403):
        raise NoAnswer("the user name or password is missing or wrong", _CHECK_LOGIN)
    if answer.status_code == 404:
        raise NoAnswer("there is nothing at this address (404)", "Check the part of the address after the host")
    if not answer.is_success:
        raise NoAnswer(f"the server answers {answer.status_code} {answer.reason_phrase}".rstrip())


def _is_one_picture(head: bytes, said: str) -> bool:
    """Whether the first bytes are those of a picture; of a kind without a mark it has to be said that it is one."""
    if is_picture(head):
        return True
    unmarked = kind_of(head) is None and not head.lstrip(b"\r\n").startswith(_MULTIPART)
    return unmarked and bool(head) and said.startswith("image/")


def _too_much(why: str, data: bytes, length: str) -> Moving:
    if not length and data.count(_JPEG_AND_ANOTHER) > 1:
        return Moving((_JPEG_AFTER_JPEG,))
    raise NoAnswer(why)


def _no_picture(head: bytes) -> Moving:
    kind: FileKind | None = kind_of(head)
    if not head:
        raise NoAnswer("it sends nothing")
    if kind is not None and not kind.may_play:
        raise NoAnswer(f"it sends {kind.name}, not a video or a picture", kind.fix)
    return Moving()


def _explained(error: Exception) -> NoAnswer:
    text = str(error)
    if isinstance(error, httpx2.InvalidURL | UnicodeError | ValueError):
        return NoAnswer("it is no valid address", "Write % / ? # @ in a user name or password as %25 %2F %3F %23 %40")
    if "CERTIFICATE" in text or "certificate" in text:
        fix = "Name the file of its authority in the environment variable SSL_CERT_FILE, or use http://"
        return NoAnswer("its certificate is not trusted", fix, is_plain=False)
    if isinstance(error, httpx2.ConnectError):
        nobody = "refused" in text.lower()
        why = "nobody answers at this address" if nobody else f"it cannot be reached ({text})"
        return NoAnswer(why, is_plain=nobody)
    if isinstance(error, httpx2.TooManyRedirects):
        return NoAnswer("it refers to other addresses without an end")
    # Cameras with a dialect of their own: no status line, a wrong length. FFmpeg knows more of them.
    return NoAnswer(f"it breaks off, or is no HTTP ({type(error).__name__})", is_plain=False)


def _without_login(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


class _Login(httpx2.Auth):
    """User and password in the way that the server asks for, digest or basic; not before it asks."""

    def __init__(self, user: str, password: str) -> None:
        self._digest = httpx2.DigestAuth(user, password)
        self._basic = httpx2.BasicAuth(user, password)
        self._asked: httpx2.Auth | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """One request, and another with the login if the first is refused for want of it."""
        if self._asked is None:
            answer = yield request
            if answer.status_code != 401:
                return
            ways = " ".join(answer.headers.get_list("www-authenticate")).lower()
            self._asked = self._digest if "digest" in ways else self._basic
        yield from self._asked.auth_flow(request)


class SnapshotSource(LiveSource):
    """A camera that serves one picture at a time, asked again and again.

    Args:
        first: What it served when it was looked at.
        url: Its address.
        every_s: Seconds from one picture to the next; what a picture takes counts.
        options: Patience.
        on_status: As for `LiveSource`.
        turning: Likewise.
    """

    def __init__(
        self,
        first: FetchedPicture,
        url: str,
        every_s: float,
        options: CaptureOptions,
        on_status: OnStatus | None = None,
        turning: Turning | None = None,
    ) -> None:
        self._connector_of_pictures = SnapshotConnector(first, url, every_s, options)
        # From the first picture on it is known how seldom they come.
        silent_after_s = max(options.read_timeout_s, _SILENT_PICTURES * every_s)
        super().__init__(
            self._connector_of_pictures, options.reconnect, on_status, silent_after_s=silent_after_s, turning=turning
        )

    def close(self) -> None:
        """Stop at once; a wait for the next picture ends."""
        self._connector_of_pictures.stop.set()
        super().close()


class SnapshotConnector:
    """Asks one address for pictures.

    Attributes:
        stop: Ends the wait for the next one.
    """

    def __init__(self, first: FetchedPicture, url: str, every_s: float, options: CaptureOptions) -> None:
        self.name = first.name
        self.description = f"pictures of {first.name}, one every {every_s:g} s"
        self.stop = threading.Event()
        self._first: FetchedPicture | None = first
        self._url = url
        self._every_s = every_s
        self._options = options

    def connect(self) -> "SnapshotConnection":
        """Ask for a picture.

        Raises:
            StreamLost: None comes.
            ImageUnreadable: It cannot be decoded.
        """
        address = Address(self._url, self._options)
        first, self._first = self._first, None
        try:
            return SnapshotConnection(address, self, self._every_s, first)
        except BaseException:
            address.close()
            raise

    def unavailable(self, why: str) -> StreamUnavailable:
        """The error for one that never answered."""
        return StreamUnavailable(f"The pictures of {self.name} cannot be fetched", why=why, fix=_CHECK)

    def lost(self, why: str) -> StreamLost:
        """The error for one that ceased to answer."""
        return StreamLost(f"The pictures of {self.name} were lost", why=why, fix="Check the camera and the network")


class SnapshotConnection:
    """Pictures of one address."""

    every_frame = False

    def __init__(
        self, address: Address, connector: SnapshotConnector, every_s: float, first: FetchedPicture | None
    ) -> None:
        self._address = address
        self._connector = connector
        self._every_s = every_s
        self._due_s = time.monotonic() + every_s
        self._first: Shot | None = self._shot(first or self._fetch())

    def read(self) -> Shot | None:
        """The next picture, at its time; None once the source is closed.

        Raises:
            StreamLost: None comes.
            ImageUnreadable: It cannot be decoded.
        """
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._connector.stop.wait(max(0.0, self._due_s - time.monotonic())):
            return None
        # A camera that is slower than asked for is asked again as soon as it has answered.
        self._due_s = max(self._due_s, time.monotonic() - self._every_s) + self._every_s
        return self._shot(self._fetch())

    def close(self) -> None:
        """Hang up."""
        self._address.close()

    def _fetch(self) -> FetchedPicture:
        try:
            found = self._address.fetch()
        except NoAnswer as error:
            raise self._connector.lost(error.why) from None
        if isinstance(found, Moving):
            raise self._connector.lost("it serves a stream now")
        return found

    def _shot(self, picture: FetchedPicture) -> Shot:
        return Shot(read_image(picture), None)
