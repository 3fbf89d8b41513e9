"""Settings that the page may change while the server runs; what was changed is kept beside the pool."""

import threading
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from facepool.config import PYDANTICS_WORDS, Settings
from facepool.errors import ConfigError
from facepool.models.catalog import FmrCurve
from facepool.thresholds import ThresholdPolicy
from facepool.web.services.store import ServerStore, insert_entry

CHANGEABLE = frozenset(
    {
        "threshold",
        "target_fpir",
        "min_margin",
        "firm_frames",
        "unknown_after",
        "detect_every",
        "keep_unknown",
        "keep_recognized",
        "refresh",
        "register_threshold",
        "max_templates",
        "min_face",
        "min_sharpness",
    }
)
"""The others belong to the networks, which are loaded once."""

_KEPT = "settings"


class Tuning:
    """The settings as they are now.

    Args:
        settings: What the server was started with.
        fmr: How similar strangers get.
        store: Where changes are kept.
        pinned: Settings that were given as flags: these hold, whatever was changed on the page before.
    """

    def __init__(
        self, settings: Settings, fmr: FmrCurve | None, store: ServerStore, pinned: frozenset[str] = frozenset()
    ) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Settings, Settings], None]] = []
        self._checks: list[Callable[[Settings], None]] = []
        self._given = self._settings = settings
        self.policy = ThresholdPolicy(fmr)
        """How thresholds are chosen; it follows the settings."""
        kept = store.kept(_KEPT)
        self._overruled = {name: value for name, value in kept.items() if name in pinned}
        self._use(kept)

    @property
    def settings(self) -> Settings:
        """All of them."""
        return self._settings

    def heed(self, listener: Callable[[Settings, Settings], None], check: Callable[[Settings], None]) -> None:
        """Tell somebody of each change from now on.

        Args:
            listener: Is told the settings before and after it.
            check: Raises what is wrong with settings before they are changed to these.
        """
        self._listeners.append(listener)
        self._checks.append(check)

    def is_withdrawn(self, name: str) -> bool:
        """Whether a setting was switched off on a page."""
        return self._store.kept(_KEPT).get(name) is False

    def reload(self) -> None:
        """Take what was changed on the page of another process since this one was started."""
        with self._lock:
            before = self._settings
            self._use(self._store.kept(_KEPT))
        self._tell(before)

    def change(self, changes: Mapping[str, object], by: str) -> Settings:
        """Change some, from now on and after the next start.

        Args:
            changes: The new values, by name.
            by: Who does it, for the audit log, which says so in the same transaction.

        Raises:
            ConfigError: One is none of ``CHANGEABLE``, or its value cannot be used.
        """
        fixed = sorted(changes.keys() - CHANGEABLE)
        if fixed:
            raise ConfigError(
                f"{fixed[0]!r} cannot be changed while the server runs", fix=f"Change {', '.join(sorted(CHANGEABLE))}"
            )
        with self._lock:
            before = self._settings
            wanted = _changed(self._settings, changes)
            for check in self._checks:
                check(wanted)
            if changes:
                detail = ", ".join(f"{name} = {value}" for name, value in sorted(changes.items()))
                with self._store.transaction() as db:
                    kept = {**self._store.kept_in(db, _KEPT), **changes}
                    self._store.keep_in(db, _KEPT, kept)
                    self._store.announce(db, "settings")
                    insert_entry(db, by, "changed settings", detail=detail)
                for name in changes:
                    self._overruled.pop(name, None)
                self._use(kept)
        self._tell(before)
        return self._settings

    def _tell(self, before: Settings) -> None:
        for listener in self._listeners:
            listener(before, self._settings)

    def _use(self, kept: Mapping[str, object]) -> None:
        """Have settings as they were given, but for what was changed on a page."""
        changes = {
            name: value
            for name, value in kept.items()
            if name in CHANGEABLE and (name not in self._overruled or self._overruled[name] != value)
        }
        self._settings = _changed(self._given, changes)
        self._chosen = frozenset(self._given.model_fields_set | changes.keys())
        # A pool's own calibration speaks for its target unless somebody has set another.
        target_fpir = self._settings.target_fpir if "target_fpir" in self._chosen else None
        self.policy.set_target(target_fpir, self._settings.threshold)


def _changed(settings: Settings, changes: Mapping[str, object]) -> Settings:
    if not changes:
        return settings
    try:
        checked = Settings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix(PYDANTICS_WORDS)
        raise ConfigError(f"{name!r} cannot be {first['input']!r}", why=why, fix="Choose another") from error
    return settings.model_copy(update={name: getattr(checked, name) for name in changes})
