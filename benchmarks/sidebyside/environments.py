"""A virtual environment a peer, made once from its file of exact versions."""

import hashlib
import subprocess
import sys
from pathlib import Path

_PATIENCE_S = 1800


class InstallFailed(Exception):
    """A peer cannot be installed here; the message says why in one line."""


def python_of(pins: Path, cache: Path) -> Path:
    """The interpreter of the environment with these pins, installed if it is not there or the pins have changed.

    Raises:
        InstallFailed: The package index does not have it for this machine, or the environment cannot be made.
    """
    folder = cache / "environments" / pins.stem
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "installed"
    wanted = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return python
    print(f"Installing {pins.stem} …", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    # Nothing is resolved: the file holds the whole environment, so that it is the same next year.
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(pins)])
    stamp.write_text(wanted, encoding="ascii")
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise InstallFailed(f"installing took longer than {_PATIENCE_S // 60} minutes") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error")]
        raise InstallFailed(errors[-1] if errors else f"pip ended with {done.returncode}")
