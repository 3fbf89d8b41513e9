"""Where a pool is: what is read, what is refused, and that no password is shown, whatever it looks like."""

import copy
import pickle
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facepool.errors import ConfigError
from facepool.gallery import PostgresAddress, open_pool, pool_address
from facepool.gallery.address import beside, folder_of, make_folder_of
from facepool.gallery.notices import logs_beside

SECRET = "hunter2"
LOCAL = "postgresql://ada@localhost/faces"


@pytest.fixture(autouse=True)
def _nobody_else_speaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGOPTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("facepool.gallery.address.users_folder", lambda _kind: tmp_path / "data")


def postgres(text: str) -> PostgresAddress:
    address = pool_address(text)
    assert isinstance(address, PostgresAddress)
    return address


@pytest.mark.parametrize("text", ["pool.db", "people/model_faces.npy", r"C:\faces\pool.db", "~/pool.db"])
def test_what_has_no_scheme_is_a_file(text: str) -> None:
    assert pool_address(text) == Path(text)


@pytest.mark.parametrize(
    ("text", "shown", "name"),
    [
        (LOCAL, LOCAL, "faces"),
        ("postgres://ada@localhost/faces", LOCAL, "faces"),
        ("PostgreSQL://ada@localhost/faces\n", LOCAL, "faces"),
        ("postgresql://", "postgresql://", "postgresql"),
        ("postgresql:///faces", "postgresql:///faces", "faces"),
        ("postgresql://ada@", "postgresql://ada@", "ada"),
        ("postgresql://db/?dbname=faces", "postgresql://db/?dbname=faces", "faces"),
        ("postgresql://?service=faces", "postgresql://?service=faces", "faces"),
        ("postgresql://ada:hunter2@db/faces", "postgresql://ada:***@db/faces", "faces"),
        (
            "postgresql://ada:hunter2@db:5432,[2001:db8::1]:5433/faces",
            "postgresql://ada:***@db:5432,[2001:db8::1]:5433/faces",
            "faces",
        ),
        ("postgresql://ada:%2Fh%40unter2@%2Frun%2Fpg/a%20b", "postgresql://ada:***@%2Frun%2Fpg/a%20b", "a b"),
        ("postgresql://ada:hunter2#?&=@db/faces", "postgresql://ada:***@db/faces", "faces"),
        (
            "postgresql://db/faces?user=ada&password=hunter2&sslmode=verify-full",
            "postgresql://db/faces?user=ada&password=***&sslmode=verify-full",
            "faces",
        ),
        ("postgresql://db/f?sslpassword=hunter2", "postgresql://db/f?sslpassword=***", "f"),
        ("postgresql://db/f?PassWord=hunter2", "postgresql://db/f?PassWord=***", "f"),
        ("postgresql://db/f?p%61ssword=hunter2", "postgresql://db/f?p%61ssword=***", "f"),
        ("postgresql://db/f?oauth_client_secret=hunter2", "postgresql://db/f?oauth_client_secret=***", "f"),
        ("postgresql://db/f?scram_client_key=hunter2", "postgresql://db/f?scram_client_key=***", "f"),
        ("postgresql://db/f?passfile=/home/ada/.pgpass", "postgresql://db/f?passfile=/home/ada/.pgpass", "f"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str, name: str) -> None:
    address = postgres(text)
    assert str(address) == shown
    assert repr(address) == f"PostgresAddress({shown!r})"
    assert address.name == name
    assert SECRET not in f"{address} {address!r} {address.name} {address.key} {[address]} {folder_of(address)}"
    assert address.has_secret == ("***" in shown)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:hun@ter2@db/faces",
        "postgresql://ada:hunter2/@db/faces",
        "postgresql://ada:/hunter2@db/faces",
        "postgresql://ada:12/hunter2@db/faces",
        "postgresql://ada:12/x?hunter2=1@db/faces",
        "postgresql://ada:hunter2%@db/faces",
        "postgresql://ada:hunter2%4@db/faces",
        "postgresql://ada:hunter2%zz@db/faces",
        "postgresql://ada:hunter2%00@db/faces",
        "postgresql://ada:hunter2 x@db/faces",
        "postgresql://ada:hunter2%E4@db/faces",
        "postgresql://ada:hunter2\udce4@db/faces",
        "postgresql://ada:hunter2",
        "postgresql://ada:hunter2/faces",
        "postgresql://db/faces?hunter2",
        "postgresql://db/faces?password=hunter2@x",
        "postgresql://db/hunter2/faces",
        "postgresql:/ada:hunter2@db/faces",
        "postgresql:ada:hunter2@db/faces",
        "host=db dbname=faces password=hunter2",
        "password = hunter2",
    ],
)
def test_an_address_that_libpq_reads_otherwise_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        pool_address(text)
    assert SECRET not in f"{refused.value} {refused.value!r}"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:hunter2@db/faces",
        "postgresql://ada:hunter%32@db/faces",
        "postgresql://db/faces?password=hunter2",
        "postgresql://db/faces?sslpassword=hunter2",
    ],
)
def test_what_others_say_of_an_address_is_shown_without_its_password(text: str) -> None:
    said = 'could not read "hunter2" at faces'
    assert postgres(text).without_secrets(said) == 'could not read "***" at faces'
    assert postgres(LOCAL).without_secrets(said) == said


