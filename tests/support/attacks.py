"""Pictures that are small as files and cost a decoder a lot, made as small as shows it."""

import io
import struct
import zlib

import PIL.Image


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encoded(kind: str, size_wh: tuple[int, int] = (8, 8), mode: str = "RGB", **options: object) -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    PIL.Image.new(mode, size_wh).save(file, kind, **options)
    return file.getvalue()


def many_scans(count: int, size_wh: tuple[int, int] = (16, 16), mode: str = "RGB") -> bytes:
    """A JPEG whose last scan comes again and again: a hundred times in 12 million pixels takes a second for 2 kB."""
    data = encoded("JPEG", size_wh, mode, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + count * data[last:-2] + data[-2:]


def many_segments(count: int) -> bytes:
    """A JPEG with notes: each is an object of Pillow's."""
    data = encoded("JPEG")
    return data[:2] + count * b"\xff\xfe\x00\x03a" + data[2:]


def many_chunks(count: int) -> bytes:
    """A PNG of many parts: 1.3 million took 16 seconds."""
    data = encoded("PNG")
    return data[:33] + count * chunk(b"tIME") + data[33:]


def many_notes(count: int) -> bytes:
    """A GIF with notes, which Pillow puts together one by one."""
    data = encoded("GIF")
    picture = data.index(b",", 13)
    return data[:picture] + count * b"!\xfe\x01a\x00" + data[picture:]


def many_blocks_in_a_note(count: int) -> bytes:
    """Likewise, of one note in many pieces."""
    data = encoded("GIF")
    picture = data.index(b",", 13)
    return data[:picture] + b"!\xfe" + count * b"\x01a" + b"\x00" + data[picture:]


def many_icons(count: int) -> bytes:
    """An icon in which one picture stands again and again."""
    picture = encoded("PNG")
    entry = struct.pack("<BBBBHHII", 8, 8, 0, 0, 1, 32, len(picture), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + count * entry + picture


def long_runs(count: int) -> bytes:
    """A bitmap of runs of one pixel each, which Pillow decodes in Python."""
    runs = count * b"\x01\x01" + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, 4000, 4000, 1, 8, 1, len(runs), 0, 0, 256, 256)
    return b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078) + head + bytes(1024) + runs


def many_tags(count: int, order: str = "<") -> bytes:
    """A TIFF with tags, each of which may be a whole file's bytes."""
    tags = b"".join(struct.pack(f"{order}HHII", 1000 + number, 7, 4, 8) for number in range(count))
    begin = b"II*\0" if order == "<" else b"MM\0*"
    return begin + struct.pack(f"{order}IH", 8, count) + tags + bytes(4)


COSTLY = {
    "scans": many_scans(101),
    "scans of a large JPEG": many_scans(60, (4000, 3000)),
    "segments": many_segments(2001),
    "chunks": many_chunks(20_001),
    "notes": many_notes(4001),
    "blocks": many_blocks_in_a_note(4001),
    "icons": many_icons(101),
    "runs": long_runs(1_100_000),
    "tags": many_tags(1001),
    "tags, the other way round": many_tags(1001, ">"),
}


def jpeg_in_tiff(jpeg: bytes, size_wh: tuple[int, int]) -> bytes:
    """A TIFF of one strip, which is a JPEG of grays."""
    head = 8 + 2 + 12 * 9 + 4
    numbers = {256: size_wh[0], 257: size_wh[1], 258: 8, 259: 7, 262: 1, 273: head, 277: 1, 278: size_wh[1]}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (numbers | {279: len(jpeg)}).items())
    return b"II*\0" + struct.pack("<IH", 8, 9) + tags + bytes(4) + jpeg


ODD = {
    "notes": encoded("PNG")[:33] + 10_000 * chunk(b"tEXt") + encoded("PNG")[33:],
    "profile": encoded("PNG", icc_profile=b"none"),
    "tags": encoded("TIFF", tiffinfo={40_000 + number: "odd" for number in range(200)}),
    "extra bytes": encoded("JPEG").replace(b"\xff\xda", bytes(100) + b"\xff\xda"),
    "scans in a TIFF": jpeg_in_tiff(many_scans(101, mode="L"), (16, 16)),
    "cut": encoded("TIFF", (64, 64), compression="tiff_lzw")[:-40],
}
"""Pictures that libraries have something to say of, line by line."""
