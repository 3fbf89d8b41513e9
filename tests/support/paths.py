"""Where things are: the repository, its tests, and the data beside it that is not part of it."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"
"""Pictures, videos and weights for tests that are marked ``shared``; a clone on its own has no such folder."""

DATA = SHARED / "data"
SEED = DATA / "seed"
"""The sample pool of the original project."""
