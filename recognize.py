"""The original project's command; ``python recognize.py --help`` lists its flags."""

import sys

from facepool.cli.main import run
from facepool.cli.original import recognize

if __name__ == "__main__":
    sys.exit(run(recognize))
