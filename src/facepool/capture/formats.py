"""What a file is, seen from its first bytes: a picture of a kind that is read, or something else that can be named."""

import re
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 512
"""So many of a file's first bytes tell what it is."""

REQUEST_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "ICO", "HEIF", "AVIF", "JXL")
"""Pillow's names of the formats that the server reads from strangers: those whose decoders can be bounded."""
REQUEST_FORMATS_IN_WORDS = "JPEG, PNG, WebP, BMP, GIF, TIFF, ICO, HEIC, AVIF and JPEG XL"
_PORTABLE_MAP = re.compile(rb"P[1-7fF]\s")

_RAW = "Develop it in the camera's program, or export it as JPEG"
_EXPORT = "Export it as JPEG or PNG"
_COPY = "Copy or download it again, and look at it in another program"


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: With an article, as part of a sentence: ``it is {name}``.
        format: Pillow's name of the reader for a picture; empty for what is no picture that is read.
        fix: What to do with a file that is no such picture.
        may_play: Whether an address that serves it may be that of a stream or video.
    """

    name: str
    format: str = ""
    fix: str = ""
    may_play: bool = True


_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"miaf"}
)
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

HEIF = FileKind("a HEIF picture", "HEIF")
JPEG_XL = FileKind("a JPEG XL picture", "JXL")
_AVIF = FileKind("an AVIF picture", "AVIF")
_TIFF = FileKind("a TIFF picture", "TIFF")
_RAW_FILE = FileKind("a camera's raw file", fix=_RAW)
_VIDEO = FileKind("a video", fix="Name it as a video: facepool recognize FILE")
_WEB_PAGE = FileKind(
    "a web page",
    fix="Open its address in a browser; perhaps it asks for a sign-in, or the picture has moved",
    may_play=False,
)

_BY_START: tuple[tuple[bytes, FileKind], ...] = (
    (b"\xff\xd8\xff", FileKind("a JPEG picture", "JPEG")),
    (b"\x89PNG\r\n\x1a\n", FileKind("a PNG picture", "PNG")),
    (b"GIF87a", FileKind("a GIF picture", "GIF")),
    (b"GIF89a", FileKind("a GIF picture", "GIF")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", FileKind("a JPEG 2000 picture", "JPEG2000")),
    (b"\xff\x4f\xff\x51", FileKind("a JPEG 2000 picture", "JPEG2000")),
    (b"\xff\x0a", JPEG_XL),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", JPEG_XL),
    (b"\x00\x00\x01\x00", FileKind("an icon", "ICO")),
    (b"IIRO", _RAW_FILE),
    (b"IIRS", _RAW_FILE),
    (b"IIU\x00", _RAW_FILE),
    (b"FUJIFILMCCD-RAW", _RAW_FILE),
    (b"FOVb", _RAW_FILE),
    (b"\x00MRM", _RAW_FILE),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"II+\x00", _TIFF),
    (b"MM\x00+", _TIFF),
    (b"8BPS", FileKind("a Photoshop file", fix=_EXPORT)),
    (b"gimp xcf", FileKind("a GIMP file", fix=_EXPORT)),
    (b"%PDF-", FileKind("a PDF document", fix="Export the page as a picture", may_play=False)),
    (b"%!PS", FileKind("a PostScript file", fix=_EXPORT)),
    (b"PK\x03\x04", FileKind("a ZIP archive", fix="Unpack it first")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7-Zip archive", fix="Unpack it first")),
    (b"Rar!\x1a\x07", FileKind("a RAR archive", fix="Unpack it first")),
    (b"\x1f\x8b", FileKind("a compressed file", fix="Unpack it first")),
    (b"\x1aE\xdf\xa3", _VIDEO),
    (b"OggS", _VIDEO),
    (b"FLV\x01", _VIDEO),
    (b"\x00\x00\x01\xba", _VIDEO),
    (b"\x00\x00\x01\xb3", _VIDEO),
    (b"\x00\x05\x16\x07", FileKind("what a Mac keeps beside a file", fix="Name the picture itself, without ._")),
    (b"version https://git-lfs", FileKind("a Git LFS pointer, not the file itself", fix="Fetch it with: git lfs pull")),
)


def kind_of(head: bytes) -> FileKind | None:
    """What begins with some bytes.

    Args:
        head: The first `HEAD_BYTES` of a file, or all of a shorter one.

    Returns:
        None for what cannot be told, which may be a picture of a kind without a mark (TGA, PPM).
    """
    found = next((kind for start, kind in _BY_START if head.startswith(start)), None)
    if found is _TIFF and head[8:10] == b"CR":
        return _RAW_FILE
    return found or next((kind for look in _LOOKS if (kind := look(head)) is not None), None)


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so is a picture of a kind that is read."""
    kind = kind_of(head)
    return kind is not None and bool(kind.format)


def is_refused_in_requests(head: bytes) -> bool:
    """Whether a file that begins so is a picture of a kind that is read, though none that strangers may send."""
    kind = kind_of(head)
    if kind is None:
        return _PORTABLE_MAP.match(head) is not None
    return bool(kind.format) and kind.format not in REQUEST_FORMATS


def _iso_media(head: bytes) -> FileKind | None:
    """HEIF, AVIF, MP4 and QuickTime are boxes of one kind; the brands in the first say which."""
    if head[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
    if head[8:12] == b"crx ":
        return _RAW_FILE
    if brands & _AVIF_BRANDS:
        return _AVIF
    return HEIF if brands & _HEIF_BRANDS else _VIDEO


def _bmp(head: bytes) -> FileKind | None:
    """Two letters are too few to tell a picture from a text: the size of its header has to be one that there is."""
    is_one = head[:2] == b"BM" and head[14:18] in _BMP_HEADERS
    return FileKind("a BMP picture", "BMP") if is_one else None


def _riff(head: bytes) -> FileKind | None:
    if head[:4] != b"RIFF":
        return None
    kinds = {b"WEBP": FileKind("a WebP picture", "WEBP"), b"AVI ": _VIDEO}
    return kinds.get(head[8:12])


def _markup(head: bytes) -> FileKind | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")) or b"<html" in text:
        return _WEB_PAGE
    if text.startswith((b"<svg", b"<?xml")):
        svg = FileKind("an SVG drawing", fix=_EXPORT)
        return svg if b"<svg" in text else FileKind("an XML document", fix=_COPY)
    if text.startswith((b"{", b"[")):
        return FileKind("text, perhaps JSON", fix=_COPY, may_play=False)
    return None


def _nothing_in_it(head: bytes) -> FileKind | None:
    blank = bool(head) and not head.strip(b"\0")
    return FileKind("nothing but zeros, as a broken copy leaves", fix=_COPY) if blank else None


_LOOKS: tuple[Callable[[bytes], FileKind | None], ...] = (_iso_media, _bmp, _riff, _markup, _nothing_in_it)
