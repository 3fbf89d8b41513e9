"""A server that has much to do: everything once that puts somebody's face, name or secret anywhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import httpx
from starlette.testclient import TestClient

from support.ports import free_port

Client = httpx.Client | TestClient
NAME, NAMED_LATER, OF_IMPORT, OF_COLLECTION, ERASED = (
    "Aurelia Quintessa",
    "Balthasar Stranger",
    "Cornelia Imported",
    "Desdemona Apart",
    "Emmerich Erased",
)
KEY_NAME, LOGIN, SEEN_AT = "Marguerite's tablet", "s3cret-of-the-door", "Door of Quintessa"
WORDS = (NAME, NAMED_LATER, OF_IMPORT, OF_COLLECTION, ERASED, KEY_NAME, LOGIN, SEEN_AT)
"""What a thief would look for."""


@dataclass(frozen=True)
class Work:
    """What is needed for it.

    Attributes:
        web: A client of the server.
        photo: File of a face, of more than a megabyte.
        other_photo: Another one's.
        sent_pool: File of a pool with `OF_IMPORT`, to be imported.
        stranger_comes: Somebody whom nobody knows is before a camera, and is kept.
        copies: Make a backup, and restore it.
    """

    web: Client
    photo: bytes
    other_photo: bytes
    sent_pool: bytes
    stranger_comes: Callable[[], None]
    copies: Callable[[], None]


def make_administrator(web: Client) -> None:
    """From now on the client has a key."""
    made = web.post("/v1/keys", json={"name": "Head of security", "role": "admin"}).raise_for_status().json()
    web.headers["x-api-key"] = made["key"]


def be_busy(work: Work) -> None:
    """Do everything once; nobody is left in the pool."""

    def ask(method: str, path: str, **more: object) -> Any:
        answer = work.web.request(method, path, **cast("Any", more))
        assert answer.is_success, (path, answer.text)
        is_json = answer.content and answer.headers["content-type"] == "application/json"
        return answer.json() if is_json else answer.content

    photo, other = ({"files": ("a.png", data)} for data in (work.photo, work.other_photo))
    ask("POST", "/v1/keys", json={"name": KEY_NAME, "role": "recognize"})
    ask("PATCH", "/v1/settings", json={"keep_unknown": True})
    ask("POST", f"/v1/persons/{NAME}/samples", files=photo, params={"force": True})
    ask("PATCH", f"/v1/persons/{NAME}", json={"person": NAME, "notes": f"a friend of {OF_IMPORT}", "tags": [SEEN_AT]})
    ask("POST", "/v1/recognize", files=photo)
    ask("POST", f"/v1/persons/{ERASED}/samples", files=photo, params={"force": True})
    camera = {"source": f"rtsp://door:{LOGIN}@127.0.0.1:{free_port()}/1", "name": SEEN_AT}
    number = ask("POST", "/v1/cameras", json=camera)["id"]
    work.stranger_comes()
    stranger = ask("GET", "/v1/unknown")["groups"][0]
    ask("POST", f"/v1/unknown/{stranger['id']}/name", json={"person": NAMED_LATER, "force": True})
    ask("POST", "/v1/collections", json={"name": "apart"})
    ask("POST", f"/v1/persons/{OF_COLLECTION}/samples", files=other, params={"collection": "apart"})
    ask("POST", "/v1/pool/import", files={"file": ("pool.db", work.sent_pool)})
    exported = ask("GET", "/v1/pool/export")
    ask("POST", "/v1/pool/import", files={"file": ("pool.db", exported)})
    ask("GET", f"/v1/persons/{NAME}/export")
    ask("GET", "/v1/audit")
    work.copies()
    ask("DELETE", f"/v1/persons/{ERASED}")
    ask("DELETE", "/v1/collections/apart")
    ask("DELETE", f"/v1/cameras/{number}")
    ask("DELETE", f"/v1/keys/{KEY_NAME}")
    for name in (NAME, NAMED_LATER, OF_IMPORT):
        ask("DELETE", f"/v1/persons/{name}")
