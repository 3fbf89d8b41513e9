"""Faces that are kept for some days are sealed, so that they can be erased by forgetting a few bytes.

A database leaves copies of rows behind wherever it has moved them, and finding them all means to write the whole file
anew. The keys of all sightings are a small table, which is quickly written anew: without its key, what is left of a
face is noise. So this is about erasing, not about secrecy: whoever has the file has the keys that are still in it.

A key is used once for each face and part of it: the stream that hides it is SHAKE-256 (FIPS 202) of all three.
"""

import secrets
from hashlib import shake_256
from typing import Literal

import numpy as np

KEY_BYTES = 32


def new_key() -> bytes:
    """A key for the faces of one sighting."""
    return secrets.token_bytes(KEY_BYTES)


def sealed(content: bytes, key: bytes, face: bytes, part: Literal["embedding", "picture"]) -> bytes:
    """Content that only the key makes readable; or, of what is sealed, the content again.

    Args:
        content: Any number of bytes.
        key: Of the sighting.
        face: The 16 bytes of the face's UUID.
        part: Of the face: no two contents may have the same key, face and part.
    """
    stream = shake_256(key + face + part.encode()).digest(len(content))
    return (np.frombuffer(content, np.uint8) ^ np.frombuffer(stream, np.uint8)).tobytes()
