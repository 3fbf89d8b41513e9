"""Whatever a key of one collection asks for, it is answered as if there were no other.

Every operation of the OpenAPI document is called with names, ids and numbers of another collection, and once more with
made-up ones: both answers have to be the same, and nothing of the other collection may be in them. So an operation that
is added later is tried, too.
"""

import base64
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.websockets import WebSocketDisconnect

from facepool.gallery import open_pool
from facepool.gallery.address import PoolAddress
from facepool.gallery.collections import collections_in
from facepool.recognize.events import Event
from facepool.types import Frame, Sample
from facepool.web.services import ServerOptions, Services
from facepool.web.services.collections import Collections
from facepool.web.services.limits import Limits
from facepool.web.services.store import insert_entry
from support.fake_analyzer import SPACE, FakeAnalyzer, view
from support.hostile_requests import Values, operations_of
from support.pools import POSTGRES, place
from support.sightings import ROOMY, faces, sighting
from support.web_client import HERE, client_of, png

OTHER, OWN, NOWHERE = "zzyzx", "guests", "quuxly"
ENDLESS = "/v1/events"
SECRETS = ("Ada Zzyzxov", "Bob Zzyzxov")
CAMERA, CALLER = "Zzyzx door", "Zzyzx admin"
JPEG = b"\xff\xd8\xff a face of Zzyzx"
_CHANGING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)?|"
    r"fp_[\w-]{43}|fpl_[\w-]+|\b\d+\.\d+\b|erased-[0-9a-f]{16}|\"id\":(\d+|\"[0-9a-f]{32}\")"
)
"""What differs between two answers that say the same."""


@dataclass
class Planted:
    """What the other collection has.

    Attributes:
        texts: Names and ids, by which one may ask for something.
        number: Of rows that are there.
        marks: Bytes that no answer may have but those that were asked with them.
    """

    texts: list[str]
    number: int
    marks: list[bytes]


@pytest.fixture(params=["pool.db", pytest.param(POSTGRES, marks=pytest.mark.postgres)])
def gallery(tmp_path: Path, request: pytest.FixtureRequest) -> PoolAddress:
    return place(tmp_path, request.param)


@pytest.fixture
def web(gallery: PoolAddress, tmp_path: Path, analyzer: FakeAnalyzer) -> Iterator[TestClient]:
    for name in (OTHER, OWN):
        with open_pool(gallery, SPACE, collection=name) as pool:
            pool.make_tables()  # type: ignore[attr-defined]
    options = ServerOptions(limits=Limits("1000000/minute", "1000000/minute"))
    with client_of(tmp_path, analyzer, options, pool=gallery) as client:
        yield client


def collections_of(web: TestClient) -> Collections:
    collections: Collections = web.app.state.collections  # type: ignore[attr-defined]
    return collections


def plant(services: Services, gallery: PoolAddress) -> Planted:
    """Have people, their activity, a camera and an unknown person in the other collection."""
    with open_pool(gallery, SPACE, collection=OTHER) as pool:
        for person, secret in enumerate(SECRETS):
            pool.register(secret, [Sample(view(person, 0), picture=JPEG)], SPACE)
        one = sighting(source=CAMERA)
        kept = pool.inbox.keep(one, faces(1, 2), ROOMY, "new")
        held = pool.inbox.faces([one.id])[one.id]
        templates = [template for secret in SECRETS for template in pool.templates(secret)]
        people = pool.people()
    camera = services.cameras.add("rtsp://127.0.0.1:9/zzyzx", CAMERA, remember=True, by=CALLER)
    with services.store.transaction() as db:
        insert_entry(db, CALLER, "exported", SECRETS[0])
    box = (0.0, 0.0, 1.0, 1.0)
    event = Event("recognized", 1, SECRETS[0], None, 0.9, 0.4, 0.3, 5, 0.0, box, "match", person_id=people[0].id)
    services.activity.emit(CAMERA, Frame(np.zeros((8, 8, 3), np.uint8), CAMERA), [event])
    ids = [*(person.id for person in people), *(template.uuid for template in templates), one.id, *held.ids]
    marks = [mark.encode() for mark in (*SECRETS, *ids, CAMERA, CALLER, OTHER, "zzyzx")]
    pictures = [JPEG, *held.pictures]
    return Planted(
        texts=[SECRETS[0], people[0].id, templates[0].uuid, one.id, held.ids[0], camera.id],
        number=templates[0].id if kept.group is None else kept.group,
        marks=[*marks, *pictures, *map(base64.b64encode, pictures)],
    )


