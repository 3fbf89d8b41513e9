"""The original project's command; ``python recognize.py --help`` lists its flags."""

import sys

from facepool.cli.commands.original import recognize
from facepool.cli.main import run
from facepool.cli.signals import leave_no_core

if __name__ == "__main__":
    leave_no_core()
    sys.exit(run(recognize))
