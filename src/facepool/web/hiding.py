"""Folders of the server are in its own messages, but in no answer: of a path, clients are told the last part.

Errors name files by their whole paths, for whoever runs the server: on the command line, and in the log.
"""

import copy
import logging
import re
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from starlette.requests import HTTPConnection

from facepool.errors import ConfigError, FacepoolError
from facepool.gallery.address import PoolAddress, folder_of
from facepool.web.problems import status_of

_LOG = logging.getLogger(__name__)
_REST_OF_PATH = r"""(?:[/\\]+[^\s/\\'"():;,?*]+)*[/\\]?"""
_ANY_PATH = re.compile(
    r"""(?<![\w/\\.:~-])(?:/|[A-Za-z]:[\\/]+|\\\\)(?:[^\s/\\'"():;,?*]+[/\\]+)+[^\s/\\'"():;,?*]*""", re.ASCII
)
_OWN_FAILURE = 500
_WORDS = frozenset({"message", "why", "fix"})


class HiddenFolders:
    """Takes the folders out of what clients are told.

    Args:
        folders: Those that are known, whatever is in their names: the pool's, the temporary one, the user's.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        texts = {str(one) for folder in folders if folder.is_absolute() for one in (folder, folder.resolve())}
        known = sorted((text for text in texts if len(Path(text).parts) > 1), key=len, reverse=True)
        either = "|".join(map(re.escape, known))
        self._known = re.compile(rf"(?<![\w/\\])(?:{either})(?![\w-]){_REST_OF_PATH}") if known else None

    def without_folders(self, text: str, *, any_path: bool) -> str:
        """The text, with the last part of each path in its place.

        Args:
            text: As the server says it to itself.
            any_path: Take every path that begins at the root for one of the server, and not only the known ones.
        """
        if self._known is not None:
            text = self._known.sub(_last_part, text)
        return _ANY_PATH.sub(_last_part, text) if any_path else text

    def for_clients(self, error: FacepoolError) -> FacepoolError:
        """The same error without folders, which the log gets. In the server's own failures no path is the client's."""
        any_path = status_of(error) >= _OWN_FAILURE
        told = copy.copy(error)
        told.what, told.why, told.fix = (
            self.without_folders(text, any_path=any_path) for text in (error.what, error.why, error.fix)
        )
        if any_path and str(told) != str(error):
            _LOG.warning("%s", error)
        return told

    def of_message(self, message: dict[str, object]) -> dict[str, object]:
        """A message of a WebSocket; those that say what went wrong without folders."""
        if message.get("type") != "error":
            return message
        texts = {name: text for name, text in message.items() if name in _WORDS and isinstance(text, str)}
        return message | {name: self.without_folders(text, any_path=False) for name, text in texts.items()}


def without_paths(text: str) -> str:
    """The server's own words about a failure, with the last part of each path in its place."""
    return _ANY_PATH.sub(_last_part, text)


def usual_folders(pool: PoolAddress) -> list[Path]:
    """The folders that a server's messages may name: the pool's, those of its user, and of its programs."""
    folders = [Path(tempfile.gettempdir()), Path.cwd(), Path(sys.prefix), Path(__file__).parent]
    with suppress(ConfigError):  # of a database, for a user without a home
        folders.append(folder_of(pool).absolute())
    with suppress(RuntimeError):  # likewise
        folders.append(Path.home())
    return folders


def hidden_folders(connection: HTTPConnection) -> HiddenFolders:
    """Those of the application that a request or WebSocket came to."""
    found = connection.app.state.hidden
    if not isinstance(found, HiddenFolders):
        raise TypeError("the application hides no folders")
    return found


def _last_part(path: re.Match[str]) -> str:
    return re.split(r"[/\\]+", path[0].rstrip("/\\"))[-1]
