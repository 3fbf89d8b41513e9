"""What the processes that serve one pool tell each other: keys and settings that changed, events of cameras.

`Announcements` is what the parts of a server use. In a process that has its pool for itself nobody else is there:
nothing is sent, and nothing is heard. `facepool.web.services.postgres_processes` brings them through the database.
"""

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial

from facepool.errors import FacepoolError

Fields = Mapping[str, object]
Listener = Callable[[Fields], None]
_MOST_BYTES = 7500
"""Of the 8,000 that PostgreSQL's notifications have, the rest is for what is said beside the fields."""
_LOG = logging.getLogger(__name__)


class Announcements:
    """Sends announcements to the other processes, and passes theirs on to listeners.

    A process does not hear what it has sent itself. Between two connections to the others something may be missed:
    whoever keeps what may change asks to be told then, by `after_gap`, and reads it anew.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}
        self._after_gap: list[Callable[[], None]] = []

    @property
    def listening(self) -> bool:
        """Whether what others announce is heard now; where it is not, look yourself now and then."""
        return False

    def hear(self, kind: str, listener: Listener) -> None:
        """Call a listener with the fields of each announcement of a kind, one after the other in their order."""
        self._listeners.setdefault(kind, []).append(listener)

    def after_gap(self, listener: Callable[[], None]) -> None:
        """Call a listener whenever announcements may have been missed."""
        self._after_gap.append(listener)

    def send(self, kind: str, fields: Fields | None = None) -> None:
        """Tell the other processes, from any thread; returns at once.

        Args:
            kind: What it is about.
            fields: What JSON can say; it has to fit: `fits`.
        """

    def pass_on(self, kind: str, fields: Fields) -> bool:
        """Tell listeners; what goes wrong with one keeps no other from hearing. Whether all could follow."""
        followed = [_call(partial(listener, fields), kind) for listener in self._listeners.get(kind, ())]
        return all(followed)

    def pass_on_gap(self) -> bool:
        """Tell listeners that something may have been missed. Whether all could follow."""
        followed = [_call(listener, "gap") for listener in self._after_gap]
        return all(followed)


def fits(fields: Fields) -> bool:
    """Whether these are short enough to be sent."""
    return len(json.dumps(fields)) <= _MOST_BYTES


def _call(listener: Callable[[], None], kind: str) -> bool:
    try:
        listener()
    except FacepoolError as error:
        _LOG.warning("what others have changed (%s) cannot be followed yet: %s", kind, error)
        return False
    return True
