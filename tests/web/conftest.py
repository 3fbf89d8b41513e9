"""A server that most tests of the web can do with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from support.fake_analyzer import FakeAnalyzer
from support.web_client import client_of


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture
def web(tmp_path: Path, analyzer: FakeAnalyzer) -> Iterator[TestClient]:
    with client_of(tmp_path, analyzer) as client:
        yield client
