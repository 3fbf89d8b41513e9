"""The original project's command; ``python recognize.py --help`` lists its flags."""

import sys

from facepool.cli.commands.original import recognize
from facepool.cli.main import run

if __name__ == "__main__":
    sys.exit(run(recognize))
