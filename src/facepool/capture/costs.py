"""What it takes to decode a picture, told from the structure of its file before anything of it is decoded.

A small file can make a decoder work for minutes without having many pixels: a JPEG that is drawn over and over again, a
PNG of a million parts. Such files are told by counting, and refused.
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

_MOST_SCANS = 100
"""Of a JPEG: those that appear bit by bit have about ten."""
_MOST_DRAWN_PIXELS = 600_000_000
"""Pixels of a JPEG, times its scans: twelve scans of 50 million."""
_MOST_SEGMENTS = 2000
"""Of a JPEG, before its first scan: notes, profiles, tables. Photos have ten to thirty."""
_MOST_CHUNKS = 20_000
"""Of a PNG. Most programs begin a new one each 8 kB at the least."""
_MOST_BLOCKS = 4000
"""Of a GIF, before its first frame."""
_MOST_ICONS = 100
"""In one file, of which the largest is read; there are ten or so."""
_MOST_TAGS = 1000
"""Of a TIFF: a camera's raw file has a hundred."""
_COMPRESSION, _WIDTH, _HEIGHT = 259, 256, 257
_STRIPS, _TILES = (273, 279), (324, 325)
"""Tags of a TIFF: where its parts begin, and how long they are."""
_JPEGS_IN_TIFF = frozenset({6, 7})
_NUMBER_BYTES = {3: 2, 4: 4, 13: 4, 16: 8, 18: 8}
"""Of whole numbers, by their kind in a TIFF."""
_MOST_PARTS = 200_000
"""Of a TIFF of JPEGs: 50 million pixels have as many tiles of 16 x 16."""
_MOST_RUN_BYTES = 2 * 1024 * 1024
"""Of a bitmap of run lengths, which Pillow decodes slowly. They are drawings."""

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)
"""Of a segment with a length, or of the end; the others stand inside the data of a scan."""
_FRAMES = frozenset(bytes([0xFF, number]) for number in range(0xC0, 0xD0) if number not in (0xC4, 0xC8, 0xCC))
_PROGRESSIVE = frozenset({b"\xff\xc2", b"\xff\xc6", b"\xff\xca", b"\xff\xce"})
_COEFFICIENT_BYTES = 2

_Order = Literal["little", "big"]

_LOADED_BYTES = 4
"""Of a pixel of three channels, as Pillow has it."""
_DECODER_BYTES = {"WEBP": 17, "HEIF": 8, "AVIF": 10, "JXL": 16, "TIFF": 8}
"""Of a pixel at the worst, while it is decoded, where that is more: these decoders hold it several times over."""


class TooCostly(ValueError):
    """To decode a picture takes more work than any ordinary one; says what there is too much of."""


def refuse_costly(data: bytes) -> None:
    """Refuse a file whose structure alone would make a decoder work for long.

    Raises:
        TooCostly: It is such a one.
    """
    for start, check in _CHECKS:
        if data.startswith(start):
            check(data)


def decoding_bytes(data: bytes, kind: str, pixels: int) -> int:
    """How much memory it takes to decode a picture, about.

    Args:
        data: The file.
        kind: Pillow's name of its format.
        pixels: How many it has.
    """
    head = _jpeg_head(data) if data.startswith(_JPEG_START) else None
    if head is not None and _is_kept_whole(head):
        largest = max(1, *head.samples)
        return int(pixels * (_LOADED_BYTES + _COEFFICIENT_BYTES * sum(head.samples) / largest))
    return pixels * _DECODER_BYTES.get(kind, _LOADED_BYTES)


def is_cheaper_reduced(data: bytes) -> bool:
    """Whether a picture takes less memory and work where it is decoded smaller than it is: an ordinary JPEG.

    Of one that appears bit by bit, all that it has of all pixels is kept until the end.
    """
    if not data.startswith(_JPEG_START):
        return False
    head = _jpeg_head(data)
    return head.pixels > 0 and not _is_kept_whole(head)


def _is_kept_whole(head: "_JpegHead") -> bool:
    return head.progressive or head.scanned < len(head.samples)


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of a WebP picture, by its head; its decoder takes memory as soon as it is opened.

    Returns:
        (0, 0) where it does not say.
    """
    kind, body = data[12:16], data[20:34]
    if kind == b"VP8X" and len(body) >= 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8 " and len(body) >= 10:
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


class _JpegHead(NamedTuple):
    """What stands before the first scan of a JPEG.

    Attributes:
        pixels: How many the picture has.
        progressive: Whether it appears bit by bit.
        samples: How many each component has in a block of the picture: 4, 1 and 1 where colours are coarser.
        scanned: How many components the first scan has.
    """

    pixels: int
    progressive: bool
    samples: tuple[int, ...]
    scanned: int


def _segments(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The markers of a JPEG, and where what belongs to each begins, until its end."""
    at = len(_JPEG_START)
    while (marker := _MARKER.search(data, at)) is not None and marker[0] != _JPEG_END:
        yield marker[0], marker.end()
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big"))


def _jpeg_head(data: bytes) -> _JpegHead:
    pixels, progressive = 0, False
    samples: tuple[int, ...] = (1,)
    for count, (marker, at) in enumerate(_segments(data)):
        if count > _MOST_SEGMENTS:
            raise TooCostly(f"it has more than {_MOST_SEGMENTS:,} parts before the picture")
        if marker == _SCAN:
            return _JpegHead(pixels, progressive, samples, data[at + 2] if at + 2 < len(data) else 0)
        if marker in _FRAMES and at + 8 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 3)
            factors = data[at + 9 : at + 8 + 3 * data[at + 7] : 3]
            pixels, progressive = max(pixels, width * height), progressive or marker in _PROGRESSIVE
            samples = tuple((factor >> 4) * (factor & 15) for factor in factors) or (1,)
    return _JpegHead(pixels, progressive, samples, len(samples))


