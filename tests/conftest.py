"""What all tests share: the open pack, pulled once into a store that outlives the run."""

import os
from pathlib import Path

import pytest

from facepool.models import InstalledModel, ModelStore, default_root


@pytest.fixture(scope="session")
def open_store() -> ModelStore:
    """A store for real models: FACEPOOL_TEST_STORE, or the user's own. Nothing is pulled until a test loads it."""
    chosen = os.environ.get("FACEPOOL_TEST_STORE")
    return ModelStore(Path(chosen) if chosen else default_root())


@pytest.fixture(scope="session")
def open_detector(open_store: ModelStore) -> InstalledModel:
    """The open pack's RetinaFace."""
    return open_store.load("retinaface-mnet025")


@pytest.fixture(scope="session")
def open_embedder(open_store: ModelStore) -> InstalledModel:
    """The open pack's SFace."""
    return open_store.load("sface")
