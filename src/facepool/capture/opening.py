"""Turn what the user named into a source of frames."""

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from facepool.capture.folders import FolderSource, pictures_or_error
from facepool.capture.live import Connector, LiveSource
from facepool.capture.pictures import WEB_SCHEMES, AnimationSource, PictureSource, picture_kind
from facepool.capture.reading import FetchedPicture
from facepool.capture.source import (
    STREAM_SCHEMES,
    VIDEO_DEVICE,
    CaptureOptions,
    FrameSource,
    OnSkip,
    OnStatus,
    check_source,
    mask_credentials,
    url_scheme,
)
from facepool.capture.turning import Turning
from facepool.errors import InputError, PathMissing, StreamUnavailable, VideoUnreadable, system_limit

_NAMES_OFVIDEO_DEVICES = "/dev/v4l/"  # by-id, by-path
_VIDEO4LINUX = 81  # the major number of its devices
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
        spec: A number (also as text) or a device of Linux (``/dev/video0``, ``/dev/v4l/by-id/...``, a link to one) is a
            camera; what begins with ``rtsp://``, ``http://`` and the like is an address; anything else is a path.
            Whether a file, or what an address serves, is a picture or moves is seen from its content.
        options: Patience with cameras and streams, threads for videos and streams, how what moves is turned.
        on_skip: Called for each picture of a folder that cannot be read.
        on_status: Called with a live source's news.

    Raises:
        ConfigError: Nothing anywhere has such a name.
        PathMissing: There is no such file or folder.
        SourceEmpty: The folder holds no picture.
        VideoUnreadable: The file is neither a picture nor a video.
        CameraUnavailable: There is no such camera, or it cannot be used.
        StreamUnavailable: The stream does not open in time.
    """
    options = options or CaptureOptions()
    text = str(spec)
    check_source(text)
    camera = _camera(text)
    if camera is not None:
        from facepool.capture.camera import CameraConnector  # noqa: PLC0415 -- pictures need no camera

        return _open_live(CameraConnector(camera), options, on_status)
    scheme = url_scheme(text)
    if scheme == "file":
        from urllib.request import url2pathname  # noqa: PLC0415 -- it imports the whole of http and ssl

        return _open_path(Path(url2pathname(urlsplit(text).path)), options, on_skip)
    if scheme in WEB_SCHEMES:
        return _open_address(text, options, on_status)
    if scheme:
        return _open_live(_stream(text, scheme, options), options, on_status)
    return _open_path(Path(text), options, on_skip)


def _open_address(url: str, options: CaptureOptions, on_status: OnStatus | None) -> FrameSource:
    """Open what a web address serves: a stream, a video, one picture, the same again and again, an animation.

    FFmpeg is asked first, since many cameras serve one stream at a time. What it takes for no video is fetched.
    """
    from facepool.capture.video import StreamConnector  # noqa: PLC0415 -- pictures need no video codecs

    connector = StreamConnector(url, options)
    try:
        return _open_live(connector, options, on_status)
    except StreamUnavailable:
        if not connector.serves_no_video:
            raise
        from facepool.capture.snapshots import SnapshotSource, look_at  # noqa: PLC0415 -- HTTP takes long to import

        served = look_at(url, options)
        if served is None:
            raise
    if not isinstance(served, FetchedPicture):
        for container in served.containers[:-1]:
            with suppress(StreamUnavailable):
                return _open_live(StreamConnector(url, options, container), options, on_status)
        return _open_live(StreamConnector(url, options, served.containers[-1]), options, on_status)
    if options.every_s is not None:
        polled = SnapshotSource(served, url, options.every_s, options, on_status, _turning(options))
        polled.open(options.open_timeout_s + options.read_timeout_s)
        return polled
    if picture_kind(served) == "animation":
        return _open_film(lambda turning: AnimationSource(served, turning), options)
    return PictureSource([served], served.name)


SourceKind = Literal["pictures", "moves", "absent"]
"""What a source is before it is opened: still pictures, anything else, or nothing that can be opened."""


def kind_of_source(spec: str, options: CaptureOptions) -> SourceKind:
    """What ``open_source`` would make of this. A web address is asked; no camera and no other stream is touched.

    Raises:
        ConfigError: Nothing anywhere has such a name.
    """
    check_source(spec)
    scheme = url_scheme(spec)
    if _camera(spec) is not None or (scheme and scheme not in WEB_SCHEMES):
        return "moves"
    if not scheme:
        try:
            mode = Path(spec).stat().st_mode
        except OSError:  # `open_source` says which
            return "absent"
        return "pictures" if stat.S_ISDIR(mode) or is_picture_file(spec) else "moves"
    from facepool.capture.snapshots import look_at  # noqa: PLC0415 -- HTTP takes long to import

    try:
        served = look_at(spec, options)
    except StreamUnavailable:
        return "absent"
    is_still = isinstance(served, FetchedPicture) and picture_kind(served) == "still"
    return "pictures" if is_still and options.every_s is None else "moves"


def is_picture_file(spec: str) -> bool:
    """Whether ``open_source`` would take this for a single still picture.

    Raises:
        ConfigError: Nothing anywhere has such a name.
    """
    check_source(spec)
    if _camera(spec) is not None or url_scheme(spec):
        return False
    try:
        is_file = stat.S_ISREG(Path(spec).stat().st_mode)
    except OSError:  # `open_source` says which
        return False
    return is_file and picture_kind(Path(spec)) == "still"


def _camera(spec: str) -> int | str | None:
    """The number or the device of a camera; None for what is none."""
    number = spec.removeprefix(VIDEO_DEVICE)
    if number.isascii() and number.isdigit():
        return int(number)
    # An unplugged camera has no name there any more, and is still no missing file.
    return spec if spec.startswith(_NAMES_OFVIDEO_DEVICES) or _is_video_device(spec) else None


def _is_video_device(spec: str) -> bool:
    if sys.platform != "linux":
        return False
    try:
        seen = Path(spec).stat()
    except OSError:
        return False
    return stat.S_ISCHR(seen.st_mode) and os.major(seen.st_rdev) == _VIDEO4LINUX


def _open_live(connector: Connector, options: CaptureOptions, on_status: OnStatus | None) -> LiveSource:
    source = LiveSource(
        connector, options.reconnect, on_status, silent_after_s=options.read_timeout_s, turning=_turning(options)
    )
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
    mode = _mode_of(path)
    if stat.S_ISDIR(mode):
        return FolderSource(pictures_or_error(path), on_skip)
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _OTHER_KINDS if is_kind(mode)), "neither a file nor a folder")
        raise VideoUnreadable(
            f"{path} cannot be read", why=f"it is {kind}", fix="Name a file, a folder, a camera or an address"
        )
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
    return open_one(Turning(finder.settle()))


_OTHER_KINDS = (
    (stat.S_ISCHR, "a device, but no camera"),
    (stat.S_ISBLK, "a disk"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def _mode_of(path: Path) -> int:
    """What there is at a path.

    Raises:
        PathMissing: Nothing.
        VideoUnreadable: That cannot be found out.
        SystemLimit: Memory is short.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        why = f"it is a link to {path.readlink()}, which does not exist" if path.is_symlink() else ""
        raise PathMissing(
            f"There is no file or folder {path}", why=why, fix="Check the spelling of the path"
        ) from error
    except OSError as error:
        what = f"{path} cannot be read"
        if (limit := system_limit(what, error)) is not None:
            raise limit from error
        if error.errno == errno.ENAMETOOLONG:
            raise PathMissing(what, why="no file or folder can have so long a name", fix="Check the path") from error
        if isinstance(error, PermissionError):
            raise VideoUnreadable(
                what, why="you may not enter its folder", fix="Change the permissions of the folder"
            ) from error
        raise VideoUnreadable(what, why=error.strerror or "", fix="Check the disk that it lies on") from error
