"""The demo's photos, and commands that run in a folder of their own."""

from pathlib import Path

import pytest

from commands import Commands
from facepool.models import DEMO_PHOTOS, ModelStore


@pytest.fixture(scope="session")
def photos(open_store: ModelStore) -> Path:
    """The folder with two photos each of two people, and two strangers."""
    for model in ("retinaface-mnet025", "sface"):
        open_store.load(model)
    return open_store.pull_asset(DEMO_PHOTOS)


@pytest.fixture
def facepool(tmp_path: Path, photos: Path, open_store: ModelStore) -> Commands:
    """Commands with an empty pool."""
    del photos  # only now is the pack in the store
    return Commands(tmp_path, open_store.root)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, photos: Path, open_store: ModelStore) -> Commands:
    """Commands with a pool that holds one photo each of Ada and Bob; not to be changed."""
    commands = Commands(tmp_path_factory.mktemp("crowd"), open_store.root)
    tree = commands.folder / "people"
    tree.mkdir()
    (tree / "Ada.jpg").symlink_to(photos / "person_a_1.jpg")
    (tree / "Bob.jpg").symlink_to(photos / "person_b_1.jpg")
    outcome = commands("register", "-s", "people")
    assert outcome.code == 0, outcome.err
    return commands
