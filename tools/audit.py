"""Ask a database of known vulnerabilities about all that is locked; where none is reached, say so.

Runs on a bare Python. pip-audit is installed into a folder that is deleted again: it is no part of what is locked.
"""

import argparse
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")
OSV = "https://api.osv.dev/v1/query"
PIP_AUDIT = "pip-audit>=2.9,<3"
ACCEPTED: dict[str, str] = {}
"""Ids of vulnerabilities that do not concern facepool, and why."""
_PATIENCE_S = 5
_QUESTION = b'{"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "99999"}'


def main(arguments: list[str] | None = None) -> int:
    """1 if anything in the lock files is known to be vulnerable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--osv-url", default=OSV, help="the database; that of osv.dev by default")
    parser.add_argument("--pip-audit", help="the program, if it is installed already")
    options = parser.parse_args(arguments)
    reason = _unreached(options.osv_url)
    if reason:
        print(f"Not audited: the database of vulnerabilities is not reached ({reason}).")
        return 0
    if options.pip_audit:
        return _audit(options.pip_audit, options.osv_url)
    with tempfile.TemporaryDirectory() as folder:
        return _audit(_installed(Path(folder)), options.osv_url)


def _unreached(url: str) -> str:
    """Why the database cannot be asked; nothing if it can."""
    request = urllib.request.Request(url, _QUESTION, {"Content-Type": "application/json"})  # noqa: S310 -- our own
    try:
        urllib.request.urlopen(request, timeout=_PATIENCE_S).close()  # noqa: S310 -- see above
    except urllib.error.URLError as error:
        return str(error.reason)
    except OSError as error:
        return str(error)
    return ""


def _installed(folder: Path) -> str:
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    subprocess.run([str(programs / "python"), *install, PIP_AUDIT], check=True)
    return str(programs / "pip-audit")


def _audit(program: str, url: str) -> int:
    command = [program, "--vulnerability-service", "osv", "--osv-url", url, "--progress-spinner", "off"]
    command += ["--disable-pip", "--no-deps"]  # what is locked, as it is locked
    command += [part for lock in LOCKS for part in ("--requirement", str(lock))]
    command += [part for known in ACCEPTED for part in ("--ignore-vuln", known)]
    return 1 if subprocess.run(command, check=False).returncode else 0


if __name__ == "__main__":
    sys.exit(main())
