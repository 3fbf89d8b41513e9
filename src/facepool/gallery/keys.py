"""The key of an encrypted pool: 32 random bytes, and where it is kept.

`find_key` looks where a key may be, and the first place that has one wins: a file that was named, a credential of
systemd, the keyring of the operating system, and last the environment. It is a raw key for SQLCipher, never a
passphrase: nothing has to be stretched, and nothing can be guessed.

Without the key nobody can read the pool, its owner included.
"""

import hmac
import importlib.util
import os
import re
import secrets
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from facepool.errors import ConfigError, KeyUnusable
from facepool.extras import require
from facepool.files import PRIVATE, storage_errors, sync_folders, write_new

KEY_BYTES = 32
CREDENTIAL = "facepool-key"
"""What the credential is called in a unit: ``LoadCredentialEncrypted=facepool-key:/etc/credstore.encrypted/...``."""
KEY_VARIABLE = "FACEPOOL_KEY"
SERVICE = "facepool"
"""Under which keyrings keep keys, each by the path of its pool."""
NEXT = "next"
"""The entry of a key that becomes that of a pool when all of its files are converted."""
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_LONGEST_FILE = 4096
_REMARKS = "#"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class PoolKey:
    """The key of a pool. Nothing that shows it: no repr, no text, no comparison by its bytes.

    Args:
        content: 32 random bytes.

    Raises:
        ValueError: They are more or fewer.
    """

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        if len(content) != KEY_BYTES:
            raise ValueError("a key of another length")
        self._content = content

    @classmethod
    def new(cls) -> "PoolKey":
        """A key that nobody knows."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def raw(self, salt: str = "") -> str:
        """As SQLCipher wants it, without stretching: ``x'...'``. Nothing that is logged may have it.

        Args:
            salt: Of the file, 32 hex digits; empty: what the file says, or a random one for a new file.
        """
        return f"x'{self._content.hex()}{salt}'"

    @property
    def text(self) -> str:
        """As files and keyrings keep it: 64 hex digits. Nothing that is logged may have it."""
        return self._content.hex()

    @property
    def fingerprint(self) -> str:
        """By which two keys can be told apart, eight hex digits; nothing of the key follows from it."""
        return hmac.digest(self._content, b"fingerprint of a facepool key", "sha256").hex()[:8]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PoolKey) and hmac.compare_digest(self._content, other._content)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[type["PoolKey"], tuple[bytes]]:
        """For processes that work on the same pool."""
        return PoolKey, (self._content,)

    def __repr__(self) -> str:
        return "PoolKey(***)"


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key, and where it came from.

    Attributes:
        key: The key.
        place: Where it was, for people: ``the key file /etc/facepool/key``.
    """

    key: PoolKey
    place: str


def find_key(pool: Path, key_file: Path | None = None) -> FoundKey | None:
    """The key of a pool in a file, from the first place that has one; None: none has.

    The keyring is asked only about a pool that is there and not plain: asking may unlock it, and takes a while.

    Args:
        pool: Its file, which need not be there.
        key_file: A file that was named.

    Raises:
        KeyUnusable: The place that was named, or the first one, has none that can be used.
    """
    if key_file is not None:
        return FoundKey(read_key_file(key_file), f"the key file {key_file}")
    credential = _credential()
    if credential is not None:
        return FoundKey(read_key_file(credential, trusted=True), f"the credential {CREDENTIAL}")
    if looks_encrypted(pool) and importlib.util.find_spec("keyring") is not None:
        text = read_keyring(pool)
        if text is not None:
            return FoundKey(_parsed(text, "The key in the keyring"), "the keyring")
    text = os.environ.get(KEY_VARIABLE)
    if text:
        return FoundKey(_parsed(text, f"The key in {KEY_VARIABLE}"), f"the environment's {KEY_VARIABLE}")
    return None


def is_plain(path: Path) -> bool:
    """Whether a file is an SQLite database that is not encrypted; False where there is none, or it may not be read."""
    return _head(path, len(_SQLITE)) == _SQLITE


def looks_encrypted(path: Path) -> bool:
    """Whether a file could be an encrypted database: whole pages, of noise from the first byte on."""
    head = _head(path, _HEAD_BYTES)
    if len(head) < _HEAD_BYTES or path.stat().st_size % _HEAD_BYTES:
        return False
    return len(set(head)) >= _NOISE


_SQLITE = b"SQLite format 3\0"
_HEAD_BYTES = 512
_NOISE = 190
"""Of 256 values so many are in 512 random bytes: 221 are expected, and 190 are missed once in some billions."""