def state(services: Services, gallery: PoolAddress) -> object:
    """All that may not change in the other collection."""
    with open_pool(gallery, SPACE, collection=OTHER) as pool:
        people = {
            person.id: (person, [template.id for template in pool.templates(person.name)]) for person in pool.people()
        }
        sightings = pool.inbox.sightings()
        revision = pool.revision()
    tables = ("server_audit", "server_activity", "server_kept")
    rows = [services.store.read(f"SELECT count(*) FROM {table}") for table in tables]
    cameras = [camera.id for camera in services.cameras.all()]
    return people, sightings, revision, rows, cameras, services.settings, collections_in(gallery)


def content_of(answer: Response) -> bytes:
    """All bytes that an answer tells somebody: of an archive, those of the files in it."""
    told = answer.content + str(sorted(answer.headers.items())).encode()
    if answer.headers.get("content-type") != "application/zip":
        return told
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return told + b"".join(name.encode() + archive.read(name) for name in archive.namelist())


def same_words(answer: Response, texts: Sequence[str]) -> object:
    """An answer without what was asked with, and without ids and times of this moment."""
    if "json" not in answer.headers.get("content-type", ""):
        return answer.status_code, answer.headers.get("content-type")
    told = answer.text
    for number, text in enumerate(texts):
        told = told.replace(text, f"<{number}>") if not text.isdigit() else told
    return answer.status_code, _CHANGING.sub("...", told)


def empty_own(web: TestClient, gallery: PoolAddress) -> None:
    """Nobody is in one's own collection, and it has no camera: what the one request made is not there for the next."""
    with open_pool(gallery, SPACE, collection=OWN) as pool:
        for person in pool.people():
            pool.remove(person.name)
    with collections_of(web).using(OWN) as own:
        for camera in own.cameras.all():
            own.cameras.remove(camera.id)


def asked_for(
    web: TestClient, gallery: PoolAddress, key: str, texts: Sequence[str], picture: bytes
) -> Iterator[tuple[str, dict[str, Any], Response]]:
    """What every operation answers to each of some texts, once where it takes none; what it makes goes again."""
    for operation in operations_of(web.get("/openapi.json").json()):
        asked: set[str] = set()
        for text in texts if operation.path != ENDLESS else ():
            request = operation.request(Values(text, 1, tuple(view(0, 0).tolist()), picture, key))
            if repr(request) in asked:
                continue
            asked.add(repr(request))
            answer = web.request(**request, headers={"x-api-key": key})
            if operation.method != "GET" and answer.status_code < 300:
                empty_own(web, gallery)
            yield operation.label, request, answer


def test_nothing_of_another_collection_is_told_changed_or_hinted_at(
    web: TestClient, gallery: PoolAddress, analyzer: FakeAnalyzer
) -> None:
    collections = collections_of(web)
    key = collections.root.keys.add("Guest", "admin", [OWN])
    collections.root.keys.add(CALLER, "admin", [OTHER])
    picture = png(analyzer.frame(view(0, 0)).image_bgr)
    with collections.using(OTHER) as services:
        planted = plant(services, gallery)
        wrong: list[str] = []
        before = state(services, gallery)
        with_theirs = [
            same_words(answer, planted.texts) for _, _, answer in _marked(web, gallery, key, planted, picture, wrong)
        ]
        assert state(services, gallery) == before
    for name in (OTHER, OWN):
        collections.remove(name, CALLER)
    collections.create(OWN, CALLER)
    made_up = list(map(_made_up, planted.texts))
    without = [
        (label, text, same_words(answer, made_up))
        for label, text, answer in asked_for(web, gallery, key, made_up, picture)
    ]
    for (label, request, alone), beside in zip(without, with_theirs, strict=True):
        if alone != beside:
            wrong.append(f"{label} {request}: {beside} beside another collection, {alone} without")
    assert not wrong, "\n".join(wrong)
    assert len({label for label, *_ in without}) > 60
    assert len(without) > 200


