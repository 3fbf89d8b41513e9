"""Files of a form that are too large for the memory: on the disk they are encrypted, with a key that only memory has.

Starlette puts a file of more than a megabyte, which the photo of a phone is, into the system's folder for temporary
files. It is deleted there from the beginning, and yet somebody's face would lie on the disk until its blocks are
written again. This concerns servers of any pool: what kind it is cannot be known while a body comes.
"""

import secrets
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import BinaryIO, cast

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser

_KEY_BYTES = 32
_BLOCK_BYTES = 16


class _Stream:
    """A file that is written once, from its beginning, and read from anywhere: AES-256 in counter mode.

    No part of the key stream is used twice, as nothing is written over. Nobody is to rely on the content unless the
    file was theirs all the time: it is not authenticated.

    Args:
        file: Empty; closed with this.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._cipher = Cipher(algorithms.AES(secrets.token_bytes(_KEY_BYTES)), modes.CTR(bytes(_BLOCK_BYTES)))
        self._writing = self._cipher.encryptor()
        self._written = 0

    def write(self, data: bytes) -> int:
        """Add something to the end."""
        if self._file.tell() != self._written:
            raise ValueError("the file was read already, and cannot be written any more")
        self._file.write(self._writing.update(data))
        self._written += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """What comes next, at most so many bytes; all that is left if ``size`` is negative."""
        reading = self._from(self._file.tell())
        return reading.update(self._file.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go on from there."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it goes on."""
        return self._file.tell()

    def flush(self) -> None:
        """Give what was written to the system."""
        self._file.flush()

    def fileno(self) -> int:
        """The system's number of the file, which is encrypted."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of the file; the key is forgotten with it."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Whether it is."""
        return self._file.closed

    def _from(self, position: int) -> CipherContext:
        block, within = divmod(position, _BLOCK_BYTES)
        cipher = Cipher(self._cipher.algorithm, modes.CTR(block.to_bytes(_BLOCK_BYTES)))
        reading = cipher.decryptor()
        reading.update(bytes(within))
        return reading


class SealedSpool(SpooledTemporaryFile[bytes]):
    """A file in memory that goes to the disk, encrypted, when it is larger than ``max_size``."""

    _file: BinaryIO
    _rolled: bool

    def rollover(self) -> None:
        """Go to the disk."""
        if self._rolled:
            return
        in_memory, sealed = self._file, _Stream(cast("BinaryIO", TemporaryFile(buffering=0)))  # noqa: SIM115 -- closed with this
        position = in_memory.tell()
        in_memory.seek(0)
        sealed.write(in_memory.read())
        sealed.seek(position)
        self._file, self._rolled = cast("BinaryIO", sealed), True


class SealedForms(MultiPartParser):
    """Reads forms, and keeps their files in `SealedSpool`."""

    def on_headers_finished(self) -> None:
        """A part begins: a file gets another place than it would have."""
        super().on_headers_finished()
        file = self._current_part.file
        if file is not None:
            file.file.close()
            spool = SealedSpool(max_size=self.spool_max_size)
            self._files_to_close_on_error.append(spool)
            self._current_part.file = UploadFile(
                cast("BinaryIO", spool), size=0, filename=file.filename, headers=file.headers
            )
