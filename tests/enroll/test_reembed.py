"""Taking a pool to another model: what stays, what goes, and that nothing goes unasked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facepool.enroll.reembed import reembed
from facepool.errors import ConfigError, PoolChanged, SpaceMismatch
from facepool.faces.analyze import Analyzer, face_jpeg
from facepool.gallery import Pool, open_pool
from facepool.search import Search
from facepool.types import AlignedFaces, EmbeddingSpace, Floats, Pose, Sample
from support.pools import FILES, MEASURED, POSTGRES, place, samples, space, unit
from support.sightings import ROOMY, faces, sighting

OTHER = space(dimension=12, model="other-net", weights="cd" * 32)


class Grey(Analyzer):
    """Embeds a face by how bright it is, in a space of its own."""

    def __init__(self, *, meanwhile: Pool | None = None) -> None:
        self._meanwhile = meanwhile

    @property
    def space(self) -> EmbeddingSpace:
        return OTHER

    def embed(self, aligned: AlignedFaces) -> Floats:
        if self._meanwhile is not None:
            self._meanwhile.create("Somebody new")
        vectors = np.zeros((len(aligned), OTHER.dimension), np.float32)
        vectors[np.arange(len(aligned)), np.rint(aligned.images_bgr.mean(axis=(1, 2, 3)) / 20).astype(int)] = 1
        return vectors


def pictured(seed: int, grey: int) -> Sample:
    face = np.full((112, 112, 3), grey, np.uint8)
    return replace(samples(seed)[0], quality=70.0, pose=Pose(1, 2, 3), picture=face_jpeg(face))


@pytest.fixture(params=[FILES[0], pytest.param(POSTGRES, marks=pytest.mark.postgres)])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pool]:
    address = place(tmp_path, request.param)
    with open_pool(address, space()) as filled:
        filled.register("Ada", [pictured(1, 20), pictured(2, 40)], space())
        filled.register("Bo", [pictured(3, 60)], space(), look_alikes=["Ada"])
    with open_pool(address) as opened:
        yield opened


def test_every_view_gets_the_new_models_vector_and_all_else_stays(pool: Pool) -> None:
    before, pictures = pool.templates(), [pool.picture(template.id) for template in pool.templates()]
    people, seen = pool.people(), Search(pool)
    assert seen.index().vectors.shape == (3, 8)
    told: list[tuple[int, int]] = []
    done = reembed(pool, Grey(), report=lambda count, total: told.append((count, total)))
    assert (done.views, bool(done.lost), done.had_calibration) == (3, False, False)
    assert told[-1] == (3, 3)
    assert pool.space == OTHER
    after = pool.templates()
    assert [template.sample.embedding.argmax() for template in after] == [1, 2, 3]
    same = [
        replace(new, model=old.model, sample=replace(new.sample, embedding=old.sample.embedding))
        for old, new in zip(before, after, strict=True)
    ]
    assert repr(same) == repr(before)
    assert [template.uuid for template in after] == [template.uuid for template in before]
    assert {template.model for template in after} == {"other-net"}
    assert [pool.picture(template.id) for template in after] == pictures
    assert pool.people() == people
    assert pool.look_alikes() == {frozenset(("Ada", "Bo"))}
    index = seen.index()  # as one who has followed it from before
    assert (index.vectors.shape, index.people) == ((3, 12), 2)
    with pytest.raises(ConfigError, match="already"):
        reembed(pool, Grey())


def test_a_calibration_goes_with_the_vectors_that_it_was_of(pool: Pool) -> None:
    pool.set_calibration(replace(MEASURED, space_id=space().id))
    assert reembed(pool, Grey()).had_calibration
    assert pool.calibration() is None


def test_nothing_is_lost_unasked_and_the_names_are_said(pool: Pool) -> None:
    pool.register("Bo", samples(8), space())
    pool.register("Cy", samples(9), space())
    before = pool.revision()
    with pytest.raises(ConfigError, match=r"2, of Bo, Cy; people without a view, until .* again: Cy"):
        reembed(pool, Grey())
    assert (pool.revision(), pool.space) == (before, space())
    done = reembed(pool, Grey(), drop=True)
    assert (done.views, done.lost.views, done.lost.unknown) == (3, 2, ("Cy",))
    assert {person.name: person.templates for person in pool.people()} == {"Ada": 2, "Bo": 1, "Cy": 0}


def test_people_without_any_picture_keep_their_place_when_told(pool: Pool) -> None:
    for name in ("Ada", "Bo"):
        pool.remove(name)
    pool.register("Cy", samples(9), space())
    done = reembed(pool, Grey(), drop=True)
    assert (done.views, done.lost.unknown) == (0, ("Cy",))
    assert (pool.space, [person.name for person in pool.people()]) == (OTHER, ["Cy"])
    pool.register("Cy", [replace(samples(9)[0], embedding=unit(4, 12))], OTHER)
    assert Search(pool, OTHER).nearest(unit(4, 12)[None], 1).candidates[0][0].person == "Cy"


@pytest.mark.parametrize("harm", ["cut", "vast", "nonsense"])
def test_a_picture_that_is_damaged_counts_as_none(pool: Pool, harm: str) -> None:
    whole = pictured(8, 120)
    size = whole.picture.index(b"\xff\xc0") + 5
    damaged = {
        "cut": whole.picture[: len(whole.picture) * 3 // 4],
        "vast": whole.picture[:size] + b"\xff\xdc" * 2 + whole.picture[size + 4 :],
        "nonsense": b"\xff\xd8 nothing \xff\xd9",
    }
    pool.register("Bo", [replace(whole, picture=damaged[harm])], space())
    with pytest.raises(ConfigError, match="views without a picture: 1, of Bo"):
        reembed(pool, Grey())


def test_what_was_kept_of_who_was_seen_goes_only_when_told(pool: Pool) -> None:
    pool.inbox.keep(sighting(), faces(5), ROOMY, "new")
    with pytest.raises(ConfigError, match="sightings that are kept, all of the old model: 1"):
        reembed(pool, Grey())
    assert reembed(pool, Grey(), drop=True).lost.sightings == 1
    assert (pool.inbox.usage().sightings, pool.inbox.count_groups()) == (0, 0)


def test_a_change_by_others_meanwhile_leaves_everything_as_it_was(pool: Pool) -> None:
    with open_pool(pool.address) as other, pytest.raises(PoolChanged):
        reembed(pool, Grey(meanwhile=other))
    assert (pool.space, len(pool.templates())) == (space(), 3)


def test_a_pool_of_npy_files_has_no_pictures(tmp_path: Path) -> None:
    with open_pool(tmp_path / FILES[1], space()) as filled:
        filled.register("Ada", samples(1), space())
    with open_pool(tmp_path / FILES[1]) as npy, pytest.raises(ConfigError, match="has no pictures"):
        reembed(npy, Grey())


def test_a_pool_of_another_model_names_the_command(pool: Pool) -> None:
    with pytest.raises(SpaceMismatch, match="facepool people reembed --embedder other-net"):
        pool.register("Dee", [replace(samples(4)[0], embedding=unit(4, 12))], OTHER)


def test_a_pool_without_any_picture_keeps_its_people_if_told(tmp_path: Path) -> None:
    with open_pool(tmp_path / FILES[0], space()) as filled:
        filled.register("Ada", samples(1), space())
    with open_pool(tmp_path / FILES[0]) as opened:
        assert reembed(opened, Grey(), drop=True).lost.unknown == ("Ada",)
        assert (opened.space, [person.name for person in opened.people()]) == (OTHER, ["Ada"])
