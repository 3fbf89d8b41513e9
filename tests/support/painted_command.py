"""A command whose networks, here and on Ray, read what is painted: ``python -m support.painted_command WORDS``."""

import sys
from unittest import mock

from facepool.cli import context
from facepool.cli.main import cli, run
from support.painted import PaintedAnalyzer, SlowPaintedAnalyzer


def main() -> int:
    """Run it."""
    with (
        mock.patch.object(context, "load_analyzer", return_value=PaintedAnalyzer()),
        mock.patch.object(context, "AnalyzerRecipe", return_value=SlowPaintedAnalyzer),
    ):
        return run(cli, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
