"""What attackers send: JSON, pictures, forms and pools that are small to make and costly to take."""

import io
import sqlite3
import struct
import zlib
from contextlib import closing
from pathlib import Path

from PIL import Image

_MIB = 1024 * 1024
_MOST_PICTURE = 16 * _MIB


def lists(size: int) -> bytes:
    """JSON of empty lists: three bytes each, hundreds as objects."""
    return b"[" + b"[]," * (size // 3) + b"[]]"


def fields(size: int) -> bytes:
    """A JSON object of fields that nobody knows."""
    return b"{" + b",".join(b'"a%07d":[]' % number for number in range(size // 14)) + b"}"


def nested(depth: int) -> bytes:
    """Lists in lists."""
    return b"[" * depth + b"]" * depth


def jpeg_of_scans(scans: int, side: int = 2000) -> bytes:
    """A progressive JPEG whose last scan is repeated; each refines all of the picture anew."""
    file = io.BytesIO()
    Image.new("L", (side, side), 127).save(file, "JPEG", progressive=True, quality=75)
    data = file.getvalue()
    scan, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[scan:end] * scans + data[end:]


def jpeg2000(side: int = 7000) -> bytes:
    """A JPEG 2000 of a thousand bytes with as many pixels as a picture may have."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 150)).save(file, "JPEG2000", irreversible=True)
    return file.getvalue()


def png(side: int = 7000) -> bytes:
    """A flat PNG with as many pixels as a picture may have."""
    row = b"\0" + bytes([90, 120, 150]) * side
    return _png(side, side, zlib.compress(row * side, 9), b"")


def png_of_chunks(count: int = 1_300_000) -> bytes:
    """A PNG with chunks of no length before its pixel."""
    return _png(1, 1, zlib.compress(b"\0\1\2\3"), _chunk(b"tEXt", b"") * count)


def form_of_parts(size: int, boundary: bytes = b"b") -> bytes:
    """A form of as many tiny parts as fit."""
    part = b"--" + boundary + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    return part * (size // len(part)) + b"--" + boundary + b"--\r\n"


def form_of_line_ends(size: int, boundary: bytes = b"b") -> bytes:
    """A form with one file whose every byte may begin a boundary."""
    head = b"--" + boundary + b'\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n'
    return head + b"\r\n" * (size // 2) + b"\r\n--" + boundary + b"--\r\n"


def form_of_files(files: list[bytes], boundary: bytes = b"b") -> bytes:
    """An ordinary form."""
    head = b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--" + boundary + b"--\r\n"


def endless_pool(pool: Path, path: Path) -> bytes:
    """A copy of a pool whose people are a view without an end.

    Args:
        pool: An ordinary one.
        path: Where the copy is made.
    """
    with closing(sqlite3.connect(pool)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA foreign_keys = OFF")
        columns = [name for _, name, *_ in copy.execute("PRAGMA table_info(persons)")]
        values = ", ".join("'n' || n" if name in ("name", "uuid") else "n" for name in columns)
        copy.execute("DROP TABLE persons")
        copy.execute(
            f"CREATE VIEW persons ({', '.join(columns)}) AS "
            f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT {values} FROM c"
        )
        copy.commit()
        copy.execute("PRAGMA journal_mode = DELETE")
    return path.read_bytes()


def _png(width: int, height: int, pixels: bytes, between: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", head) + between + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
