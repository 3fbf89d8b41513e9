"""The original project's command; ``python register.py --help`` lists its flags."""

import sys

from facepool.cli.commands.original import register
from facepool.cli.main import run

if __name__ == "__main__":
    sys.exit(run(register))