def _check_jpeg(data: bytes) -> None:
    """Refuse a JPEG that is drawn over and over again: of a few hundred kilobytes that takes minutes."""
    head = _jpeg_head(data)
    most = min(_MOST_SCANS, max(1, _MOST_DRAWN_PIXELS // max(1, head.pixels)))
    if data.count(_SCAN) <= most:
        return
    scans = 0
    # Not all of these bytes need be scans: there may be some in a note, or in a film behind the picture.
    for marker, _ in _segments(data):
        scans += marker == _SCAN
        if scans > most:
            raise TooCostly(f"it has more than {most} scans")


def _check_png(data: bytes) -> None:
    at, count = 8, 0
    while at + 12 <= len(data) and data[at + 4 : at + 8] != b"IEND":
        count += 1
        if count > _MOST_CHUNKS:
            raise TooCostly(f"it has more than {_MOST_CHUNKS:,} parts")
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def _check_gif(data: bytes) -> None:
    colours = data[10] if len(data) > 10 else 0
    at, count = 13 + (3 << ((colours & 7) + 1) if colours & 0x80 else 0), 0
    while data[at : at + 1] == b"!":
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
            count += 1
        at, count = at + 1, count + 1
        if count > _MOST_BLOCKS:
            raise TooCostly(f"it has more than {_MOST_BLOCKS:,} parts before the picture")


def _check_icon(data: bytes) -> None:
    if int.from_bytes(data[4:6], "little") > _MOST_ICONS:
        raise TooCostly(f"it has more than {_MOST_ICONS} pictures")


def _check_bitmap(data: bytes) -> None:
    has_runs = len(data) >= 34 and int.from_bytes(data[14:18], "little") >= 40 and data[30] in (1, 2)
    if has_runs and len(data) > _MOST_RUN_BYTES:
        raise TooCostly(f"its run lengths take more than {_MOST_RUN_BYTES:,} bytes")


def _check_tiff(data: bytes) -> None:
    """Refuse a TIFF of very many tags, or of JPEGs that are drawn over and over again."""
    order: _Order = "little" if data[:1] == b"I" else "big"
    is_big = data[2:4] in (b"+\0", b"\0+")
    at = int.from_bytes(data[8:16] if is_big else data[4:8], order)
    count_bytes = 8 if is_big else 2
    count = int.from_bytes(data[at : at + count_bytes], order)
    if not at:  # at 0 there are none
        return
    if count > _MOST_TAGS:
        raise TooCostly(f"it has more than {_MOST_TAGS:,} tags")
    tags = _Tags(data, order, at + count_bytes, count, is_big=is_big)
    if tags.first(_COMPRESSION) in _JPEGS_IN_TIFF:
        _check_jpegs(data, tags)


def _check_jpegs(data: bytes, tags: "_Tags") -> None:
    """Refuse JPEGs in a TIFF, one a strip or tile, that have too many scans together, or overlap."""
    starts = tags.all(_STRIPS[0]) or tags.all(_TILES[0])
    sizes = tags.all(_STRIPS[1]) or tags.all(_TILES[1])
    parts = [(start, min(start + size, len(data))) for start, size in zip(starts, sizes, strict=False)]
    if sum(max(0, end - start) for start, end in parts) > 2 * len(data):
        raise TooCostly("its parts have more than twice its bytes")
    most = min(_MOST_SCANS, max(1, _MOST_DRAWN_PIXELS // max(1, tags.first(_WIDTH) * tags.first(_HEIGHT))))
    if sum(data.count(_SCAN, start, end) for start, end in parts) > most * len(parts):
        raise TooCostly(f"it has more than {most} scans")


class _Tags:
    """The numbers in a TIFF's first directory.

    Args:
        data: The file.
        order: Of its bytes.
        at: Where the first entry begins.
        count: How many there are.
        is_big: Whether it is a BigTIFF, whose entries are longer.
    """

    def __init__(self, data: bytes, order: _Order, at: int, count: int, *, is_big: bool) -> None:
        self._data = data
        self._order = order
        self._word = 8 if is_big else 4
        size = 4 + 2 * self._word
        # Of tags that are there twice, the first counts: backwards, as the last one stays.
        entries = (data[at + size * number : at + size * (number + 1)] for number in reversed(range(count)))
        self._entries = {self._int(entry[:2]): entry[2:] for entry in entries if len(entry) == size}

    def first(self, tag: int) -> int:
        """The first number of a tag; 0 where there is none."""
        return next(iter(self.all(tag)), 0)

    def all(self, tag: int) -> list[int]:
        """All numbers of a tag.

        Raises:
            TooCostly: There are very many.
        """
        entry = self._entries.get(tag, b"")
        each = _NUMBER_BYTES.get(self._int(entry[:2]), 0)
        if not each:
            return []
        count = self._int(entry[2 : 2 + self._word])
        if count > _MOST_PARTS:
            raise TooCostly(f"it has more than {_MOST_PARTS:,} parts")
        length = each * count
        value = entry[2 + self._word :]
        if length > len(value):
            at = self._int(value)
            value = self._data[at : at + length]
        return [self._int(value[at : at + each]) for at in range(0, min(length, len(value) - each + 1), each)]

    def _int(self, part: bytes) -> int:
        return int.from_bytes(part, self._order)


_CHECKS: tuple[tuple[bytes, Callable[[bytes], None]], ...] = (
    (_JPEG_START, _check_jpeg),
    (b"\x89PNG\r\n\x1a\n", _check_png),
    (b"GIF8", _check_gif),
    (b"\0\0\1\0", _check_icon),
    (b"BM", _check_bitmap),
    (b"II", _check_tiff),
    (b"MM", _check_tiff),
)
