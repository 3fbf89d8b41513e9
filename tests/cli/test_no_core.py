"""A command that crashes leaves nothing of its memory on the disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_CRASHES = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
sys.argv = ["facepool", "--version"]
from facepool.cli.main import main
try:
    main()
finally:
    os.abort()
"""


@pytest.mark.skipif(os.name != "posix", reason="core dumps and their limits are a matter of POSIX")
def test_a_command_that_crashes_leaves_no_core_behind(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _CRASHES], cwd=tmp_path)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []
