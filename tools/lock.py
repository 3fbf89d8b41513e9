"""Resolve the dependencies for every platform and write the lock files, with hashes and without any host name.

Only versions that have wheels count: nothing is built where the lock files are installed.
"""

import subprocess
import sys

IN_IMAGE = ("server", "postgres", "mqtt", "encrypted", "heif", "milvus")
"""What `deploy/Containerfile` installs: neither windows nor reports."""
LOCKS = {
    "requirements.lock": ("--extra", "all", "--group", "build"),
    "requirements-dev.lock": ("--extra", "all", "--extra", "milvus", "--extra", "ray", "--group", "dev"),
    "deploy/requirements.lock": (*(f"--extra={name}" for name in IN_IMAGE), "--group", "build"),
}


def main() -> int:
    """Call uv once a lock file."""
    for lock, wanted in LOCKS.items():
        command = ["uv", "pip", "compile", "pyproject.toml", *wanted, "--output-file", lock]
        shape = ["--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade"]
        shape += ["--only-binary", ":all:"]
        bare = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        subprocess.run([*command, "--quiet", *shape, *bare], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