def _marked(
    web: TestClient, gallery: PoolAddress, key: str, planted: Planted, picture: bytes, wrong: list[str]
) -> Iterator[tuple[str, dict[str, Any], Response]]:
    """The same, and what answers tell of the other collection that was not said to them."""
    for label, request, answer in asked_for(web, gallery, key, planted.texts, picture):
        told, said = content_of(answer), repr(request).encode()
        earlier = {text.encode() for text in planted.texts}  # that logs of one's own collection may have by now
        wrong += [
            f"{label} {request} tells {mark[:60]!r}"
            for mark in planted.marks
            if mark in told and mark not in said and mark not in earlier
        ]
        yield label, request, answer


def _made_up(text: str) -> str:
    """Something of the same kind that nobody has; numbers of rows are nobody's in an empty collection."""
    if _CHANGING.fullmatch(text):
        return str(uuid4())
    return "".join({"z": "q", "Z": "Q"}.get(letter, letter) for letter in text)


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_another_collection_by_name_is_as_one_that_is_not_there(web: TestClient, gallery: PoolAddress) -> None:
    collections = collections_of(web)
    key = collections.root.keys.add("Guest", "admin", [OWN])
    values = Values("x", 1, (0.0,), b"", key)
    asked = 0
    for operation in operations_of(web.get("/openapi.json").json()):
        if not operation.names_collection:
            continue
        request = operation.request(values)
        for named in ("query", "header"):
            answers = []
            for name in (OTHER, NOWHERE, "default", "No Name"):
                headers = {"x-api-key": key} | ({"Facepool-Collection": name} if named == "header" else {})
                query = {"collection": name} if named == "query" else {}
                answer = web.request(**{**request, "params": request["params"] | query}, headers=headers)
                answers.append((answer.status_code, answer.text.replace(name, "...")))
            assert set(answers) == {answers[0]}, operation.label
            assert answers[0][0] == 404, operation.label
            asked += 1
    assert asked > 100
    for path in ("/v1/live", "/v1/enroll"):
        told = []
        for name in (OTHER, NOWHERE):
            with (
                pytest.raises(WebSocketDisconnect) as refused,
                web.websocket_connect(f"{HERE}{path}?collection={name}&api_key={key}") as socket,
            ):
                socket.receive_json()
            told.append((refused.value.code, refused.value.reason.replace(name, "...")))
        assert told[0] == told[1]
    assert not [one for one in collections_in(gallery) if one in (NOWHERE, "No Name")]


@pytest.mark.parametrize("gallery", ["pool.db"], indirect=True)
def test_an_event_stream_hears_of_its_own_collection_only(web: TestClient) -> None:
    """`/v1/events` does not end, so it is asked here what it listens to."""
    collections = collections_of(web)
    with collections.using(OTHER) as other, collections.using(OWN) as own:
        assert len({id(one.activity.events) for one in (other, own, collections.root)}) == 3
        shared = {"engine", "keys", "limits", "metrics", "models", "tracks", "options", "root"}
        for name in Services.__dataclass_fields__:
            part, others = getattr(other, name), [getattr(one, name) for one in (own, collections.root)]
            if name not in shared and part is not None and not isinstance(part, str):
                assert all(part is not one for one in others if one is not None), f"{name} is shared"
