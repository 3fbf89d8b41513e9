"""Network streams: RTSP, HTTP, RTMP and whatever else FFmpeg speaks."""

import errno

import av
import av.container

from facepool.capture.addresses import url_scheme
from facepool.capture.credentials import mask_credentials
from facepool.capture.decoding import Decoder
from facepool.capture.source import CaptureOptions, Shot
from facepool.errors import StreamLost, StreamUnavailable

_RTSP_OPTIONS = {"rtsp_transport": "tcp"}  # loses no packets, for a little more delay
_FILE_SCHEMES = frozenset({"http", "https"})


class StreamConnector:
    """Opens one URL.

    Args:
        url: With its credentials, if it needs any.
        options: Timeouts and threads.
    """

    def __init__(self, url: str, options: CaptureOptions) -> None:
        self.name = mask_credentials(url)
        self.description = f"stream {self.name}"
        self._url = url
        self._options = options

    def connect(self) -> "StreamConnection":
        """Open it and decode a first picture.

        Raises:
            StreamUnavailable: It does not open, or sends no picture.
        """
        options = self._options
        try:
            container = av.open(
                self._url,
                options=_RTSP_OPTIONS if url_scheme(self._url).startswith("rtsp") else {},
                metadata_errors="replace",  # titles are not always UTF-8
                timeout=(options.open_timeout_s, options.read_timeout_s),
            )
        except av.FFmpegError as error:
            # FFmpeg's error names the address with its password, so it is not kept as the cause.
            raise self.unavailable(_reason(error, options.open_timeout_s)) from None
        try:
            return StreamConnection(container, self, options.threads)
        except (LookupError, StreamLost) as error:
            container.close()
            why = error.why if isinstance(error, StreamLost) else error.args[0]
            raise self.unavailable(why) from error

    def read_failure(self, error: av.FFmpegError) -> StreamLost:
        """The error for a connection on which reading failed."""
        return self.lost(_reason(error, self._options.read_timeout_s))

    def unavailable(self, why: str) -> StreamUnavailable:
        """The error for a stream that never opened."""
        return StreamUnavailable(
            f"The stream {self.name} cannot be opened",
            why=why,
            fix="Check the address, the user name and password in it, and that the camera is on",
        )

    def lost(self, why: str) -> StreamLost:
        """The error for a stream that died."""
        return StreamLost(f"The stream {self.name} was lost", why=why, fix="Check the camera and the network")


class StreamConnection:
    """An open stream whose first picture has been decoded.

    Raises:
        LookupError: It carries no video that can be decoded.
        StreamLost: It ends before the first picture.
    """

    def __init__(self, container: av.container.InputContainer, connector: StreamConnector, threads: int | None) -> None:
        self._container = container
        self._connector = connector
        is_finite = container.duration is not None or container.size > 0
        self.every_frame = is_finite and url_scheme(container.name) in _FILE_SCHEMES
        self._is_finite = is_finite
        self._decoder = Decoder(container, low_delay=not self.every_frame, threads=threads)
        self._shots = self._decoder.shots()
        self._first = self._read()
        if self._first is None:
            raise connector.lost("it sends no picture")

    def read(self) -> Shot | None:
        """The next picture; None when a file that was sent has come to its end.

        Raises:
            StreamLost: The connection is dead, or silent for too long.
        """
        first, self._first = self._first, None
        return first or self._read()

    def close(self) -> None:
        """Hang up."""
        self._container.close()

    def _read(self) -> Shot | None:
        try:
            shot = next(self._shots, None)
        except av.FFmpegError as error:
            raise self._connector.read_failure(error) from None  # as above: it may name the address
        if shot is None and (self._decoder.broken or not self._is_finite):
            raise self._connector.lost("the other side stopped sending")
        return shot


def _reason(error: av.FFmpegError, timeout_s: float) -> str:
    if isinstance(error, av.error.ExitError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "the user name or password is missing or wrong"
    if isinstance(error, av.error.InvalidDataError):
        return "what it sends is not a video"
    if isinstance(error, av.error.ConnectionRefusedError):
        return "nobody answers at this address"
    return "the connection broke off" if error.errno == errno.EIO else str(error.strerror)
