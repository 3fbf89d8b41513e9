"""What a decoder would work at for long is told by counting, before it is decoded."""

import io

import PIL.Image
import pytest

from facepool.capture import read_image
from facepool.capture.costs import TooCostly, decoding_bytes, refuse_costly, webp_size
from facepool.errors import ImageUnreadable
from support import attacks


@pytest.mark.parametrize("name", attacks.COSTLY)
def test_a_file_that_costs_more_than_it_shows_is_refused_unread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(TooCostly, match="more than"):
        refuse_costly(attacks.COSTLY[name])
    with pytest.raises(ImageUnreadable, match="more than"):
        read_image(attacks.COSTLY[name])


@pytest.mark.parametrize(
    "data",
    [
        attacks.many_scans(30, (4000, 3000)),
        attacks.many_scans(80),
        attacks.many_segments(100),
        attacks.many_chunks(2000),
        attacks.many_notes(100),
        attacks.many_icons(20),
        attacks.long_runs(1000),
        attacks.many_tags(200),
        attacks.jpegs_in_tiff(attacks.many_scans(30, (4000, 3000), "L"), (4000, 3000)),
        attacks.jpegs_in_tiff(attacks.encoded("JPEG", (16, 16), "L"), (16, 32), 2),
        attacks.encoded("TIFF", (64, 64), compression="jpeg"),
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xc2",
        b"\xff\xd8\xff\xda",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"GIF89a" + bytes(4) + b"\xf7\0\0!\xfe\x05",
        b"\0\0\1\0",
        b"BM",
        b"II*\0",
        b"MM\0+" + bytes(3),
    ],
)
def test_what_is_ordinary_or_broken_off_is_left_to_its_reader(data: bytes) -> None:
    refuse_costly(data)


@pytest.mark.parametrize("cut", range(0, 700, 7))
def test_no_cut_makes_counting_fail(cut: int) -> None:
    for data in (
        attacks.encoded("JPEG", progressive=True),
        attacks.encoded("GIF"),
        attacks.encoded("TIFF", compression="jpeg"),
    ):
        refuse_costly(data[:cut])
        decoding_bytes(data[:cut], "JPEG", 64)


def test_a_jpeg_that_appears_bit_by_bit_takes_more_memory() -> None:
    takes = {
        (progressive, subsampling): decoding_bytes(
            attacks.encoded("JPEG", progressive=progressive, subsampling=subsampling), "JPEG", 1_000_000
        )
        for progressive in (False, True)
        for subsampling in (0, 2)
    }
    assert takes == {
        (False, 0): 4_000_000,
        (False, 2): 4_000_000,
        (True, 0): 10_000_000,
        (True, 2): 7_000_000,
    }


@pytest.mark.parametrize(
    ("mode", "options"), [("RGB", {}), ("RGB", {"lossless": True}), ("RGBA", {"exif": b"Exif\0\0"})]
)
def test_the_size_of_a_webp_is_known_by_its_head(mode: str, options: dict[str, object]) -> None:
    data = attacks.encoded("WEBP", (300, 200), mode, **options)
    assert webp_size(data) == (300, 200)
    assert webp_size(data[:20]) == (0, 0)
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.size == (300, 200)
