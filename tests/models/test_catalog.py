import re
from dataclasses import replace

import pytest

from facepool.errors import ModelUnsupported, UnknownModel
from facepool.models.catalog import (
    CATALOG,
    DEFAULT_PACK,
    DEMO_PHOTOS,
    PACKS,
    EmbedderEntry,
    EmbedderSpec,
    ModelEntry,
    PackageMember,
    embedder_of,
    find_pack,
    space_of,
)

HEX = re.compile(r"[0-9a-f]{64}")


def test_packs_name_a_detector_and_an_embedder_of_the_catalog() -> None:
    for pack in PACKS.values():
        networks = embedder_of(pack.embedder, CATALOG).networks
        assert (CATALOG[pack.detector].task, *{network.task for network in networks}) == ("detect", "embed")


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


def test_the_spaces_of_pools_that_exist_stay_what_they_are() -> None:
    ids = {name: space_of(CATALOG[name]).id for name in ("sface", "sface-single", "arcface-mbf", "adaface-ir18")}
    assert ids == {
        "sface": "04c6545fde82247f",
        "sface-single": "3f98c4b70a8eef6d",
        "arcface-mbf": "91fa84f7caa00a64",
        "adaface-ir18": "12ca6418a265ebd4",
    }


def test_the_space_of_several_networks_is_of_all_weights_views_and_files() -> None:
    both = embedder_of("sface-omz", CATALOG)
    single, omz = both.networks
    unlike = [
        replace(both, weights=(0.6, 0.8)),
        replace(both, networks=(CATALOG["sface"], omz)),
        replace(both, networks=(single, replace(omz, sha256="ab" * 32))),
        replace(both, networks=(single, replace(omz, beside=()))),
        EmbedderEntry("other", (omz, single), both.weights, None),
    ]
    assert len({embedder.space.id for embedder in (both, *unlike)}) == 1 + len(unlike)
    assert (both.space.dimension, both.space.template, both.space.mirrored) == (384, "arcface-112", False)
    assert replace(both, name="called otherwise").space.id == both.space.id


def test_an_embedder_of_one_network_is_of_that_networks_space() -> None:
    alone = embedder_of("sface", CATALOG)
    assert (alone.space, alone.weights, alone.fmr) == (space_of(CATALOG["sface"]), (1.0,), CATALOG["sface"].spec.fmr)  # type: ignore[union-attr]
    with pytest.raises(ModelUnsupported, match="makes no embeddings"):
        embedder_of("retinaface-r18", CATALOG)
    with pytest.raises(UnknownModel, match="Perhaps 'sface-omz'"):
        embedder_of("sface-oms", CATALOG)


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
