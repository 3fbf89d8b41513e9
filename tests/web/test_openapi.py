"""The description of the REST interface: it is valid, and programs that make clients of it make ones that work."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from facepool.web.middleware.authentication import COOKIE
from facepool.web.services import ServerOptions
from support.fake_analyzer import FakeAnalyzer, view
from support.live_server import Server, serving
from support.screen import until
from support.web_client import client_of, png

TYPESCRIPT = Path(__file__).parent / "typescript"
PACKAGES = TYPESCRIPT / "node_modules"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
needs_packages = pytest.mark.skipif(
    shutil.which("node") is None or not PACKAGES.is_dir(),
    reason="needs node, and what npm ci --prefix tests/web/typescript installs",
)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, FakeAnalyzer()) as client:
        yield client


@pytest.fixture
def document(web: TestClient) -> dict[str, Any]:
    described: dict[str, Any] = web.get("/openapi.json").json()
    return described


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def parts(of: Any, at: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document with where it is."""
    if isinstance(of, dict):
        yield at, of
        for key, value in of.items():
            yield from parts(value, f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(of, list):
        for number, value in enumerate(of):
            yield from parts(value, f"{at}/{number}")


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_whatever_points_somewhere_points_to_a_component(document: dict[str, Any]) -> None:
    found = dict(parts(document))
    pointing = [part["$ref"] for part in found.values() if "$ref" in part]
    assert len(pointing) > 500
    assert [target for target in pointing if not target.startswith("#/components/") or target not in found] == []


def test_shapes_stand_once_under_names_that_tell_no_module(document: dict[str, Any]) -> None:
    assert [at for at, part in parts(document["paths"]) if "properties" in part or "$defs" in part] == []
    names = list(document["components"]["schemas"])
    assert [name for name in names if not re.fullmatch(r"([A-Z][a-z0-9]*)+", name)] == []
    used = {part["$ref"].rpartition("/")[2] for _, part in parts(document) if "$ref" in part}
    assert [name for name in names if name not in used] == []


def test_operations_have_short_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert max(Counter(names).values()) == 1
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []
    assert {"list_people", "register", "recognize", "compreface_recognize"} <= set(names)


def test_it_says_how_a_key_comes_and_where_none_is_needed(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {(one["type"], one.get("in"), one.get("name", one.get("scheme"))) for one in schemes.values()} >= {
        ("apiKey", "header", "x-api-key"),
        ("apiKey", "query", "api_key"),
        ("http", None, "basic"),
        ("http", None, "bearer"),
        ("apiKey", "cookie", COOKIE),
    }
    free = {
        (path, method)
        for path, method, operation in operations(document)
        if operation["security"] != [{name: []} for name in schemes]
    }
    assert free == {
        ("/health", "GET"),
        ("/ready", "GET"),
        ("/v1/session", "POST"),
        ("/v1/session", "DELETE"),
        ("/api/v1/config", "GET"),
        ("/api/v1/consistence/status", "GET"),
    }


def test_every_operation_says_what_it_answers_when_something_is_wrong(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        answers = {status: resolved(document, answer) for status, answer in operation["responses"].items()}
        assert {"400", "401", "403", "404", "413", "422", "429", "500", "503"} <= answers.keys(), (method, path)
        for status, answer in answers.items():
            assert answer["description"], (method, path, status)
            if status >= "400":
                assert all("$ref" in described["schema"] for described in answer["content"].values())


def test_files_are_files_for_programs_that_make_clients(document: dict[str, Any]) -> None:
    file = {"type": "string", "format": "binary"}
    schemas = document["components"]["schemas"]
    of_forms = [schemas["PictureFiles"]["properties"]["files"]["items"], schemas["PoolFile"]["properties"]["file"]]
    assert all(file.items() <= described.items() for described in of_forms)
    sent = document["paths"]["/v1/recognize"]["post"]["requestBody"]["content"]
    assert sent["application/octet-stream"]["schema"] == file
    told = document["paths"]["/v1/persons/{name}/export"]["get"]["responses"]["200"]["content"]
    assert {kind: content["schema"] for kind, content in told.items()} == {
        "application/zip": file,
        "application/octet-stream": file,
    }


def resolved(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in answer:
        return answer
    found: dict[str, Any] = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return found


def test_a_picture_may_come_as_bytes_of_no_said_kind(tmp_path: Path) -> None:
    analyzer = FakeAnalyzer()
    with client_of(tmp_path, analyzer) as web:
        picture = png(analyzer.frame(view(0, 0)).image_bgr)
        answer = web.post("/v1/detect", content=picture, headers={"content-type": "application/octet-stream"})
    assert len(answer.json()["pictures"][0]["faces"]) == 1


def test_every_path_refuses_other_methods_and_says_which_it_takes(web: TestClient, document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        concrete = path.replace("{id}", "00000000-0000-4000-8000-000000000000").replace("{", "").replace("}", "")
        told = web.options(concrete)
        allowed = set(told.headers["allow"].split(", "))
        assert told.status_code == 204
        assert allowed >= {method.upper() for method in item} | {"OPTIONS"}, path
        assert ("HEAD" in allowed) == ("GET" in allowed)
        for method in {*METHODS, "HEAD"} - allowed:
            answer = web.request(method, concrete)
            assert (answer.status_code, answer.headers["allow"]) == (405, told.headers["allow"]), (method, path)


@pytest.mark.parametrize(
    "path", ["/health", "/v1/pool", "/metrics", "/api/v1/recognition/subjects", "/openapi.json", "/"]
)
def test_head_is_the_head_of_get(web: TestClient, path: str) -> None:
    got, head = web.get(path), web.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_of_the_event_stream_ends(tmp_path: Path) -> None:
    with serving(tmp_path / "pool.db", FakeAnalyzer()) as server:
        assert httpx.head(f"{server.url}/v1/events", timeout=30).status_code == 200
        assert until(lambda: server.services.limits.sessions == 0)


def test_a_path_for_websockets_says_so(web: TestClient) -> None:
    answer = web.get("/v1/live")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, str, Path]]:
    """A server, a key, and a picture of somebody whom it has not seen yet."""
    analyzer, picture = FakeAnalyzer(), tmp_path / "photo.png"
    picture.write_bytes(png(analyzer.frame(view(0, 0)).image_bgr))
    with serving(tmp_path / "pool.db", analyzer, ServerOptions(keys_always=True)) as running:
        yield running, running.services.keys.add("Client", "enroll"), picture


def described(server: Server, folder: Path) -> Path:
    """The description as a file."""
    file = folder / "openapi.json"
    file.write_bytes(httpx.get(f"{server.url}/openapi.json").content)
    return file


def run(*words: str | Path, cwd: Path | None = None) -> str:
    """Run a program of this environment, and return what it says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "NO_COLOR": "1"}
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=cwd, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


PYTHON_CLIENT = """
import sys
from io import BytesIO
from pathlib import Path
from facepool_client import AuthenticatedClient
from facepool_client.api.compre_face import compreface_recognize
from facepool_client.api.persons import register, sample_picture, show_person
from facepool_client.api.recognition import recognize
from facepool_client.models import PictureFile, PictureFiles
from facepool_client.types import File

address, key, picture = sys.argv[1:]
data = Path(picture).read_bytes()

def photo():
    return File(payload=BytesIO(data), file_name="photo.png", mime_type="image/png")

client = AuthenticatedClient(address, token=key, raise_on_unexpected_status=True)
registered = register.sync("Ada/Bea", client=client, body=PictureFiles([photo()]))
recognized = recognize.sync(client=client, body=photo())
refused = show_person.sync_detailed("Nobody", client=client)
cut_out = sample_picture.sync("Ada/Bea", registered.pictures[0].sample, client=client)
other = compreface_recognize.sync(client=client, body=PictureFile(photo()))
print(registered.stored, recognized.pictures[0].faces[0].person, int(refused.status_code), refused.parsed.code)
print(cut_out.payload.read(3).hex(), other.result[0].subjects[0].subject)
"""


@pytest.mark.slow
def test_openapi_python_client_makes_a_client_that_registers_and_recognizes(
    server: tuple[Server, str, Path], tmp_path: Path
) -> None:
    running, key, picture = server
    made = tmp_path / "made"
    said = run("openapi-python-client", "generate", "--path", described(running, tmp_path), "--output-path", made)
    assert said.split() == ["Generating", str(made)], "it has warnings"
    (made / "try.py").write_text(PYTHON_CLIENT)
    told = run(sys.executable, "try.py", running.url, key, picture, cwd=made)
    assert told.split() == ["1", "Ada/Bea", "404", "person_unknown", "ffd8ff", "Ada/Bea"]


@needs_packages
@pytest.mark.slow
def test_openapi_typescript_makes_a_client_that_registers_and_recognizes(
    server: tuple[Server, str, Path], tmp_path: Path
) -> None:
    running, key, picture = server
    for name in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    tools = PACKAGES / ".bin"
    said = run(tools / "openapi-typescript", described(running, tmp_path), "-o", tmp_path / "api.d.ts")
    assert not re.search("warn|✘", said, re.IGNORECASE), said
    assert run(tools / "tsc", "-p", tmp_path) == ""
    told = run("node", "--no-warnings", tmp_path / "client.js", running.url, key, picture)
    assert json.loads(told) == {
        "stored": 1,
        "person": "Ada/Bea",
        "reason": "match",
        "code": "person_unknown",
        "subjects": ["Ada/Bea"],
    }
