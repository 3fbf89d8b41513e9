"""What a server keeps of who was seen: one keeper for its cameras, for browsers and for Frigate's people."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count

from facepool.config import Settings
from facepool.errors import ConfigError
from facepool.groups.keeper import KeepOptions, SightingKeeper
from facepool.groups.learn import Learning, Suggester
from facepool.models.catalog import FmrCurve
from facepool.web.services.activity import Activity
from facepool.web.services.pool import PoolAccess
from facepool.web.services.tuning import Tuning

Watch = Callable[[str, str, Callable[[], float]], None]
"""Has a number asked for whenever the metrics are: its name, what it counts, and how to ask."""
BROWSERS = count(1)
"""Numbers for browsers: all are one source, and people before two of them may be one."""


def suggester_of(tuning: Tuning, activity: Activity, curve: FmrCurve | None) -> Suggester:
    """Suggest new views of people where the settings say so, and tell everybody.

    Args:
        tuning: The settings.
        activity: Tells everybody.
        curve: How similar strangers get; None: nobody has measured it, and nothing is suggested.
    """
    return Suggester(
        Learning(tuning.policy, curve),
        lambda: tuning.settings.refresh == "suggest",
        lambda suggested: activity.tell(suggested.record()),
    )


def keeper_of(pool: PoolAccess, tuning: Tuning, activity: Activity, suggester: Suggester) -> SightingKeeper:
    """Keep what the settings say, as they are at each time; switching ``keep_unknown`` off erases at once.

    Raises:
        ConfigError: The settings want faces to be kept, and the pool is of a kind that has no place for them.
    """

    def options() -> KeepOptions:
        return tuning.settings.keep_options()

    keeper = SightingKeeper(
        pool.open,
        tuning.policy,
        options,
        on_returned=lambda returned: activity.tell(returned.record(), returned.camera),
        on_kept=suggester,
    )

    def check(settings: Settings) -> None:
        if settings.keeps_faces:
            with pool.open() as opened:
                _ = opened.inbox  # raises where there is no place for one

    def has_kept() -> bool:
        """Whether anything is there that will be too old one day."""
        with pool.open() as opened, suppress(ConfigError):  # a pool that has no place for it
            return opened.inbox.usage().sightings > 0
        return False

    def is_left_of_unknown() -> bool:
        """Whether anything is there that a withdrawal erases."""
        with pool.open() as opened, suppress(ConfigError):
            inbox = opened.inbox
            groups = inbox.count_groups("open") + inbox.count_groups("ignored")
            return groups > 0 or bool(inbox.sightings(ungrouped=True, limit=1))
        return False

    def heed(before: Settings, after: Settings) -> None:
        if before.keep_unknown and not after.keep_unknown:
            keeper.withdraw()

    check(tuning.settings)
    tuning.heed(heed, check)
    if tuning.is_withdrawn("keep_unknown") and not tuning.settings.keep_unknown and is_left_of_unknown():
        keeper.withdraw(0)  # it was cut off; else what was done since can still be undone
    if tuning.settings.keeps_faces or has_kept():
        keeper.start()
    return keeper


def count_kept(keeper: SightingKeeper, watch: Watch) -> None:
    """Numbers of what is kept, for Prometheus."""
    counts = keeper.counts
    watch("sightings_waiting", "Sightings that wait to be kept", lambda: keeper.waiting)
    watch("sightings_kept", "Sightings that were kept", lambda: counts.kept)
    watch("sightings_lost", "Sightings that could not be kept", lambda: counts.lost)
    watch("sightings_crowded_out", "Kept sightings that went for want of room", lambda: counts.crowded_out)
    watch("sightings_expired", "Kept sightings whose time was over", lambda: counts.expired)
    watch("unknown_new", "Unknown people who were not seen before", lambda: counts.new_groups)
    watch("unknown_joined", "Sightings of unknown people who were seen before", lambda: counts.joined)
