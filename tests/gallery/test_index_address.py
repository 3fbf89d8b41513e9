"""Where the index of a pool is: what is read, what is refused, and that no password is shown."""

import copy
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepool.config import load_settings
from facepool.errors import ConfigError
from facepool.gallery import PostgresAddress
from facepool.gallery.address import EncryptedFile
from facepool.gallery.index_address import IndexAddress, check_can_have_index, index_address
from support.pools import KEY

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "shown", "uri", "token", "database"),
    [
        ("milvus://db", "milvus://db:19530", "http://db:19530", "", ""),
        (" MILVUS://DB:19531/ ", "milvus://db:19531", "http://db:19531", "", ""),
        ("milvus://ada@db/faces", "milvus://ada@db:19530/faces", "http://db:19530", "ada:", "faces"),
        ("milvus+tls://ada:hunter2@db", "milvus+tls://ada:***@db:19530", "https://db:19530", "ada:hunter2", ""),
        ("milvus://:hunter2@db", "milvus://:***@db:19530", "http://db:19530", "hunter2", ""),
        ("milvus://ada:h%40unter%3A2@[::1]:1", "milvus://ada:***@[::1]:1", "http://[::1]:1", "ada:h@unter:2", ""),
    ],
)
def test_an_address_of_a_server(text: str, shown: str, uri: str, token: str, database: str) -> None:
    address = index_address(text)
    assert (str(address), address.uri, address.token, address.database) == (shown, uri, token, database)
    assert (address.path, address.has_secret) == (None, "***" in shown)
    assert SECRET not in repr(address) + address.place
    assert address == index_address(address) == copy.deepcopy(address) == pickle.loads(pickle.dumps(address))
    assert "ada" not in address.place
    assert address != index_address("milvus://other")


def test_an_address_of_a_file_is_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = index_address("milvus+lite:index.db")
    assert (address.path, address.uri) == (tmp_path / "index.db", str(tmp_path / "index.db"))
    assert str(address) == address.place == f"milvus+lite:{tmp_path / 'index.db'}"
    assert not address.has_secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://db:19530",
        "milvus://",
        "milvus:db",
        f"milvus://ada:{SECRET}@",
        f"milvus://ada:{SECRET}@db:0",
        f"milvus://ada:{SECRET}@db:123456",
        f"milvus://ada:{SECRET}@db/a b",
        f"milvus://ada:{SECRET}/@db",
        f"milvus://ada:{SECRET}%zz@db",
        f"milvus://ada:{SECRET}@db,other",
        "milvus+lite:index",
    ],
)
def test_what_is_none_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError, match="The address of the index cannot be read") as refused:
        IndexAddress(text)
    assert SECRET not in str(refused.value) + str(refused.value.why) + str(refused.value.fix)


@given(st.text(st.characters(exclude_characters="@:/%", exclude_categories=("Cs", "Z", "C")), min_size=3))
def test_what_others_say_of_it_has_no_password_in_it(password: str) -> None:
    address = index_address(f"milvus://ada:{password}@db")
    assert address.token == f"ada:{password}"
    assert address.without_secrets(password) == "***"


def test_encrypted_pools_and_pairs_of_files_can_have_none() -> None:
    check_can_have_index(Path("pool.db"))
    check_can_have_index(PostgresAddress("postgresql://db/faces"))
    with pytest.raises(ConfigError, match=r"encrypted pool pool\.db can have no index"):
        check_can_have_index(EncryptedFile(Path("pool.db"), KEY))
    with pytest.raises(ConfigError, match=r"model_faces\.npy can have no index"):
        check_can_have_index(Path("model_faces.npy"))


def test_the_setting_does_not_leave_the_program_with_its_password(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'index = "milvus://ada:{SECRET}@db"\n', encoding="utf-8")
    settings = load_settings({}, file)
    assert settings.index == index_address(f"milvus://ada:{SECRET}@db")
    assert settings.search_choice().index == settings.index
    assert SECRET not in settings.model_dump_json() + repr(settings)
    assert load_settings({"index": ""}, file).index is None
    file.write_text(f'index = ["milvus://ada:{SECRET}@db"]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="it is no text, but of type list") as refused:
        load_settings({}, file)
    assert SECRET not in str(refused.value)
