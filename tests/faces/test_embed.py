"""The embedder around its network: a fake graph shows what it was fed."""

from dataclasses import replace

import numpy as np
import pytest

from facepool.errors import ModelUnsupported, SpaceMismatch
from facepool.faces.embed import Embedder, Part
from facepool.geometry import CROP, TEMPLATES, similarity_transforms, transform_points
from facepool.models.catalog import EmbedderSpec
from facepool.runtime import Graph
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


def alone(spec: EmbedderSpec, graph: Graph | None = None) -> Embedder:
    return Embedder([Part(graph or CornerGraph(), spec)], replace(SPACE, dimension=spec.dimension))


def faces(*corners: tuple[int, int, int]) -> AlignedFaces:
    images = np.zeros((len(corners), 112, 112, 3), np.uint8)
    images[:, 0, 0] = np.reshape(corners, (-1, 3))
    return AlignedFaces(images, "arcface-112")


def test_vectors_have_length_one() -> None:
    embedder = alone(EmbedderSpec(dimension=3, mirrored=False))
    np.testing.assert_allclose(embedder.embed(faces((0, 3, 4))), [[0.8, 0.6, 0]], rtol=1e-6)


def test_mirror_averaging_weighs_both_views_alike() -> None:
    crop = faces((0, 0, 200))
    crop.images_bgr[0, 0, -1] = (10, 0, 0)  # the mirror image's corner: a much shorter vector
    embedder = alone(EmbedderSpec(dimension=3))
    np.testing.assert_allclose(embedder.embed(crop), np.array([[1, 0, 1]]) / np.sqrt(2), rtol=1e-6)


def test_one_view_is_a_face_as_it_lies() -> None:
    crop = faces((0, 0, 200))
    crop.images_bgr[0, 0, -1] = (10, 0, 0)
    embedder = alone(EmbedderSpec(dimension=3))
    one_view = replace(crop, one_view=True)
    np.testing.assert_allclose(embedder.embed(one_view), [[1, 0, 0]])
    assert one_view[np.array([0])].one_view


def test_no_face_gives_no_vector() -> None:
    assert alone(EmbedderSpec(dimension=3)).embed(faces()).shape == (0, 3)


def test_quality_follows_the_length_of_what_the_network_gives() -> None:
    spec = EmbedderSpec(dimension=3, mirrored=False, norms=(50, 150))
    lengths = faces((0, 0, 40), (0, 0, 100), (0, 90, 120), (0, 0, 200))
    embedded = alone(spec).embed_with_quality(lengths)
    np.testing.assert_allclose(embedded.qualities, [0, 50, 100, 100])
    assert len(alone(spec).embed_with_quality(faces())) == 0


def test_quality_of_two_views_is_that_of_their_mean_length() -> None:
    crop = faces((0, 0, 60))
    crop.images_bgr[0, 0, -1] = (0, 0, 160)
    embedded = alone(EmbedderSpec(dimension=3, norms=(50, 150))).embed_with_quality(crop)
    np.testing.assert_allclose(embedded.qualities, [60])


def test_lengths_without_a_scale_tell_no_quality() -> None:
    spec = EmbedderSpec(dimension=3, mirrored=False)
    embedded = alone(spec).embed_with_quality(faces((1, 2, 3)))
    assert np.isnan(embedded.qualities).tolist() == [True]


def test_what_was_embedded_together_is_split_again() -> None:
    embedder = alone(EmbedderSpec(dimension=3, mirrored=False, norms=(0, 200)))
    one, none, two = embedder.embed_with_quality(faces((0, 0, 100), (0, 50, 0), (200, 0, 0))).split([1, 0, 2])
    assert [len(part) for part in (one, none, two)] == [1, 0, 2]
    assert [*one.qualities, *two.qualities] == [50, 25, 100]


def test_more_faces_than_a_batch_come_back_in_order() -> None:
    crops = faces(*[(0, 0, i + 1) if i % 2 else (0, i + 1, 0) for i in range(70)])
    vectors = alone(EmbedderSpec(dimension=3, mirrored=False)).embed(crops)
    assert vectors.argmax(axis=1).tolist() == [0 if i % 2 else 1 for i in range(70)]


def test_faces_of_another_template_are_refused() -> None:
    with pytest.raises(SpaceMismatch, match="other"):
        alone(EmbedderSpec(dimension=3)).embed(AlignedFaces(np.zeros((1, 112, 112, 3), np.uint8), "other"))


def test_a_network_that_breaks_its_promise_is_refused() -> None:
    with pytest.raises(ModelUnsupported, match="5 numbers"):
        alone(EmbedderSpec(dimension=5)).embed(faces((1, 2, 3)))


class SideGraph:
    """Embeds a picture as its height and two zeros, whatever it shows."""

    engine = "fake"
    device = "cpu"
    outputs = ("embedding",)

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        return (np.tile(np.array([batch.shape[1], 0, 0], np.float32), (len(batch), 1)),)


class CentreGraph(SideGraph):
    """Embeds a picture as what it shows between its eyes."""

    def run(self, batch: Floats | Image) -> tuple[Floats, ...]:
        return (batch[:, 59, 64].astype(np.float32),)


def test_the_vectors_of_several_networks_stand_side_by_side_each_of_length_one_times_its_weight() -> None:
    parts = [
        Part(CornerGraph(), EmbedderSpec(dimension=3, mirrored=False), 0.8),
        Part(SideGraph(), EmbedderSpec(dimension=3, template="omz-128"), 0.6),
    ]
    embedder = Embedder(parts, replace(SPACE, dimension=6))
    np.testing.assert_allclose(embedder.embed(faces((0, 0, 9))), [[0.8, 0, 0, 0.6, 0, 0]], rtol=1e-6)
    assert embedder.embed(faces()).shape == (0, 6)
    assert embedder.runs_on == "fake (cpu)"


def test_weights_of_another_length_give_vectors_of_length_one() -> None:
    spec = EmbedderSpec(dimension=3, mirrored=False)
    embedder = Embedder([Part(CornerGraph(), spec, 3.0), Part(SideGraph(), spec, 4.0)], replace(SPACE, dimension=6))
    vectors = embedder.embed(faces((0, 5, 9), (1, 2, 3)))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_a_network_of_another_template_sees_its_part_of_the_crop() -> None:
    crops = faces((0, 0, 0))
    crops.images_bgr[0, 50:55, 53:60] = (0, 3, 4)  # between the eyes
    spec = EmbedderSpec(dimension=3, mirrored=False, template="omz-128")
    np.testing.assert_allclose(alone(spec, CentreGraph()).embed(crops), [[0, 0.6, 0.8]], rtol=1e-6)


def test_every_template_lies_within_the_crop() -> None:
    for points, side in TEMPLATES.values():
        (to_crop,) = similarity_transforms(points[np.newaxis], TEMPLATES[CROP][0])
        corners = np.array([[[0, 0], [side - 1, 0], [0, side - 1], [side - 1, side - 1]]], np.float32)
        inside = transform_points(to_crop[np.newaxis], corners)
        assert inside.min() > -0.01
        assert inside.max() < TEMPLATES[CROP][1] - 0.99
