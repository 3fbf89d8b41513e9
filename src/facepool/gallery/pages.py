"""What is in the pages of an encrypted file, free ones and those of its log included: to prove that somebody is gone.

Asking SQLite shows rows; what was erased may be left in pages that no row is in. A search through the bytes of an
encrypted file finds nothing, whatever is left. So its pages are decrypted here, in memory, as SQLCipher 4 has encrypted
them: AES-256 in CBC mode, with the initialization vector and an HMAC at the end of each page
(https://www.zetetic.net/sqlcipher/design/).
"""

from collections.abc import Iterator
from pathlib import Path

from facepool.extras import require
from facepool.gallery.address import EncryptedFile

_PAGE = 4096
_VECTOR, _RESERVED = 16, 80
_SALT = 16
_LOG_HEADER, _FRAME_HEADER = 32, 24


def decrypted(file: EncryptedFile) -> Iterator[bytes]:
    """What is in each page of a file, and in each frame of its write-ahead log, without its reserved bytes.

    Args:
        file: Its key is not tried: with another one, this is noise. A journal, which is there for moments only, and
            what SQLite has cut off are not looked at.

    Raises:
        ExtraMissing: ``facepool[encrypted]`` is not installed.
        OSError: It cannot be read.
    """
    require("encrypted")
    key = bytes.fromhex(file.key.text)
    yield from _pages(file.path, key, start=0, before=0)
    log = file.path.with_name(f"{file.path.name}-wal")
    if log.exists():
        yield from _pages(log, key, start=_LOG_HEADER, before=_FRAME_HEADER)


def _pages(path: Path, key: bytes, *, start: int, before: int) -> Iterator[bytes]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 -- of an extra

    with path.open("rb") as stream:
        stream.seek(start)
        number = 0
        while len(block := stream.read(before + _PAGE)) == before + _PAGE:
            number = int.from_bytes(block[:4]) if before else number + 1
            page = block[before:]
            vector = page[_PAGE - _RESERVED : _PAGE - _RESERVED + _VECTOR]
            decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
            content = page[_SALT if number == 1 else 0 : _PAGE - _RESERVED]
            yield decryptor.update(content) + decryptor.finalize()
