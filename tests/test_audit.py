"""The audit of what is locked fails where it has to, and says why where it cannot be made."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Database(BaseHTTPRequestHandler):
    """Knows of nothing, and hears every question."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """It says nothing."""


@pytest.fixture
def database() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


def audit(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "tools" / "audit.py"), *arguments]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.fixture
def auditor(tmp_path: Path) -> Path:
    """Stands for pip-audit: keeps what it was asked, and ends as it is told to."""
    program = tmp_path / "pip-audit"
    code = "import json, os, pathlib, sys; pathlib.Path(__file__ + '.asked').write_text(json.dumps(sys.argv[1:]))"
    program.write_text(f"#!{sys.executable}\n{code}; sys.exit(int(os.environ['ENDS_WITH']))\n")
    program.chmod(0o700)
    return program


@pytest.mark.skipif(os.name != "posix", reason="the program is a script, which only POSIX starts by its first line")
@pytest.mark.parametrize(("ends_with", "code"), [(0, 0), (1, 1), (2, 1)])
def test_what_is_vulnerable_fails(
    database: str, auditor: Path, monkeypatch: pytest.MonkeyPatch, ends_with: int, code: int
) -> None:
    monkeypatch.setenv("ENDS_WITH", str(ends_with))
    assert audit("--osv-url", database, "--pip-audit", str(auditor)).returncode == code
    asked = json.loads(auditor.with_name("pip-audit.asked").read_text())
    assert asked[asked.index("--osv-url") + 1] == database
    locks = [Path(argument).name for argument in asked if argument.endswith(".lock")]
    assert locks == ["requirements.lock", "requirements-dev.lock"]


def test_a_database_that_is_not_reached_is_said(auditor: Path) -> None:
    told = audit("--osv-url", "http://127.0.0.1:9/v1/query", "--pip-audit", str(auditor))
    assert told.returncode == 0
    assert told.stdout.startswith("Not audited: the database of vulnerabilities is not reached (")
    assert not auditor.with_name("pip-audit.asked").exists()


def test_what_is_locked_is_installed_as_wheels_only() -> None:
    setup, workflow = (ROOT / "tools" / "setup_venv.py"), ROOT / ".github" / "workflows" / "platforms.yml"
    assert '"--only-binary", ":all:", "--require-hashes"' in setup.read_text()
    if workflow.exists():
        assert "--only-binary :all: --require-hashes" in workflow.read_text()
