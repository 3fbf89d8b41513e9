"""``facepool pool encrypt``, ``decrypt`` and ``rekey``, and what other commands say of keys."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest

from facepool.gallery import open_pool
from facepool.gallery.collections import create_collection
from facepool.gallery.connection import journal_of
from facepool.gallery.conversion import _commit, _copy, _held
from facepool.gallery.keys import is_plain, read_key_file
from facepool.types import Sample
from facepool.web.services.store import open_store
from reference_pages import commands
from support.commands import Commands, Outcome, typed_here
from support.fake_analyzer import SPACE
from support.pools import KEY, unit

Here = Callable[..., Outcome]


@pytest.fixture
def here(facepool: Commands, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """Run a command in this process, with a pool of Ada, whose collection staff has Bob; no key is anywhere."""
    for name in ("FACEPOOL_KEY", "FACEPOOL_KEY_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("keyring.get_password", lambda _service, _user: None)
    create_collection(facepool.pool, "staff")
    for collection, name in (("default", "Ada"), ("staff", "Bob")):
        with open_pool(facepool.pool, SPACE, collection=collection) as pool:
            pool.register(name, [Sample(unit(1, SPACE.dimension))], SPACE)
    return typed_here(facepool, monkeypatch, capfd)


def people(here: Here, *words: str | Path) -> list[object]:
    outcome = here("people", "list", "--json", *words)
    assert outcome.code == 0, outcome.err
    return [record["person"] for record in outcome.records]


def test_the_warning_comes_before_anything_is_done(
    here: Here, facepool: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "keys" / "pool.key"

    def refuse(question: str, **_: object) -> None:
        raise click.Abort(question)

    monkeypatch.setattr("click.confirm", refuse)
    refused = here("pool", "encrypt", "--key-file", key)
    assert refused.code != 0
    assert "If you lose the key, you lose the pool" in refused.err
    assert refused.err.index("If you lose") < refused.err.index("nothing was encrypted")
    assert not key.exists()
    assert is_plain(facepool.pool)
    assert "say" in here("pool", "encrypt", "--yes").error.lower()


def test_a_pool_is_encrypted_used_and_decrypted(here: Here, facepool: Commands, tmp_path: Path) -> None:
    key, new = tmp_path / "keys" / "pool.key", tmp_path / "keys" / "new.key"
    made = here("pool", "encrypt", "--key-file", key, "--yes", "--json")
    assert made.code == 0, made.err
    assert made.records[0]["files"] == 2
    assert made.records[0]["fingerprint"] == read_key_file(key).fingerprint
    assert read_key_file(key).text not in made.out + made.err
    assert people(here, "--key-file", key) == ["Ada"]
    assert people(here, "--key-file", key, "--collection", "staff") == ["Bob"]
    assert "[key_needed]" in here("people", "list").error
    (tmp_path / "config.toml").write_text(f"key_file = '{key}'\n", encoding="utf-8")
    assert people(here, "--config", tmp_path / "config.toml") == ["Ada"]
    assert "already" in here("pool", "encrypt", "--key-file", key, "--yes").out
    moved_in = facepool.pool.with_suffix(".collections") / "guests.db"
    with open_pool(moved_in, SPACE) as pool:
        pool.create("Cleo")
    assert "[pool_not_encrypted]" in here("people", "list", "--key-file", key, "--collection", "guests").error
    assert "guests.db was not, and is now" in here("pool", "encrypt", "--key-file", key, "--yes").out
    assert people(here, "--key-file", key, "--collection", "guests") == ["Cleo"]
    changed = here("pool", "rekey", "--key-file", key, "--new-key-file", new, "--yes")
    assert changed.code == 0, changed.err
    assert "Backups that were made before need the old key" in changed.err
    wrong = here("people", "list", "--key-file", key)
    assert (wrong.code, "[wrong_key]" in wrong.error) == (4, True)
    assert read_key_file(key).fingerprint in wrong.error
    assert here("pool", "decrypt", "--key-file", new, "--yes").code == 0
    assert "[pool_not_encrypted]" in here("people", "list", "--key-file", new).error
    assert people(here) == ["Ada"]


def test_logins_of_cameras_go_along(here: Here, facepool: Commands, tmp_path: Path) -> None:
    key, logins = tmp_path / "pool.key", facepool.pool.with_suffix(".server.secrets")
    with closing(open_store(facepool.pool)) as store:
        store.secrets.put(None, {"1": "rtsp://ada:secret@door/1"})  # type: ignore[arg-type] # a file takes no database
    with logins.open("rb") as opened:
        assert here("pool", "encrypt", "--key-file", key, "--yes").code == 0
        assert not logins.exists()
        if os.name == "posix":
            assert not opened.read().strip(b"\0"), "overwritten"
    assert here("pool", "decrypt", "--key-file", key, "--yes").code == 0
    assert b"secret@door" in logins.read_bytes()


def test_a_new_pool_is_encrypted_from_its_first_byte(here: Here, tmp_path: Path) -> None:
    pool, key = tmp_path / "new" / "pool.db", tmp_path / "new.key"
    assert here("pool", "encrypt", "--pool", pool, "--key-file", key, "--yes").code == 0
    assert not is_plain(pool)
    assert people(here, "--pool", pool, "--key-file", key) == []


def test_keys_go_to_the_keyring_and_none_is_lost(
    here: Here, facepool: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, str] = {}
    monkeypatch.setattr("keyring.get_password", lambda _service, user: kept.get(user))
    monkeypatch.setattr("keyring.set_password", lambda _service, user, key: kept.update({user: key}))
    monkeypatch.setattr("keyring.delete_password", lambda _service, user: kept.pop(user))
    assert here("pool", "encrypt", "--keyring", "--yes").code == 0
    assert people(here) == ["Ada"]
    (first,) = kept.values()
    assert here("pool", "rekey", "--keyring", "--yes").code == 0
    assert people(here) == ["Ada"]
    assert first in kept.values(), "backups need it"
    assert kept[str(facepool.pool.resolve())] != first
    assert len(kept) == 2


def test_what_was_interrupted_goes_on_with_the_next_command(here: Here, facepool: Commands, tmp_path: Path) -> None:
    key = tmp_path / "pool.key"
    pool = facepool.pool.resolve()
    with _held(pool) as db:
        _copy(db, pool, KEY)
    key.write_text(KEY.text)
    key.chmod(0o600)
    _commit(pool, [pool], in_keyring=False)
    outcome = here("people", "list", "--key-file", key)
    assert "what was left to be done is done now" in outcome.err
    assert "Ada" in outcome.out
    assert not journal_of(pool).exists()


def test_backups_and_exports_have_the_key_of_the_pool(here: Here, facepool: Commands, tmp_path: Path) -> None:
    key, other = tmp_path / "pool.key", tmp_path / "other.key"
    assert here("pool", "backup", "plain.db").code == 0
    assert here("pool", "encrypt", "--key-file", key, "--yes").code == 0
    assert here("pool", "encrypt", "--pool", tmp_path / "x.db", "--key-file", other, "--yes").code == 0
    assert here("pool", "backup", "backup.db", "--key-file", key).code == 0
    assert here("pool", "backup", "open.db", "--plain", "--key-file", key, "--collection", "staff").code == 0
    assert here("pool", "backup", "other.db", "--other-key-file", other, "--key-file", key).code == 0
    assert here("people", "export", "export.db", "--key-file", key).code == 0
    plain = {name: is_plain(facepool.folder / f"{name}.db") for name in ("backup", "open", "other", "export")}
    assert plain == {"backup": False, "open": True, "other": False, "export": False}
    assert not is_plain(facepool.folder / "backup.collections" / "staff.db")
    assert people(here, "--pool", "other.db", "--key-file", other) == ["Ada"]
    for words in (("backup.db",), ("other.db", "--other-key-file", other), ("plain.db",)):
        restored = here("pool", "restore", *words, "--key-file", key, "--yes")
        assert restored.code == 0, restored.err
    assert not is_plain(facepool.pool.with_name(f"{facepool.pool.name}.before-restore"))
    assert "[wrong_key]" in here("pool", "restore", "other.db", "--key-file", key, "--yes").error
    forgotten = here("pool", "restore", "other.db", "--other-key-file", other, "--pool", tmp_path / "y.db", "--yes")
    assert "would not be encrypted" in forgotten.error
    assert not (tmp_path / "y.db").exists()
    imported = here("people", "import", "other.db", "--other-key-file", other, "--key-file", key)
    assert imported.code == 0, imported.err
    told = here("people", "export", "model_faces.npy", "--key-file", key)
    assert "is not encrypted by facepool" in told.err


def test_a_key_that_others_may_read_is_refused(here: Here, tmp_path: Path) -> None:
    key = tmp_path / "pool.key"
    assert here("pool", "encrypt", "--key-file", key, "--yes").code == 0
    if os.name == "posix":
        key.chmod(0o644)
        refused = here("people", "list", "--key-file", key)
        assert (refused.code, "[key_unusable]" in refused.error) == (2, True)
        assert "chmod 600" in refused.error


def test_a_database_takes_no_key(here: Here, tmp_path: Path) -> None:
    key = tmp_path / "pool.key"
    key.write_text(KEY.text)
    key.chmod(0o600)
    told = here("people", "list", "--pool", "postgresql://db/faces", "--key-file", key)
    assert (told.code, "takes no key" in told.error) == (2, True)


def test_every_command_that_opens_a_pool_takes_a_key() -> None:
    for page in commands():
        names = {option.name for option in page.command.params}
        assert "pool" not in names or "key_file" in names, page.path
