"""Many templates at once: stored once however often they come, taken along whole, and checked afterwards."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facepool.errors import ConfigError, InvalidEmbedding, SpaceMismatch, TransferIncomplete
from facepool.gallery import Pool, Stored, TemplateBatch, Verified, open_pool, transfer, verify_transfer
from facepool.gallery.batches import SAMPLE_COLUMNS, derived_uuids
from facepool.gallery.sql import SqlGallery
from facepool.types import Floats, Pose, Sample
from support.pools import BACKENDS, DIMENSION, MEASURED, opened, place, samples, space, unit, units

PLAIN = ("a.npy", 0, "", 0, *[None] * (len(SAMPLE_COLUMNS) - 5), "")


@pytest.fixture(params=BACKENDS)
def pool(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pool]:
    with opened(tmp_path, request.param) as pool:
        yield pool


@pytest.fixture(params=BACKENDS)
def target(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pool]:
    (tmp_path / "target").mkdir()
    with open_pool(place(tmp_path / "target", request.param)) as target:
        yield target


def batch_of(names: list[str], vectors: Floats) -> TemplateBatch:
    count = len(names)
    return TemplateBatch(
        names=names,
        person_uuids=[b""] * count,
        vectors=vectors,
        uuids=derived_uuids(names, vectors, space().id),
        created_at=["2026-11-23T10:00:00+00:00"] * count,
        models=["test-net"] * count,
        samples=[PLAIN] * count,
        derived=True,
    )


def names(pool: Pool) -> dict[str, int]:
    return {person.name: person.templates for person in pool.people()}


def fill(pool: Pool) -> None:
    """Somebody with everything that there is, somebody without a template, and a pair."""
    sample = Sample(unit(1), "rtsp://cam", 1.5, Pose(10.0, -5.0, 0.5), 88.0, 0.99, 120.0, 37, "glasses", partial=True)
    pool.register("Ada", [replace(sample, picture=b"jpeg of Ada"), *samples(2)], space())
    pool.register("Bob", [replace(*samples(3), frontal_pose=Pose(1.0, 2.0, 3.0))], space(), look_alikes=["Ada"])
    pool.create("Eve")
    pool.register("Ada", samples(4), space())


def test_a_batch_is_stored_once_however_often_it_comes(pool: Pool) -> None:
    batch = batch_of(["Ada", " Bob ", "Ada", "Ada"], np.concatenate([units(3), units(1)]))
    assert pool.load(batch, space()) == Stored(3, 1, frozenset({"Ada", "Bob"}))
    revision = pool.revision()
    assert pool.load(batch, space()) == Stored(0, 4)
    assert (pool.revision(), names(pool)) == (revision, {"Ada": 2, "Bob": 1})
    pool.rename("Ada", "Zoe")
    assert pool.load(batch, space()).added == 0, "whatever they are called now"
    more = batch_of(["Bob", "Eve"], units(2, seed=9))
    assert pool.load(more, None) == Stored(2, 0, frozenset({"Eve"}), frozenset({"Bob"}))
    (template,) = pool.templates("Eve")
    assert (template.sample.source, template.created_at, template.model) == ("a.npy", more.created_at[0], "test-net")
    assert template.sample.embedding.tobytes() == more.vectors[1].tobytes()


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (batch_of(["Ada"], np.full((1, DIMENSION), np.nan, np.float32)), InvalidEmbedding),
        (batch_of(["Ada", "Bob"], units(2) * np.float32(1.1)), InvalidEmbedding),
        (batch_of(["Ada"], units(1, DIMENSION + 1)), InvalidEmbedding),
        (batch_of(["Ada", "B\nob"], units(2)), ConfigError),
    ],
)
def test_a_batch_with_something_wrong_stores_nothing(
    pool: Pool, tmp_path: Path, batch: TemplateBatch, error: type
) -> None:
    with pytest.raises(error):
        pool.load(batch, space())
    with pytest.raises(SpaceMismatch):
        pool.load(batch_of(["Ada"], units(1)), space(weights="cd" * 32))
    assert (pool.people(), list(tmp_path.iterdir())) == ([], [])


def test_no_templates_store_nothing(pool: Pool, tmp_path: Path) -> None:
    assert pool.load(batch_of([], units(1)[:0]), space()) == Stored()
    assert len(pool.batch()) == 0
    assert list(tmp_path.iterdir()) == []


def test_templates_come_in_batches_one_after_another(pool: Pool) -> None:
    fill(pool)
    numbers, after = [], 0
    while len(batch := pool.batch(after, 3)):
        numbers += list(batch.names)
        after = batch.last_id
    assert numbers == [template.person for template in pool.templates()]


@pytest.mark.parametrize("at_once", [2, 100])
def test_everything_goes_along_in_batches_of_any_size(
    pool: Pool, target: Pool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pool)
    pool.set_calibration(MEASURED)
    monkeypatch.setattr(type(target), "rows_at_once", at_once)
    told: list[tuple[int, int]] = []
    report = transfer(pool, target, lambda done, total: told.append((done, total)))
    assert (report.created, report.added, told[-1]) == (("Ada", "Bob", "Eve"), 4, (4, 4))
    assert verify_transfer(pool, target) == Verified(3, 4)
    assert target.people() == pool.people()
    assert target.look_alikes() == pool.look_alikes()
    assert target.calibration() is None
    for mine, theirs in zip(pool.templates(), target.templates(), strict=True):
        assert mine.sample.embedding.tobytes() == theirs.sample.embedding.tobytes()
        assert replace(theirs, id=mine.id, sample=mine.sample) == mine
        assert replace(theirs.sample, embedding=mine.sample.embedding) == mine.sample
        if pool.keeps_images and target.keeps_images:
            assert target.picture(theirs.id) == pool.picture(mine.id)


@pytest.mark.parametrize("survive", [0, 2])
def test_what_was_interrupted_goes_on_where_it_was(
    pool: Pool, target: Pool, survive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pool)
    load, batches = SqlGallery.load, iter(range(survive))

    def interrupted(self: SqlGallery, *args: object) -> Stored:
        if next(batches, None) is None:
            raise KeyboardInterrupt
        return load(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(type(target), "rows_at_once", 1)
        patched.setattr(SqlGallery, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            transfer(pool, target)
    assert target.size().templates == survive
    with pytest.raises(TransferIncomplete):
        verify_transfer(pool, target)
    report = transfer(pool, target)
    assert (report.added, report.skipped) == (4 - survive, survive)
    assert verify_transfer(pool, target) == Verified(3, 4)
    assert [template.uuid for template in target.templates()] == [template.uuid for template in pool.templates()]


def test_a_picture_that_is_missing_beside_its_view_is_taken_along(pool: Pool, target: Pool, tmp_path: Path) -> None:
    fill(pool)
    with open_pool(tmp_path / "no_pictures.npy") as plain:
        transfer(pool, plain)
        transfer(plain, target)
    assert target.template_ids_with_image() == frozenset()
    report = transfer(pool, target)
    assert (report.added, report.skipped) == (0, 4)
    with_image = pool.keeps_images and target.keeps_images
    assert len(target.template_ids_with_image()) == int(with_image)
    verify_transfer(pool, target)
    revision = target.revision()
    transfer(pool, target)
    assert target.revision() == revision


def test_a_copy_that_lacks_something_is_found_out(pool: Pool, target: Pool) -> None:
    fill(pool)
    transfer(pool, target)
    target.register("Kim", samples(8), space())
    assert verify_transfer(pool, target) == Verified(3, 4)
    (view,) = target.templates("Bob")
    target.remove_template(view.id)
    with pytest.raises(TransferIncomplete, match="'Bob'"):
        verify_transfer(pool, target)
    transfer(pool, target)
    target.remove("Eve")
    with pytest.raises(TransferIncomplete, match="'Eve'"):
        verify_transfer(pool, target)
    transfer(pool, target)
    verify_transfer(pool, target)