def test_a_path_that_was_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="as text") as refused:
        open_pool(Path("postgresql://ada:hunter2@db/faces.db"))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", ["mysql://ada:hunter2@db/faces", "https://ada:hunter2@host/pool.db"])
def test_no_pool_is_kept_anywhere_else(text: str) -> None:
    with pytest.raises(ConfigError, match=r"neither a file nor a PostgreSQL database") as refused:
        open_pool(text)
    assert SECRET not in str(refused.value)


def test_addresses_are_values() -> None:
    address = postgres("postgresql://ada:hunter2@db/faces")
    assert address == postgres("postgresql://ada:hunter2@db/faces") != postgres(LOCAL)
    assert {address, copy.deepcopy(address), pickle.loads(pickle.dumps(address))} == {address}
    assert pool_address(address) is address


def test_what_lies_beside_a_file_has_its_name() -> None:
    assert beside(Path("people/pool.db"), ".server.pem") == Path("people/pool.server.pem")
    assert logs_beside(Path("pool.db")) == Path("pool.server.db")


def test_what_belongs_to_a_database_lies_in_a_private_folder_of_its_user(tmp_path: Path) -> None:
    address = postgres(LOCAL)
    assert not folder_of(address).exists()  # nothing is made by asking
    make_folder_of(address)
    make_folder_of(address)
    found = beside(address, ".server.pem")
    assert found.parent == folder_of(address)
    assert found.parent.parent == tmp_path / "data" / "postgresql"
    assert found.parent.name.startswith("faces-")
    assert found.name == "pool.server.pem"
    assert found.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "other",
    [
        "postgresql://ada@localhost/other",
        "postgresql://ada@elsewhere/faces",
        "postgresql://ada@localhost:5433/faces",
        "postgresql://ada@localhost/faces?options=-csearch_path%3Dother",
    ],
)
def test_two_pools_never_share_a_folder(other: str) -> None:
    assert folder_of(postgres(other)) != folder_of(postgres(LOCAL))


@pytest.mark.parametrize(
    "same",
    [
        "postgresql://ada:hunter2@localhost/faces",
        "postgres://ada@localhost/faces?sslmode=verify-full",
        "postgresql:///?host=localhost&user=ada&dbname=faces&password=hunter2",
    ],
)
def test_ways_to_connect_do_not_make_another_pool(same: str) -> None:
    assert folder_of(postgres(same)) == folder_of(postgres(LOCAL))


def test_what_the_environment_says_to_libpq_makes_another_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    address = postgres("postgresql:///")
    before = folder_of(address)
    monkeypatch.setenv("PGDATABASE", "faces")
    assert folder_of(address) != before
    assert address.name == "faces"


@pytest.mark.postgres
@given(st.text(alphabet="aS%4072:@/?&=,.[]#+", max_size=12), st.sampled_from(["", "?password=", "?sslpassword="]))
@example("S@S", "")
@example("%a0S", "")
@example("%a0S", "?password=")
@example("S/S", "")
@example("S%2FS:S", "?password=")
def test_what_libpq_takes_for_a_password_is_never_shown(typed: str, option: str) -> None:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    text = f"postgresql://ada:{typed}@db/faces" if not option else f"postgresql://ada@db/faces{option}{typed}"
    try:
        address = postgres(text)
        told = conninfo_to_dict(address.url)
    except (ConfigError, ProgrammingError):
        return  # refused, here or there
    assert (told["user"], told["dbname"]) == ("ada", "faces")
    secret = str(told.get("password") or told.get("sslpassword") or "")
    assert secret == unquote(typed)
    assert address.has_secret == bool(secret)
    assert str(address) == (
        f"postgresql://ada{':***' if secret else ''}@db/faces"
        if not option
        else f"postgresql://ada@db/faces{option}{'***' if secret else ''}"
    )
