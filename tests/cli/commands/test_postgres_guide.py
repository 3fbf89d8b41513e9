"""What the guide to PostgreSQL tells to type works, as it stands there, with the rights that it gives."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facepool import open_pool
from support import postgres
from support.commands import Commands, Outcome, typed_here
from support.paths import ROOT
from support.ports import free_port

Typed = Callable[..., Outcome]
pytestmark = pytest.mark.postgres

GUIDE = (ROOT / "docs" / "guides" / "postgresql.md").read_text(encoding="utf-8")
SETTING_UP, READER = re.findall(r"^```text\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def psql(server: postgres.PostgresServer, text: str) -> None:
    """Type something into psql as an administrator; of passwords, nothing is asked."""
    typed = re.sub(r"^\\password (\w+)$", rf"ALTER ROLE \1 PASSWORD '{postgres.PASSWORD}';", text, flags=re.MULTILINE)
    program(server, "psql", "-X", "-v", "ON_ERROR_STOP=1", server.url(), typed=typed)


def program(server: postgres.PostgresServer, name: str, *words: str, typed: str = "") -> str:
    done = subprocess.run(
        [postgres.path_of(name), *words],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        cwd=server.folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.PostgresServer]:
    with postgres.own_server("log_min_duration_statement=0", "log_min_messages=warning") as running:
        psql(running, SETTING_UP)
        yield running


@pytest.fixture
def site(facepool: Commands, server: postgres.PostgresServer) -> Commands:
    """Commands of a machine that uses the database of the guide."""
    facepool.keep_people_in(server.url("facepool", "facepool"))
    return facepool


@pytest.fixture
def typed(site: Commands, photos: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    """Run a command there; Ada is registered."""
    run = typed_here(site, monkeypatch, capfd)
    stored = run("register", "Ada", photos / "person_a_1.jpg")
    assert stored.code == 0, stored.err
    return run


def test_the_role_of_the_guide_has_the_rights_that_it_needs_and_no_others(
    site: Commands, typed: Typed, server: postgres.PostgresServer
) -> None:
    assert site.people() == {"Ada": 1}
    assert typed("keys", "add", "Me", "--role", "admin").code == 0
    assert typed("people", "rename", "Ada", "Ida").code == 0
    assert typed("people", "rename", "Ida", "Ada").code == 0
    assert typed("doctor").out.count("PostgreSQL") == 1
    tables = server.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE tableowner = 'facepool'", "facepool")
    assert tables == [("facepool",)]
    rights = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = 'facepool'"
    assert server.execute(rights) == [(False, False, False, False)]


def test_no_name_is_in_the_log_of_the_server(site: Commands, typed: Typed, server: postgres.PostgresServer) -> None:
    assert typed("people", "rename", "Ada", "Zacharias").code == 0
    assert typed("people", "remove", "Zacharias", "--yes").code == 0
    assert "SELECT" in server.log
    assert "Zacharias" not in server.log


def test_a_reader_recognizes_and_changes_nothing(
    site: Commands, typed: Typed, server: postgres.PostgresServer, photos: Path
) -> None:
    psql(server, READER)
    site.keep_people_in(server.url("facepool", "facepool_reader"))
    (found,) = typed("recognize", photos / "person_a_2.jpg", "--json").records
    assert found["person"] == "Ada"
    assert typed("doctor").code == 0
    refused = typed("register", "Bob", photos / "person_b_1.jpg")
    assert refused.code == 7
    assert "[not_writable]" in refused.error
    assert typed("keys", "list").code != 0
    assert site.people() == {"Ada": 1}


def test_a_dump_of_the_guide_is_restored(site: Commands, typed: Typed, server: postgres.PostgresServer) -> None:
    dump, restore = re.findall(r"^pg_(?:dump|restore) .*$", GUIDE, re.MULTILINE)
    for line in (dump, restore):
        name, *words = line.replace('"$FACEPOOL_POOL"', str(site.address)).split()
        program(server, name, *words)
        if line is dump:
            assert typed("people", "remove", "Ada", "--yes").code == 0
            assert site.people() == {}
    assert site.people() == {"Ada": 1}


def test_two_pools_share_a_database_by_their_schemas(
    site: Commands, typed: Typed, server: postgres.PostgresServer
) -> None:
    server.execute("CREATE SCHEMA faces AUTHORIZATION facepool", "facepool")
    address = f"{site.address}?options=-csearch_path%3Dfaces,public"
    with open_pool(address) as other:
        assert other.people() == []
        other.create("Bob")
    with open_pool(address) as other, open_pool(str(site.address)) as first:
        assert ([one.name for one in other.people()], [one.name for one in first.people()]) == (["Bob"], ["Ada"])


def test_verify_full_sends_nothing_to_a_server_that_cannot_show_who_it_is(
    site: Commands, server: postgres.PostgresServer
) -> None:
    # PostgreSQL of the tests is built without TLS, so that a connection in clear is all that there could be.
    refused = site("people", "list", "--pool", server.url("facepool", "facepool") + "?sslmode=verify-full")
    assert refused.code == 4
    assert "[pool_unreachable]" in refused.error
    assert re.search("SSL|root certificate", refused.error)


def test_of_several_hosts_the_one_that_answers_is_used(
    typed: Typed, site: Commands, server: postgres.PostgresServer, tmp_path: Path
) -> None:
    both = f"postgresql://facepool@127.0.0.1:{free_port()},127.0.0.1:{server.port}/facepool"
    assert [record["person"] for record in typed("people", "list", "--json", "--pool", both).records] == ["Ada"]
    (tmp_path / "services").write_text(
        f"[faces]\nhost=127.0.0.1\nport={server.port}\nuser=facepool\ndbname=facepool\n", encoding="utf-8"
    )
    site.env["PGSERVICEFILE"] = str(tmp_path / "services")
    named = site("people", "list", "--json", "--pool", "postgresql://?service=faces")
    assert [record["person"] for record in named.records] == ["Ada"]
