"""Turn what the user named into a source of frames."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from facepool.capture.folders import FolderSource, pictures_or_error
from facepool.capture.live import Connector, LiveSource
from facepool.capture.pictures import WEB_SCHEMES, AnimationSource, FetchedPicture, PictureSource, picture_kind
from facepool.capture.source import (
    STREAM_SCHEMES,
    CaptureOptions,
    FrameSource,
    OnSkip,
    OnStatus,
    mask_credentials,
    url_scheme,
)
from facepool.capture.turning import Turning
from facepool.errors import InputError, PathMissing, StreamUnavailable, VideoUnreadable

_VIDEO_DEVICE = "/dev/video"
_LOOK_EVERY_S = 0.2
_LOOK_UNTIL_S = 60.0
"""How far into a film it is sought how it has to be turned, before its first frame is given."""


def open_source(
    spec: str | int | Path,
    options: CaptureOptions | None = None,
    *,
    on_skip: OnSkip | None = None,
    on_status: OnStatus | None = None,
) -> FrameSource:
    """Open a camera, stream, folder, video or picture.

    Args:
        spec: A number (also as text, or Linux' ``/dev/videoN``) is a camera; what begins with ``rtsp://``,
            ``http://`` and the like is an address; anything else is a path. Whether a file, or what an address
            serves, is a picture or moves is seen from its content.
        options: Patience with cameras and streams, threads for videos and streams, how what moves is turned.
        on_skip: Called for each picture of a folder that cannot be read.
        on_status: Called with a live source's news.

    Raises:
        PathMissing: There is no such file or folder.
        SourceEmpty: The folder holds no picture.
        VideoUnreadable: The file is neither a picture nor a video.
        CameraUnavailable: There is no such camera, or it cannot be used.
        StreamUnavailable: The stream does not open in time.
    """
    options = options or CaptureOptions()
    text = str(spec)
    number = _camera_number(text)
    if number is not None:
        from facepool.capture.camera import CameraConnector  # noqa: PLC0415 -- pictures need no camera

        return _open_live(CameraConnector(number), options, on_status)
    scheme = url_scheme(text)
    if scheme == "file":
        from urllib.request import url2pathname  # noqa: PLC0415 -- it imports the whole of http and ssl

        return _open_path(Path(url2pathname(urlsplit(text).path)), options, on_skip)
    if scheme in WEB_SCHEMES:
        return open_address(text, options, on_status=on_status)
    if scheme:
        return _open_live(_stream(text, scheme, options), options, on_status)
    return _open_path(Path(text), options, on_skip)


def open_address(
    url: str, options: CaptureOptions, *, found: FetchedPicture | None = None, on_status: OnStatus | None = None
) -> FrameSource:
    """Open what a web address serves: one picture, the same again and again, an animation, a video or a stream.

    Args:
        url: ``http://`` or ``https://``.
        options: As for `open_source`.
        found: The picture that it is known to serve; otherwise it is asked.
        on_status: As for `open_source`.

    Raises:
        StreamUnavailable: It does not answer, or serves neither pictures nor a video.
    """
    from facepool.capture.snapshots import SnapshotSource, look_at  # noqa: PLC0415 -- HTTP takes long to import

    served = found or look_at(url, options)
    if not isinstance(served, FetchedPicture):
        from facepool.capture.video import StreamConnector  # noqa: PLC0415 -- pictures need no video codecs

        return _open_live(StreamConnector(url, options, served.format), options, on_status)
    if options.every_s is not None:
        polled = SnapshotSource(served, url, options.every_s, options, on_status, _turning(options))
        polled.open(options.open_timeout_s + options.read_timeout_s)
        return polled
    if picture_kind(served) == "animation":
        return _open_film(lambda turning: AnimationSource(served, turning), options)
    return PictureSource([served], served.name)


def is_picture_file(spec: str) -> bool:
    """Whether ``open_source`` would take this for a single still picture."""
    path = Path(spec)
    if _camera_number(spec) is not None or url_scheme(spec) or not path.is_file():
        return False
    return picture_kind(path) == "still"


def _camera_number(spec: str) -> int | None:
    number = spec.removeprefix(_VIDEO_DEVICE)
    return int(number) if number.isascii() and number.isdigit() else None


def _open_live(connector: Connector, options: CaptureOptions, on_status: OnStatus | None) -> LiveSource:
    source = LiveSource(connector, options.reconnect, on_status, turning=_turning(options))
    # A stream may use its time to open and then wait for its first picture; the thread reports either by itself.
    source.open(options.open_timeout_s + options.read_timeout_s)
    return source


def _turning(options: CaptureOptions) -> Turning:
    return Turning(options.rotate, options.find_turn() if options.find_turn else None)


def _stream(url: str, scheme: str, options: CaptureOptions) -> Connector:
    if scheme not in STREAM_SCHEMES:
        raise StreamUnavailable(
            f"The address {mask_credentials(url)} cannot be opened",
            why=f"{scheme}:// is not a kind of stream that is known",
            fix=f"Use one of {', '.join(sorted(STREAM_SCHEMES))}",
        )
    from facepool.capture.video import StreamConnector  # noqa: PLC0415 -- pictures need no video codecs

    return StreamConnector(url, options)


def _open_path(path: Path, options: CaptureOptions, on_skip: OnSkip | None) -> FrameSource:
    if path.is_dir():
        return FolderSource(pictures_or_error(path), on_skip)
    if not path.exists():
        raise PathMissing(f"There is no file or folder {path}", fix="Check the spelling of the path")
    if not path.is_file():
        raise VideoUnreadable(f"{path} cannot be read", why="it is neither a file nor a folder")
    kind = picture_kind(path)
    if kind == "still":
        return PictureSource([path], str(path), on_skip)
    if kind == "animation":
        return _open_film(lambda turning: AnimationSource(path, turning), options)
    from facepool.capture.video import VideoSource  # noqa: PLC0415 -- pictures need no video codecs

    return _open_film(lambda turning: VideoSource(path, options.threads, turning), options)


def _open_film(open_one: Callable[[Turning], FrameSource], options: CaptureOptions) -> FrameSource:
    """A film, turned from its first frame on; where the turn has to be found, its beginning is looked at first."""
    if options.find_turn is None:
        return open_one(Turning(options.rotate))
    finder = options.find_turn()
    due_s = 0.0
    # What is wrong with the film is said by those who read it.
    with suppress(InputError), open_one(Turning()) as film:
        for frame in film:
            time_s = frame.time_s or 0.0
            if time_s > _LOOK_UNTIL_S:
                return open_one(Turning(0, finder))
            if time_s < due_s:
                continue
            due_s = time_s + _LOOK_EVERY_S
            if (found := finder.look(frame.image_bgr)) is not None:
                return open_one(Turning(found))
    return open_one(Turning(finder.likeliest))
