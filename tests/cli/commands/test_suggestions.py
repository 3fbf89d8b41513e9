"""``facepool suggestions``: list, accept, decline, take-back."""

import pytest

from facepool import open_pool
from facepool.groups.learn import Learning
from facepool.models.catalog import CATALOG, EmbedderSpec
from facepool.thresholds import ThresholdPolicy
from facepool.types import Sample
from support.commands import Commands
from support.looks import FRONTAL, at_similarity, keep_seen, somebody

LOOKS = [at_similarity(somebody(1), 0.68, seed) for seed in (7, 8)]


@pytest.fixture
def pool(facepool: Commands, crowd: Commands) -> Commands:
    """Commands with a pool of one's own, in which two looks of Eve wait for an answer."""
    facepool.take_pool_of(crowd)
    spec = CATALOG["sface"].spec
    assert isinstance(spec, EmbedderSpec)
    learning = Learning(ThresholdPolicy(spec.fmr), spec.fmr)
    with open_pool(facepool.pool) as gallery:
        space = gallery.space
        assert space is not None
        eve = [at_similarity(somebody(1), 0.9, seed) for seed in (3, 4, 5)]
        gallery.register("Eve", [Sample(one, pose=FRONTAL, quality=90) for one in (somebody(1), *eve)], space)
        for number in range(20):
            gallery.register(f"Other {number}", [Sample(somebody(50 + number))], space)
        for look in LOOKS:
            for day in (2, 1, 0):
                seen = keep_seen(gallery, "Eve", look, days_ago=day)
                learning.look(gallery, seen, gallery.inbox.faces([seen.id])[seen.id])
    return facepool


def test_what_waits_is_listed_with_why(pool: Commands) -> None:
    listed = pool("suggestions", "list", "Eve", "--json")
    assert [(one["person"], one["reason"], one["days"]) for one in listed.records] == [("Eve", "appearance", 3)] * 2
    table = pool("suggestions", "list").out
    assert "the stored views of that pose look different; seen 3 times on 3 days" in table
    assert pool("suggestions", "list", "Ada").out == ""


def test_yes_no_and_taking_back(pool: Commands) -> None:
    second, first = [str(one["id"]) for one in pool("suggestions", "list", "--json").records]
    (accepted,) = pool("suggestions", "accept", first, "--json").records
    assert accepted["person"] == "Eve"
    pool("suggestions", "decline", second)
    assert pool("suggestions", "list", "--json").records == []
    assert "1 view learned before" in pool("suggestions", "list").err
    learned = [view for view in pool("people", "show", "Eve", "--json").records if view["learned_from"]]
    assert [view["id"] for view in learned] == [accepted["sample"]]
    assert pool("suggestions", "take-back", "--yes").code == 2
    assert pool("suggestions", "take-back", "Eve", "--yes", "--json").records == [{"person": "Eve", "samples": 1}]
    assert "Nothing was learned of everybody" in pool("suggestions", "take-back", "--all").err
    assert len(pool("people", "show", "Eve", "--json").records) == 4


def test_what_is_not_there_is_said(pool: Commands) -> None:
    failed = pool("suggestions", "accept", "99")
    assert failed.code == 4
    assert "suggestion_unknown" in failed.err


def test_it_is_said_why_nothing_is_proposed(crowd: Commands) -> None:
    assert "no room to learn safely" in crowd("suggestions", "list").err
