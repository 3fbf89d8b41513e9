"""Download a file so that a break, Ctrl-C or kill costs only what was not yet on the disk."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from facepool.files import storage_errors

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that are to be; None where the server does not say."""

_PAUSES_S = (0.0, 0.5, 2.0)
"""Before each try. The client has no retries of its own that survive a break in the middle of a body."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_PARTIAL = 206
_NOTHING_MORE = 416
_LARGEST = 2**31


class TransferFailed(Exception):
    """The server cannot be reached, does not have the file, or keeps breaking off."""


def download(client: httpx2.Client, url: str, part: Path, report: Report) -> None:
    """Bring ``part`` to the whole file, going on from the bytes that it already has.

    Args:
        client: The HTTP client to use.
        url: Address of the file.
        part: File to complete; what it holds at the start is taken for the file's beginning, so check the digest.
        report: Told about progress.

    Raises:
        TransferFailed: All tries failed; ``part`` keeps what arrived.
        DiskFull: No room.
        NotWritable: No permission.
    """
    why = ""
    for pause_s in _PAUSES_S:
        time.sleep(pause_s)
        try:
            return _go_on(client, url, part, report)
        except httpx2.HTTPStatusError as error:
            why = f"the server answers {error.response.status_code} {error.response.reason_phrase}"
            if error.response.status_code not in _PASSING:
                break
        except httpx2.HTTPError as error:
            why = f"{type(error).__name__}: {error}"
    raise TransferFailed(why.rstrip(": "))


def _go_on(client: httpx2.Client, url: str, part: Path, report: Report) -> None:
    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with client.stream("GET", url, headers=headers) as response:
        if done and response.status_code == _NOTHING_MORE:
            return  # nothing is missing, or the bytes are not this file's: the digest tells
        response.raise_for_status()
        if response.status_code != _PARTIAL:
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        _append(response, part, done, total, report)


def _append(response: httpx2.Response, part: Path, done: int, total: int | None, report: Report) -> None:
    with storage_errors(part), part.open("ab" if done else "wb") as file:
        report(done, total)
        for chunk in response.iter_bytes(1 << 16):
            file.write(chunk)
            done += len(chunk)
            if done > _LARGEST:
                raise TransferFailed("the file is beyond all measure")
            report(done, total)
