"""Which addresses name a stream."""

import re

STREAM_SCHEMES = frozenset(["rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp", "mms", "http", "https"])
"""The kinds of address that are opened; FFmpeg knows more, some of which read local files."""

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


def url_scheme(text: str) -> str:
    """The lower-case scheme of a URL; empty for what is not one, such as a path."""
    match = _URL.match(text)
    return match[1].lower() if match else ""
