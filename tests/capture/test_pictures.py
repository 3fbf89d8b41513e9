import errno
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facepool.capture import PictureSource, read_image
from facepool.errors import ImageUnreadable, InputError, OutOfMemory, PathMissing, SourceEmpty, TooManyOpenFiles
from support.media import gradient, jpeg
from support.paths import DATA

WITH_ALPHA = DATA / "face_recognition" / "tests" / "32bit.png"


def encode(image: PIL.Image.Image, kind: str = "PNG", exif: PIL.Image.Exif | None = None) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, exif=exif or PIL.Image.Exif())
    return file.getvalue()


def rgb_picture() -> PIL.Image.Image:
    return PIL.Image.fromarray(gradient()[:, :, ::-1])


def test_a_colour_picture_comes_as_bgr(tmp_path: Path) -> None:
    path = tmp_path / "größe 人.png"
    path.write_bytes(encode(rgb_picture()))
    assert np.array_equal(read_image(path), gradient())
    assert np.array_equal(read_image(str(path)), gradient())


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_exif_orientation_is_applied(orientation: int, quarter_turns: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = read_image(encode(rgb_picture(), exif=exif))
    assert np.array_equal(image, np.rot90(gradient(), quarter_turns))
    assert image.flags.c_contiguous


def test_a_16_bit_gray_picture_keeps_its_shades() -> None:
    gray = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    assert read_image(encode(PIL.Image.fromarray(gray)))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_float_picture_is_scaled_from_0_to_1() -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    assert read_image(encode(PIL.Image.fromarray(values), "TIFF"))[0, :, 1].tolist() == [0, 127, 255, 0]


def test_what_is_transparent_becomes_white() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    assert read_image(encode(PIL.Image.fromarray(pixels))).tolist() == [[[30, 20, 10], [255, 255, 255]]]


@pytest.mark.parametrize(("mode", "kind"), [("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("CMYK", "TIFF")])
def test_every_mode_of_a_half_white_picture_comes_as_bgr(mode: str, kind: str) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, 2:] = 255
    image = read_image(encode(PIL.Image.fromarray(pixels).convert(mode), kind))
    assert image.dtype == np.uint8
    assert np.array_equal(image, pixels)


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    image = read_image(encode(PIL.Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"))
    assert image.min() > 250


@pytest.mark.shared
def test_a_real_picture_with_alpha_is_read() -> None:
    assert read_image(WITH_ALPHA).shape == (1200, 626, 3)


def test_a_missing_picture_is_named() -> None:
    with pytest.raises(PathMissing, match=r"nowhere\.png"):
        read_image("nowhere.png")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"this is no picture", "not a picture"),
        (jpeg()[:700], "truncated"),
        (encode(rgb_picture())[:-60], ""),
    ],
)
def test_a_broken_picture_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(ImageUnreadable) as caught:
        read_image(data)
    assert why in caught.value.why
    assert caught.value.fix


def test_a_folder_is_not_a_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageUnreadable):
        read_image(tmp_path)


def test_a_heif_picture_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ImageUnreadable, match="Save it as JPEG"):
        read_image(tmp_path / "phone.heic")


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    data = bytearray(encode(rgb_picture()))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ImageUnreadable, match="too many pixels"):
        read_image(bytes(data))


def test_a_large_picture_below_the_guard_gives_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 96 * 64 - 1)
    assert read_image(jpeg()).shape == (64, 96, 3)


def test_broken_exif_does_not_cost_the_picture() -> None:
    data = bytearray(encode(rgb_picture(), "JPEG", exif=None))
    segment = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff"
    data[2:2] = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    assert read_image(bytes(data)).shape == (64, 96, 3)


def test_unreadable_pictures_are_skipped_and_reported(tmp_path: Path) -> None:
    for name, data in {"a.jpg": jpeg(), "b.jpg": b"broken", "c.jpg": jpeg()[:500], "d.jpg": jpeg()}.items():
        (tmp_path / name).write_bytes(data)
    reported: list[tuple[Path, InputError]] = []
    source = PictureSource(sorted(tmp_path.iterdir()), on_skip=lambda path, error: reported.append((path, error)))
    frames = list(source)
    assert [(Path(frame.source).name, frame.index) for frame in frames] == [("a.jpg", 0), ("d.jpg", 3)]
    assert [path.name for path, _ in reported] == ["b.jpg", "c.jpg"]
    assert source.skipped == reported


def test_a_folder_of_only_broken_pictures_is_an_error(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in paths:
        path.write_bytes(b"broken")
    with pytest.raises(ImageUnreadable, match="None of the 2 pictures"):
        list(PictureSource(paths, str(tmp_path)))


def test_the_only_picture_raises_its_own_error() -> None:
    with pytest.raises(PathMissing):
        list(PictureSource(["nowhere.png"]))


def test_no_picture_at_all_is_an_error() -> None:
    with pytest.raises(SourceEmpty):
        PictureSource([])


@pytest.mark.parametrize(
    ("error", "kind"), [(OSError(errno.EMFILE, "Too many open files"), TooManyOpenFiles), (MemoryError(), OutOfMemory)]
)
def test_a_picture_is_not_called_damaged_for_a_limit_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    path = tmp_path / "a.png"
    path.write_bytes(encode(PIL.Image.new("RGB", (8, 8))))
    monkeypatch.setattr(PIL.Image, "open", fail)
    with pytest.raises(kind, match=r"a\.png cannot be read"):
        read_image(path)
