"""The original project's command; ``python register.py --help`` lists its flags."""

import sys

from facepool.cli.main import run
from facepool.cli.original import register

if __name__ == "__main__":
    sys.exit(run(register))
