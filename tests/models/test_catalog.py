import re

import pytest

from facepool.errors import ModelUnsupported, UnknownModel
from facepool.models.catalog import (
    CATALOG,
    DEFAULT_PACK,
    DEMO_PHOTOS,
    PACKS,
    EmbedderSpec,
    ModelEntry,
    PackageMember,
    find_pack,
    space_of,
)

HEX = re.compile(r"[0-9a-f]{64}")


def test_packs_name_a_detector_and_an_embedder_of_the_catalog() -> None:
    for pack in PACKS.values():
        assert (CATALOG[pack.detector].task, CATALOG[pack.embedder].task) == ("detect", "embed")


def test_the_default_pack_is_free_to_use_and_comes_from_the_package_index_first() -> None:
    pack = find_pack(DEFAULT_PACK)
    for name in (pack.detector, pack.embedder):
        assert not CATALOG[name].licence.restricts_use
        first = CATALOG[name].sources[0]
        assert isinstance(first, PackageMember)
        assert first.archive == "wheel"


@pytest.mark.parametrize("entry", CATALOG.values(), ids=lambda entry: entry.name)
def test_an_entry_says_what_it_hashes_to_and_where_it_can_be_had(entry: ModelEntry) -> None:
    assert HEX.fullmatch(entry.sha256)
    assert entry.sources
    assert isinstance(entry.spec, EmbedderSpec) == (entry.task == "embed")
    archives = [source.archive_sha256 for source in entry.sources if isinstance(source, PackageMember)]
    assert all(map(HEX.fullmatch, archives))


def test_no_two_entries_are_the_same_file_used_in_the_same_way() -> None:
    assert len({(entry.sha256, entry.spec) for entry in CATALOG.values()}) == len(CATALOG)


def test_faces_with_and_without_their_mirror_image_are_never_compared() -> None:
    averaged, alone = space_of(CATALOG["sface"]), space_of(CATALOG["sface-single"])
    assert averaged.weights_sha256 == alone.weights_sha256
    assert averaged.id != alone.id


def test_weights_without_clear_terms_count_as_restricted() -> None:
    restricted = {name for name, entry in CATALOG.items() if entry.licence.restricts_use}
    assert {name.split("-")[0] for name in restricted} == {"arcface", "adaface", "edgeface"}


def test_adaface_takes_bgr_and_arcface_rgb() -> None:
    spaces = [space_of(CATALOG[name]).preprocessing for name in ("adaface-ir18", "arcface-mbf", "sface")]
    assert spaces == ["bgr-127.5-127.5/1", "rgb-127.5-127.5/1", "rgb-0-1/1"]


def test_the_space_of_an_embedder_rests_on_the_published_weights() -> None:
    space = space_of(CATALOG["sface"])
    assert (space.weights_sha256, space.dimension, space.mirrored) == (CATALOG["sface"].sha256, 128, True)


def test_a_detector_has_no_embedding_space() -> None:
    with pytest.raises(ModelUnsupported, match="retinaface-r18 makes no embeddings"):
        space_of(CATALOG["retinaface-r18"])


def test_a_mistyped_pack_brings_up_the_right_one() -> None:
    with pytest.raises(UnknownModel, match="Perhaps 'arcface-r50'"):
        find_pack("arcface-r5")


def test_the_demo_has_two_people_twice_two_strangers_and_their_credits() -> None:
    names = [file.name for file in DEMO_PHOTOS.files]
    assert sum(name.startswith("person_a") for name in names) == 2
    assert sum(name.startswith("person_b") for name in names) == 2
    assert sum(name.startswith("impostor") for name in names) == 2
    assert "CREDITS.md" in names
