"""A picture is made upright and turned into colours some rows at a time, with the same pixels as all at once."""

import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from facepool.capture import reading
from facepool.capture.reading import read_picture

SIZE_WH = (37, 23)


def picture(mode: str) -> PIL.Image.Image:
    """Something of everything, in so many colours."""
    rng = np.random.default_rng(0)
    if mode in ("I;16", "F"):
        values = rng.integers(0, 4000, SIZE_WH[::-1])
        return PIL.Image.fromarray(values.astype(np.uint16) if mode == "I;16" else values.astype(np.float32) / 4000)
    pixels = rng.integers(0, 256, (*SIZE_WH[::-1], 4), dtype=np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


def all_at_once(image: PIL.Image.Image) -> np.ndarray:
    """What a picture is by Pillow's own means."""
    upright = PIL.ImageOps.exif_transpose(image)
    if upright.mode in ("I;16", "F"):
        values = np.asarray(upright, np.float32)
        white = 4095 if upright.mode == "I;16" else 1
        upright = PIL.Image.fromarray(np.clip(values * (255.0 / white), 0, 255).astype(np.uint8))
    if upright.has_transparency_data:
        white_picture = PIL.Image.new("RGBA", upright.size, "white")
        upright = PIL.Image.alpha_composite(white_picture, upright.convert("RGBA"))
    return np.asarray(upright.convert("RGB"))[:, :, ::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("1", "PNG"),
        ("I;16", "PNG"),
        ("F", "TIFF"),
        ("CMYK", "TIFF"),
    ],
)
@pytest.mark.parametrize("band", [1, 400, 10_000])
def test_rows_at_a_time_are_the_same_picture(
    monkeypatch: pytest.MonkeyPatch, mode: str, kind: str, orientation: int, band: int
) -> None:
    monkeypatch.setattr(reading, "_BAND_BYTES", band)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture(mode).save(file, kind, exif=exif)
    with PIL.Image.open(io.BytesIO(file.getvalue())) as image:
        expected = all_at_once(image)
    found = read_picture(file.getvalue())
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected)
