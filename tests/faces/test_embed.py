"""The embedder around its network: a fake graph shows what it was fed."""

import numpy as np
import pytest

from facepool.errors import ModelUnsupported, SpaceMismatch
from facepool.faces.embed import Embedder
from facepool.models.catalog import EmbedderSpec
from facepool.types import AlignedFaces, EmbeddingSpace, Floats, Image

SPACE = EmbeddingSpace("fake", "0" * 64, "rgb-0-1/1", "arcface-112", mirrored=False, dimension=3)


class CornerGraph:
    """Embeds a face as the three values of its top-left pixel, in the order of a network that takes RGB."""

    engine = "fake"
    device = "cpu"
    outputs = ("embedding",)

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        assert batch.dtype == np.uint8
        return (batch[:, 0, 0, ::-1].astype(np.float32),)


def faces(*corners: tuple[int, int, int]) -> AlignedFaces:
    images = np.zeros((len(corners), 112, 112, 3), np.uint8)
    images[:, 0, 0] = np.reshape(corners, (-1, 3))
    return AlignedFaces(images, "arcface-112")


def test_vectors_have_length_one() -> None:
    embedder = Embedder(CornerGraph(), EmbedderSpec(dimension=3, mirrored=False), SPACE)
    np.testing.assert_allclose(embedder.embed(faces((0, 3, 4))), [[0.8, 0.6, 0]], rtol=1e-6)


def test_mirror_averaging_weighs_both_views_alike() -> None:
    crop = faces((0, 0, 200))
    crop.images_bgr[0, 0, -1] = (10, 0, 0)  # the mirror image's corner: a much shorter vector
    embedder = Embedder(CornerGraph(), EmbedderSpec(dimension=3), SPACE)
    np.testing.assert_allclose(embedder.embed(crop), np.array([[1, 0, 1]]) / np.sqrt(2), rtol=1e-6)


def test_no_face_gives_no_vector() -> None:
    assert Embedder(CornerGraph(), EmbedderSpec(dimension=3), SPACE).embed(faces()).shape == (0, 3)


def test_quality_follows_the_length_of_what_the_network_gives() -> None:
    spec = EmbedderSpec(dimension=3, mirrored=False, norms=(50, 150))
    lengths = faces((0, 0, 40), (0, 0, 100), (0, 90, 120), (0, 0, 200))
    embedded = Embedder(CornerGraph(), spec, SPACE).embed_with_quality(lengths)
    np.testing.assert_allclose(embedded.qualities, [0, 50, 100, 100])
    assert len(Embedder(CornerGraph(), spec, SPACE).embed_with_quality(faces())) == 0


def test_quality_of_two_views_is_that_of_their_mean_length() -> None:
    crop = faces((0, 0, 60))
    crop.images_bgr[0, 0, -1] = (0, 0, 160)
    embedded = Embedder(CornerGraph(), EmbedderSpec(dimension=3, norms=(50, 150)), SPACE).embed_with_quality(crop)
    np.testing.assert_allclose(embedded.qualities, [60])


def test_lengths_without_a_scale_tell_no_quality() -> None:
    spec = EmbedderSpec(dimension=3, mirrored=False)
    embedded = Embedder(CornerGraph(), spec, SPACE).embed_with_quality(faces((1, 2, 3)))
    assert np.isnan(embedded.qualities).tolist() == [True]


def test_what_was_embedded_together_is_split_again() -> None:
    embedder = Embedder(CornerGraph(), EmbedderSpec(dimension=3, mirrored=False, norms=(0, 200)), SPACE)
    one, none, two = embedder.embed_with_quality(faces((0, 0, 100), (0, 50, 0), (200, 0, 0))).split([1, 0, 2])
    assert [len(part) for part in (one, none, two)] == [1, 0, 2]
    assert [*one.qualities, *two.qualities] == [50, 25, 100]


def test_more_faces_than_a_batch_come_back_in_order() -> None:
    crops = faces(*[(0, 0, i + 1) if i % 2 else (0, i + 1, 0) for i in range(70)])
    vectors = Embedder(CornerGraph(), EmbedderSpec(dimension=3, mirrored=False), SPACE).embed(crops)
    assert vectors.argmax(axis=1).tolist() == [0 if i % 2 else 1 for i in range(70)]


def test_faces_of_another_template_are_refused() -> None:
    with pytest.raises(SpaceMismatch, match="other"):
        Embedder(CornerGraph(), EmbedderSpec(dimension=3), SPACE).embed(
            AlignedFaces(np.zeros((1, 112, 112, 3), np.uint8), "other")
        )


def test_a_network_that_breaks_its_promise_is_refused() -> None:
    with pytest.raises(ModelUnsupported, match="5 numbers"):
        Embedder(CornerGraph(), EmbedderSpec(dimension=5), SPACE).embed(faces((1, 2, 3)))