def _head(path: Path, length: int) -> bytes:
    # Not of a pool that is open here by SQLite: closing a file lets go of the locks that this process has on it.
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return b""
    try:
        return os.read(descriptor, length)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def read_key_file(path: Path, *, trusted: bool = False) -> PoolKey:
    """The key in a file: 64 hex digits, beside lines that begin with ``#``.

    Args:
        path: The file.
        trusted: The system has made it for this process; who else may read it is not asked.

    Raises:
        KeyUnusable: There is no such file, others may read it, or it has no key.
    """
    _check_name(path)
    what = f"The key file {path} cannot be used"
    try:
        with open(path, "rb", opener=_at_once) as file:
            status = os.fstat(file.fileno())
            content = file.read(_LONGEST_FILE + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise KeyUnusable(what, why=error.strerror or str(error), fix="Check its path and who may read it") from error
    if not stat.S_ISREG(status.st_mode):
        raise KeyUnusable(what, why="it is no file", fix="Name a file that holds a key")
    if os.name == "posix" and not trusted:
        _check_owner(what, path, status)
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    return _parsed(text, f"The key file {path}")


def _at_once(path: str, flags: int) -> int:
    """Open what is there without waiting for somebody who writes into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_name(path: Path) -> None:
    """Refuse a key in place of its file, without repeating it."""
    if _HEX.fullmatch(path.name):
        raise KeyUnusable(
            "The key file cannot be used",
            why="a key was named in place of a file, and other users can read it in the list of processes",
            fix="Keep it in a file that only you may read, and name that; facepool pool rekey changes it",
        )


def _check_owner(what: str, path: Path, status: os.stat_result) -> None:
    if status.st_mode & _OTHERS:
        raise KeyUnusable(what, why="other users of this machine may read or change it", fix=f"Run: chmod 600 {path}")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyUnusable(
            what, why="it belongs to another user, who could change it", fix=f"Run: chown {os.geteuid()} {path}"
        )


def _parsed(text: str, what: str) -> PoolKey:
    lines = (line.strip() for line in text.splitlines())
    words = [line for line in lines if line and not line.startswith(_REMARKS)]
    if len(words) == 1 and _HEX.fullmatch(words[0]):
        return PoolKey(bytes.fromhex(words[0]))
    raise KeyUnusable(
        f"{what} cannot be used",
        why="a key is 64 hex digits on a line of its own",
        fix="Name another one; facepool pool encrypt makes one",
    )


def write_key_file(path: Path, key: PoolKey, pool: Path) -> None:
    """Keep a key in a new file that only its owner may read; it is on the disk when the call returns.

    Args:
        path: The file; there must be none of that name.
        key: The key.
        pool: Whose, for a remark in the file: who has several keys can tell them apart.

    Raises:
        KeyUnusable: There is something of that name already.
        StorageError: It cannot be written.
    """
    _check_name(path)
    if os.path.lexists(path):
        raise KeyUnusable(f"The key file {path} cannot be made", why="it is there already", fix="Name another file")
    remark = f"facepool key {key.fingerprint} of {pool.absolute()}, made {datetime.now(UTC):%Y-%m-%d}"
    lines = [f"# {remark.encode('ascii', 'replace').decode()}", "# If you lose it, you lose the pool.", key.text]
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, "\n".join([*lines, ""]).encode(), PRIVATE)
        sync_folders([path])


def _credential() -> Path | None:
    """Where systemd has put the key for this service."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder) / CREDENTIAL
    return path if path.exists() else None


def read_keyring(pool: Path, entry: str = "") -> str | None:
    """What the keyring of the system has for a pool, 64 hex digits; None: nothing, or there is no keyring.

    Args:
        pool: Its file.
        entry: Another key of the same pool than the one in use.
    """
    import keyring  # noqa: PLC0415 -- of an extra, and slow to load
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        return keyring.get_password(SERVICE, _user(pool, entry))
    except (KeyringError, RuntimeError):  # none that can be used: on a server, or locked and nobody to ask
        return None


def write_keyring(pool: Path, key: PoolKey, entry: str = "") -> None:
    """Keep the key of a pool in the keyring of the system, and make sure that it is there.

    Raises:
        KeyUnusable: There is no keyring that can be used.
    """
    require("encrypted")
    import keyring  # noqa: PLC0415 -- of an extra, and slow to load
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        keyring.set_password(SERVICE, _user(pool, entry), key.text)
        kept = keyring.get_password(SERVICE, _user(pool, entry))
    except (KeyringError, RuntimeError) as error:
        kept = None
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
    else:
        why = "what was kept there cannot be read again"
    if kept is None or PoolKey(bytes.fromhex(kept)) != key:
        raise KeyUnusable("The key cannot be kept in the keyring", why=why, fix="Keep it in a file: --key-file FILE")


def promote_keyring(pool: Path) -> None:
    """Make the key that waits in the keyring that of the pool; the one before stays there, by its fingerprint.

    Backups that were made before need that one.
    """
    waiting = read_keyring(pool, NEXT)
    if waiting is None:
        return
    key, before = PoolKey(bytes.fromhex(waiting)), read_keyring(pool)
    if before is not None and before != waiting:
        write_keyring(pool, PoolKey(bytes.fromhex(before)), PoolKey(bytes.fromhex(before)).fingerprint)
    write_keyring(pool, key)
    delete_from_keyring(pool, NEXT)


def delete_from_keyring(pool: Path, entry: str = "") -> None:
    """Take the key of a pool out of the keyring of the system, where there is one."""
    if importlib.util.find_spec("keyring") is None:
        return
    import keyring  # noqa: PLC0415 -- of an extra, and slow to load
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        keyring.delete_password(SERVICE, _user(pool, entry))
    except (KeyringError, RuntimeError):
        return


def _user(pool: Path, entry: str) -> str:
    return f"{pool.resolve()}{f' ({entry})' if entry else ''}"


def no_key_for(what: str, why: str) -> ConfigError:
    """The error for a pool of a kind that is not encrypted by facepool."""
    return ConfigError(
        f"{what} takes no key",
        why=why,
        fix="Leave --key-file out, or use a .db file; docs/guides/encryption.md has what protects the others",
    )
