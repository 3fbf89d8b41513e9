"""Pictures of requests as programs send them: without file names, in odd base64, under other kinds of body."""

import asyncio
import base64
import textwrap
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facepool.web.api.pictures import decode_base64, picture_of_part
from support.fake_analyzer import FakeAnalyzer, view
from support.media import gradient, jpeg, server
from support.web_client import png

ADA = 0
EVERY_BYTE = bytes(range(256)) + b"\xfb\xff\xfe"  # with + and / in base64
TEXT = base64.b64encode(EVERY_BYTE).decode()
BOUNDARY = "x" * 20


@pytest.fixture
def picture(analyzer: FakeAnalyzer) -> bytes:
    return png(analyzer.frame(view(ADA, 0)).image_bgr)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "\r\n".join(textwrap.wrap(TEXT, 76)) + "\r\n",
        TEXT.rstrip("="),
        TEXT.replace("+", "-").replace("/", "_"),
        f"data:image/jpeg;base64,{TEXT}",
        f" data:image/jpeg;charset=utf-8;base64,{TEXT}",
        f"DATA:;BASE64,{TEXT}",
        f"data:image/jpeg;base64,{TEXT}".replace("+", "%2B").replace("=", "%3D"),
    ],
)
def test_base64_is_read_as_programs_write_it(text: str) -> None:
    assert decode_base64(text) == EVERY_BYTE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://127.0.0.1/a.jpg", "characters"),
        ("größe", "characters"),
        (TEXT[:-4] + "A", "cut off"),
        ("data:image/jpeg,abc", "not in base64"),
    ],
)
def test_what_is_no_base64_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_base64(text)


def part(data: bytes, headers: str = 'Content-Disposition: form-data; name="file"') -> dict[str, Any]:
    """A form of one part as some microcontrollers write it, without the name of a file."""
    body = b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (BOUNDARY.encode(), headers.encode(), data, BOUNDARY.encode())
    return {"content": body, "headers": {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}}


def test_a_part_without_a_file_name_is_a_picture_if_it_holds_one(web: TestClient, picture: bytes) -> None:
    typed = 'Content-Disposition: form-data; name="file"\r\nContent-Type: image/png'
    for form in (part(picture), part(picture, typed), part(base64.b64encode(picture))):
        answer = web.post("/v1/detect", **form)
        assert answer.status_code == 200, answer.text
    assert [len(seen["faces"]) for seen in web.post("/v1/detect", **part(picture)).json()["pictures"]] == [1]


@pytest.mark.parametrize("data", [jpeg(), b"GIF89a" + bytes(range(256)), png(gradient())])
def test_the_bytes_of_a_part_survive_being_taken_for_text(data: bytes) -> None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # as the framework does it
    assert asyncio.run(picture_of_part(text)) == data


@pytest.mark.parametrize("text", ["BMaria", "GIF", "Ada", "/9j", "RIFF me", "", "\xff\xd8 Ada", "Qk1hcmlh"])
def test_a_name_is_no_picture(text: str) -> None:
    assert asyncio.run(picture_of_part(text)) is None


def test_a_large_part_without_a_file_name_is_read_whole(web: TestClient, picture: bytes) -> None:
    assert web.post("/v1/detect", **part(picture + bytes(3_000_000))).status_code == 200


def test_a_form_of_text_says_what_it_lacks(web: TestClient) -> None:
    answer = web.post("/v1/detect", **part(b"hello"))
    assert (answer.status_code, answer.json()["code"]) == (400, "source_empty")
    assert "'file' is text" in answer.json()["why"]


def test_a_picture_is_read_whatever_the_body_is_called(web: TestClient, picture: bytes) -> None:
    kind = "application/x-www-form-urlencoded"
    for name in (kind, "application/octet-stream"):
        assert web.post("/v1/detect", content=picture, headers={"content-type": name}).status_code == 200
    answer = web.post("/v1/detect", content=b"nothing", headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "body_unsupported")


def test_an_address_in_a_request_is_never_fetched(web: TestClient) -> None:
    asked: list[object] = []
    with server(asked.append) as place:
        address = f"http://{place}/snap.jpg"
        requests: list[dict[str, Any]] = [
            {"json": {"pictures": [{"name": address, "data": address}]}},
            {"json": {"pictures": [{"data": f"data:{address}"}]}},
            {"data": {"file": address}},
            {"files": {"file": (address, address.encode())}},
            part(address.encode()),
            {"content": address.encode(), "headers": {"content-type": "image/jpeg"}},
        ]
        for path in ("/v1/detect", "/v1/embed", "/v1/recognize", "/v1/verify", "/v1/groups", "/v1/persons/Ada/samples"):
            for request in requests:
                assert web.post(path, **request).status_code < 500, (path, request)
        compreface = "/api/v1/recognition/recognize"
        for request in ({"json": {"file": address}}, {"data": {"file": address}}, part(address.encode())):
            assert 400 <= web.post(compreface, **request).status_code < 500, request
    assert not asked
