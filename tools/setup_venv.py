"""Make the virtual environment of the Makefile: locked dependencies, then facepool itself, editable.

Runs on a bare Python, so it imports the standard library only. Does nothing when the environment is up to date.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

MINIMUM = (3, 11)
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Bring the environment to the state of the lock file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    options = parser.parse_args()
    if sys.version_info < MINIMUM:
        version = sys.version.split()[0]
        return _fail(f"facepool needs Python 3.11 or newer, this is {version}. Try: make PYTHON=python3.12 …")

    stamp = options.venv / f"{options.lock.name}.installed"
    wanted = hashlib.sha256(options.lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return 0

    python = options.venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists() and subprocess.run([sys.executable, "-m", "venv", options.venv], check=False).returncode:
        return _fail("Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv")
    print(f"Installing {options.lock.name} into {options.venv} …", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Wheels only: what is built from source runs its author's code on this machine. facepool itself is this folder.
    locked = ["--no-compile", "--only-binary", ":all:", "--require-hashes", "-r", str(options.lock)]
    subprocess.run([*pip, *locked], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)
    # On all cores, which pip does not do, and without the tests of others, which are a quarter of it. Some packages
    # ship files that no Python compiles, so no status is asked for.
    unused = r"site-packages[/\\].*[/\\]tests?[/\\]"
    compile_all = [str(python), "-m", "compileall", "-qq", "-j", "0", "-x", unused]
    subprocess.run([*compile_all, str(options.venv), str(ROOT / "src")], check=False)
    stamp.write_text(wanted)
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
