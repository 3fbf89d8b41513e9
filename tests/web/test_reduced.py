"""Pictures of requests are decoded no larger than their faces need, and nothing that is told of them changes."""

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facepool import Analyzer, load_analyzer, read_image
from facepool.errors import ImageUnreadable
from facepool.models.store import ModelStore
from facepool.types import Image, ReducedImage
from facepool.web.services.decoding import Decoder, PixelAllowance

LEAST = 300
WIDTH, HEIGHT = 1285, 966
"""Reduced by four, with something left over."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(2)
    yield decoder
    assert decoder._room._taken.total() == decoder._one_large._taken.total() == decoder._turns._taken.total() == 0
    decoder.close()


@pytest.fixture(scope="module")
def scene() -> Image:
    """Smooth, and no corner like another."""
    x, y = np.meshgrid(np.linspace(0, 200, WIDTH), np.linspace(0, 200, HEIGHT))
    return np.stack([x, y, 250 - (x + y) / 2], axis=2).astype(np.uint8)


def saved(image_bgr: Image, kind: str = "JPEG", *, turn: int = 1, **options: object) -> bytes:
    """The file, lying as EXIF's number of a turn says."""
    exif = PIL.Image.Exif()
    exif[0x0112] = turn
    file = io.BytesIO()
    PIL.Image.fromarray(image_bgr[:, :, ::-1]).save(file, kind, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "turn"), [("JPEG", 1), ("JPEG", 3), ("JPEG", 6), ("progressive", 1), ("PNG", 1), ("PNG", 7), ("TIFF", 6)]
)
def test_it_has_a_quarter_of_the_pixels_a_side_and_can_be_had_as_it_is(
    decoder: Decoder, scene: Image, kind: str, turn: int
) -> None:
    data = saved(scene, "JPEG", turn=turn, progressive=True) if kind == "progressive" else saved(scene, kind, turn=turn)
    whole = read_image(data)
    height, width = whole.shape[:2]
    with decoder.reduced(data, LEAST) as picture:
        assert (picture.scale, picture.size_wh) == (4, (width, height))
        assert picture.image_bgr.shape == (-(-height // 4), -(-width // 4), 3)
        means = whole[: height // 4 * 4, : width // 4 * 4].reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
        assert np.abs(picture.image_bgr[: height // 4, : width // 4] - means).mean() < 1.5
        picture.settle(whole=True)
        assert picture.scale == 1
        assert np.array_equal(picture.image_bgr, whole)


def test_what_is_no_larger_than_need_be_is_left_as_it_is(decoder: Decoder, scene: Image) -> None:
    for data in (saved(scene), saved(scene, "PNG")):
        with decoder.reduced(data, WIDTH // 2 + 1) as picture:
            assert (picture.scale, picture.size_wh) == (1, (WIDTH, HEIGHT))
            assert np.array_equal(picture.image_bgr, read_image(data))
            picture.settle(whole=True)
            assert np.array_equal(picture.image_bgr, read_image(data))


def test_the_rest_of_a_broken_copy_is_reduced_likewise(decoder: Decoder, scene: Image) -> None:
    data = saved(scene)[:-40]
    with decoder.reduced(data, LEAST) as picture:
        assert picture.image_bgr.shape == (-(-HEIGHT // 4), -(-WIDTH // 4), 3)
        picture.settle(whole=True)
        assert np.array_equal(picture.image_bgr, read_image(data))
    with pytest.raises(ImageUnreadable, match="truncated"), decoder.reduced(data[: len(data) // 3], LEAST):
        pass


def test_a_narrow_picture_keeps_a_pixel(decoder: Decoder) -> None:
    for height in (1, 3, 5):
        data = saved(np.full((height, 4000, 3), 99, np.uint8))
        with decoder.reduced(data, LEAST) as picture:
            assert picture.size_wh == (4000, height)
            assert picture.image_bgr.shape[0] >= 1


def test_its_pixels_are_counted_once_and_all_of_them(decoder: Decoder, scene: Image) -> None:
    allowance = PixelAllowance(2 * WIDTH * HEIGHT)
    for data in (saved(scene), saved(scene, "PNG")):
        with decoder.reduced(data, LEAST, on_size=allowance.take) as picture:
            picture.settle(whole=True)
    assert allowance._left == 0


def test_a_jpeg_takes_room_for_what_is_decoded_and_others_for_all_until_it_is_settled(
    decoder: Decoder, scene: Image
) -> None:
    reduced_bytes = 3 * -(-WIDTH // 4) * -(-HEIGHT // 4)
    with decoder.reduced(saved(scene), LEAST):
        assert decoder._room._taken.total() == reduced_bytes
        assert decoder._turns._taken.total() == 0
    with decoder.reduced(saved(scene, "PNG"), LEAST) as picture:
        assert decoder._room._taken.total() == 7 * WIDTH * HEIGHT
        assert decoder._turns._taken.total() == 1
        picture.settle(whole=False)
        assert decoder._room._taken.total() == reduced_bytes
        assert decoder._turns._taken.total() == 0


def test_one_that_nobody_settles_lets_its_process_go(decoder: Decoder, scene: Image) -> None:
    for _ in range(5):
        with decoder.reduced(saved(scene, "PNG"), LEAST):
            pass
    with pytest.raises(ZeroDivisionError), decoder.reduced(saved(scene, "PNG"), LEAST):
        raise ZeroDivisionError
    assert decoder._turns._taken.total() == 0
    assert decoder._idle.qsize() == 2


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("whole", [True, False])
def test_a_process_that_dies_while_it_keeps_a_picture_costs_that_only_where_it_is_needed(
    scene: Image, *, whole: bool
) -> None:
    decoder, data = Decoder(1), saved(scene, "PNG")
    with decoder.reduced(data, LEAST) as picture:
        (number,) = decoder.processes
        os.kill(number, signal.SIGKILL)
        while decoder.processes:
            pass
        if whole:
            with pytest.raises(ImageUnreadable, match="its decoder failed"):
                picture.settle(whole=True)
        else:
            picture.settle(whole=False)
    assert np.array_equal(decoder.decode(data), scene)
    decoder.close()


def test_a_server_that_ends_does_not_wait_for_a_kept_picture(scene: Image) -> None:
    decoder = Decoder(1)
    with decoder.reduced(saved(scene, "PNG"), LEAST) as picture:
        decoder.close()
        picture.settle(whole=False)
    assert decoder.processes == []


@pytest.fixture(scope="module")
def analyzer(open_store: ModelStore) -> Analyzer:
    return load_analyzer(store=open_store)


def test_a_large_face_is_told_the_same_and_a_small_one_is_cut_out_of_the_picture(
    decoder: Decoder, analyzer: Analyzer, photos: Path
) -> None:
    photo = PIL.Image.fromarray(read_image(photos / "person_a_2.jpg")[:, :, ::-1])
    for width, is_whole in ((2600, False), (220, True)):  # neither near the yaw from which on landmarks are refined
        canvas = PIL.Image.new("RGB", (2800, 2700), "gray")
        canvas.paste(photo.resize((width, photo.height * width // photo.width), PIL.Image.Resampling.BICUBIC), (40, 90))
        data = saved(np.asarray(canvas)[:, :, ::-1], turn=6)
        whole = analyzer.analyze(read_image(data))
        with decoder.reduced(data, analyzer.least_side) as picture:
            assert picture.scale == 2
            reduced = analyzer.analyze(picture)
            assert (picture.scale == 1) == is_whole
        assert len(whole) == len(reduced) > 0
        size = float(whole.detections.sizes.min())
        np.testing.assert_allclose(reduced.detections.boxes, whole.detections.boxes, atol=0.02 * size)
        np.testing.assert_allclose(reduced.detections.landmarks, whole.detections.landmarks, atol=0.02 * size)
        np.testing.assert_allclose(reduced.measures.size_px, whole.measures.size_px, rtol=0.02)
        assert (reduced.embeddings * whole.embeddings).sum(axis=1).min() > 0.98


def test_an_image_that_is_its_picture_is_looked_at_as_ever(analyzer: Analyzer, photos: Path) -> None:
    image_bgr = read_image(photos / "person_a_1.jpg")
    expected, found = analyzer.analyze(image_bgr), analyzer.analyze(ReducedImage.whole(image_bgr))
    np.testing.assert_array_equal(found.detections.boxes, expected.detections.boxes)
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
