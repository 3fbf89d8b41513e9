import errno
import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import pillow_heif
import pytest
from PIL.IcoImagePlugin import IcoFile

from facepool import extras
from facepool.capture import PictureSource, open_source, read_image
from facepool.capture.reading import open_picture
from facepool.errors import ImageUnreadable, InputError, OutOfMemory, PathMissing, SourceEmpty, TooManyOpenFiles
from facepool.types import Image
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


def test_a_damaged_heif_picture_is_told_from_others(tmp_path: Path) -> None:
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ImageUnreadable, match="a HEIF picture, truncated or damaged"):
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


def photo(**save: Any) -> bytes:
    """A picture with something in every row: blobs and noise, as a photo has."""
    noise = np.random.default_rng(0).integers(0, 60, (160, 120, 3))
    pixels = np.clip(gradient(size_wh=(120, 160)).astype(int) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    options: dict[str, Any] = {"format": "JPEG", "quality": 90} | save
    PIL.Image.fromarray(pixels).save(file, **options)
    return file.getvalue()


def close(one: Image, other: Image) -> bool:
    return one.shape == other.shape and float(np.abs(one.astype(int) - other).mean()) < 2


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_jpeg_whose_last_bytes_are_missing_is_read(cut: int, progressive: bool) -> None:
    whole = photo(progressive=progressive)
    assert close(read_image(whole[:-cut]), read_image(whole))


def test_a_jpeg_whose_last_tenth_is_missing_is_read_as_far_as_it_goes() -> None:
    whole = photo()
    image = read_image(whole[: len(whole) * 9 // 10])
    assert close(image[:136], read_image(whole)[:136])
    assert image[-1].tolist() == [[128] * 3] * 120


def test_half_a_jpeg_is_refused_as_truncated() -> None:
    whole = photo()
    with pytest.raises(ImageUnreadable, match=r"a JPEG picture, truncated.*Copy or export it again"):
        read_image(whole[: len(whole) // 2])


def test_a_line_end_before_a_jpeg_does_not_cost_the_picture() -> None:
    assert np.array_equal(read_image(b"\r\n" + photo()), read_image(photo()))


def chunk(kind: bytes, data: bytes, *, is_good: bool = True) -> bytes:
    check = zlib.crc32(kind + data) ^ (not is_good)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


@pytest.mark.parametrize(
    "note",
    [
        chunk(b"tEXt", b"Comment\0hello", is_good=False),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2_000_000)),
        chunk(b"iCCP", b"profile\0\0broken", is_good=False),
        chunk(b"tIME", b"\0"),
    ],
)
def test_a_note_in_a_png_does_not_cost_the_picture(note: bytes) -> None:
    data = encode(rgb_picture())
    head = 8 + 25  # the signature and the chunk of width and height
    assert np.array_equal(read_image(data[:head] + note + data[head:]), gradient())


def test_the_content_decides_what_a_picture_is_whatever_its_name(tmp_path: Path) -> None:
    for kind, name in (("HEIF", "a.jpg"), ("JPEG", "b.heic"), ("PNG", "c.jpg"), ("WEBP", "d.png")):
        pillow_heif.register_heif_opener(thumbnails=False)
        path = tmp_path / name
        path.write_bytes(photo(format=kind))
        assert read_image(path).shape == (160, 120, 3), kind
        with open_source(path) as source:
            assert isinstance(source, PictureSource), kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_heif_picture_is_upright(orientation: int) -> None:
    pillow_heif.register_heif_opener(thumbnails=False)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    heif, png = io.BytesIO(), encode(rgb_picture(), exif=exif)
    rgb_picture().save(heif, "HEIF", quality=95, exif=exif.tobytes())
    assert close(read_image(heif.getvalue()), read_image(png))


def test_the_largest_picture_of_an_icon_is_read() -> None:
    assert read_image(encode(rgb_picture().resize((64, 64)), "ICO")).shape == (64, 64, 3)


@pytest.mark.parametrize("kind", ["PNG", "bitmap"])
def test_an_icon_with_a_picture_larger_than_it_says_is_refused_before_that_is_decoded(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Pillow decodes an icon as it opens it."""
    monkeypatch.setattr(IcoFile, "getimage", lambda *_: pytest.fail("it was decoded"))
    heads = {
        "PNG": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 13_000, 13_000),
        "bitmap": struct.pack("<Iii", 40, 13_000, -26_000) + bytes(28),
    }
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 2000, 22) + heads[kind] + bytes(2000)
    with pytest.raises(ImageUnreadable, match="too many pixels"):
        read_image(icon)


def test_a_jpeg_that_is_drawn_over_and_over_is_refused() -> None:
    data = photo(format="JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan, end = data[last:-2], data[-2:]
    assert read_image(data[:-2] + 5 * scan + end).shape == read_image(data).shape
    for many in (data[:-2] + 101 * scan + end, b"\r\n" + data[:-2] + 101 * scan + end):
        with pytest.raises(ImageUnreadable, match="more than 100 scans"):
            read_image(many)


def test_what_looks_like_scans_in_notes_and_behind_a_jpeg_is_none() -> None:
    data = photo(format="JPEG", progressive=True)
    note = b"\xff\xfe" + struct.pack(">H", 2 + 400) + b"\xff\xda" * 200
    assert read_image(data[:2] + note + data[2:] + b"\xff\xda" * 200).shape == read_image(data).shape


@pytest.mark.parametrize("container", [False, True])
def test_a_jpeg_xl_picture_is_read(container: bool) -> None:
    pixels = np.ascontiguousarray(gradient()[:, :, ::-1])
    data = bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=container))
    assert np.array_equal(read_image(data), gradient())
    deep = bytes(imagecodecs.jpegxl_encode(pixels.astype(np.uint16) * 257, lossless=True))
    assert np.array_equal(read_image(deep), gradient())
    with pytest.raises(ImageUnreadable, match="a JPEG XL picture, truncated or damaged"):
        read_image(data[: len(data) // 2])


@pytest.mark.parametrize("size_wh", [(8, 8), (256, 256), (96, 64), (640, 480), (1000, 3), (12345, 17), (100, 20_000)])
def test_the_size_of_a_jpeg_xl_picture_is_known_before_it_is_decoded(size_wh: tuple[int, int]) -> None:
    pixels = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    with open_picture(bytes(imagecodecs.jpegxl_encode(pixels, level=1, effort=1))) as picture:
        assert picture.size == size_wh


@pytest.mark.parametrize(
    ("kind", "extra", "data"),
    [("JXL", "jpegxl", b"\xff\x0a" + bytes(100)), ("HEIF", "heif", b"\0\0\0\x18ftypheic" + bytes(100))],
)
def test_a_format_without_its_package_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, kind: str, extra: str, data: bytes
) -> None:
    for module in extras.EXTRAS[extra].modules:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(PIL.Image.OPEN, kind, raising=False)
    with pytest.raises(ImageUnreadable, match=rf"pip install 'facepool\[{extra}\]', or export them as JPEG"):
        read_image(data)


def test_a_jpeg_xl_bomb_is_refused_before_it_is_decoded() -> None:
    # not small, 2^30 lines of the width 2^30: u(1), u(2) and u(30), twice
    bits = (0 | 3 << 1 | (2**30 - 1) << 3 | 0 << 33 | 3 << 36 | (2**30 - 1) << 38).to_bytes(12, "little")
    with pytest.raises(ImageUnreadable, match="too many pixels"):
        read_image(b"\xff\x0a" + bits + bytes(50))


@pytest.mark.parametrize("first", [0, 1, 2, 5])
def test_a_jpeg_xl_bomb_in_parts_is_refused_too(first: int) -> None:
    pixels = np.zeros((64, 20_000, 3), np.uint8)
    data = bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1))
    begin = b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I4s4sI4s", 20, b"ftyp", b"jxl ", 0, b"jxl ")
    parts = ((0, data[:first]), (1 << 31 | 1, data[first:]))
    boxes = [struct.pack(">I4sI", 12 + len(part), b"jxlp", number) + part for number, part in parts]
    with open_picture(begin + b"".join(boxes)) as picture:
        assert picture.size == (20_000, 64)
        assert picture.convert("RGB").size == (20_000, 64)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "an SVG drawing"),
        (b"\0\0\0\x20ftypmp42" + bytes(40), "a video"),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "a camera's raw file"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "a camera's raw file"),
        (b"8BPS" + bytes(40), "a Photoshop file"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"\0\x05\x16\x07" + bytes(40), "what a Mac keeps"),
        (bytes(5000), "nothing but zeros"),
        (b'{"error": "sign in"}', "text"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(data: bytes, why: str) -> None:
    with pytest.raises(ImageUnreadable) as caught:
        read_image(data)
    assert f"it is {why}" in caught.value.why
    assert caught.value.fix


def test_a_raw_file_is_not_taken_for_its_preview() -> None:
    data = photo(format="TIFF", tiffinfo={254: 1})
    with pytest.raises(ImageUnreadable, match=r"raw file with a small preview.*Export it as JPEG"):
        read_image(data)


@pytest.mark.parametrize(("most", "white"), [(255, 255), (4080, 4095), (65535, 65535)])
def test_whole_numbers_are_scaled_from_the_sensors_own_white(most: int, white: int) -> None:
    gray = np.array([[0, most // 2, most]], np.uint16)
    image = read_image(encode(PIL.Image.fromarray(gray)))
    assert image[0, :, 0].tolist() == [int(255 * value / white) for value in (0, most // 2, most)]


def test_highlights_beyond_white_do_not_make_a_picture_black() -> None:
    values = np.array([[0.0, 1.5, 3.0]], np.float32)
    assert read_image(encode(PIL.Image.fromarray(values), "TIFF"))[0, :, 1].tolist() == [0, 127, 255]


def test_how_many_pixels_are_too_many_is_told() -> None:
    data = bytearray(encode(rgb_picture()))
    data[16:24] = struct.pack(">II", 25_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ImageUnreadable, match=r"500 million, and 179 are read"):
        read_image(bytes(data))


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
