"""The Milvus server of the tests: what is asked of it elsewhere may rely on this."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import milvus

pytestmark = pytest.mark.milvus
_PATIENCE_S = 60.0


def test_a_server_asks_for_a_login_and_is_empty_for_each_test() -> None:
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    running = milvus.server()
    client = running.client()
    assert client.list_collections() == []
    client.create_collection("left_behind", dimension=4)
    client.close()

    stranger = f"http://127.0.0.1:{running.port}"
    with pytest.raises(MilvusException):
        MilvusClient(stranger, token="root:wrong", timeout=5).list_collections()

    milvus.drop_collections()
    again = running.client()
    assert again.list_collections() == []
    again.close()


def test_a_server_is_gone_with_its_files_when_its_process_is_killed(tmp_path: Path) -> None:
    code = "from support import milvus; print(milvus.MilvusServer().folder, flush=True); import time; time.sleep(99)"
    here = {"PYTHONPATH": str(Path(milvus.__file__).parent.parent), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=here) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        number = int((folder / "pid").read_text())
        process.kill()
    until = time.monotonic() + _PATIENCE_S
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()
    assert not _runs(number)


def _runs(number: int) -> bool:
    try:
        return "milvus" in Path(f"/proc/{number}/cmdline").read_text()
    except OSError:
        return False
