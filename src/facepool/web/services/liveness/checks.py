"""Liveness checks while they are made: each follows the head of one person, by this server's clock.

A challenge is drawn here, and its directions are told one at a time, each when the one before was followed. Times are
those at which frames come: a client that sends a film faster or slower than it was made sends another motion.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from facepool.errors import FacepoolError
from facepool.faces.analyze import Faces
from facepool.liveness.challenge import FEWEST_STEPS, PARTIAL_STEPS, Challenge, draw_challenge
from facepool.liveness.session import LivenessResult, LivenessSession, LivenessStep, longest_s
from facepool.records import liveness_record
from facepool.thresholds import SAME_SCAN_FMR, ThresholdPolicy
from facepool.types import Floats
from facepool.web.problems import RequestError, ServerBusy, TooManyRequests
from facepool.web.services.audit import Audit
from facepool.web.services.keys import Caller
from facepool.web.services.liveness.record import LivenessRecord
from facepool.web.services.liveness.results import (
    RESULT_S,
    DrawnCheck,
    LivenessOver,
    LivenessResults,
    LivenessUnknown,
    PassedCheck,
)

_MOST, _MOST_EACH = 256, 16
"""Checks that frames are posted for, one request after another: of all clients, and of one."""
_SPARE_S = 5.0
SILENT_S = 10.0
"""Who has sent nothing for so long has gone."""
_LONGEST_POST_S = 2.0
"""So much time frames that come together may stand for: nobody has longer to make them."""


class LivenessElsewhere(RequestError):
    """A liveness check is followed by another process of the server, or was before this one was started anew.

    Remedy: keep one connection open for all frames of a check, or make it over the WebSocket `/v1/liveness`.
    """

    code = "liveness_elsewhere"
    status = 409


@dataclass(frozen=True, slots=True)
class Concluded:
    """How a check has ended.

    Attributes:
        liveness: What came out.
        meaning: The same as a phrase for people.
        token: Stands for the person, once; None: the check was not passed.
        token_ends_at: Until when, in seconds since 1970.
    """

    liveness: LivenessRecord
    meaning: str
    token: str | None = field(repr=False)
    token_ends_at: float | None


class LivenessCheck:
    """One check of one client, used by one thread at a time.

    Args:
        drawn: Whose it is, and until when.
        caller: Who makes it, for the audit log.
        challenge: What is asked.
        same: The similarity from which on two frames show one person.
        clock: Seconds of a monotonic clock.

    Attributes:
        turn: Held by the request whose frames are looked at.
        concluded: How it has ended.
    """

    def __init__(
        self,
        drawn: DrawnCheck,
        caller: Caller,
        challenge: Challenge,
        same: float,
        clock: Callable[[], float],
    ) -> None:
        self.drawn = drawn
        self.caller = caller
        self.turn = asyncio.Lock()
        self.concluded: Concluded | None = None
        self._session = LivenessSession(challenge, same)
        self._clock = clock
        self._began_s = self._last_s = clock()
        self._ends_s = self._began_s + longest_s(challenge) + _SPARE_S

    @property
    def partial(self) -> bool:
        """Whether it is one for people who cannot turn far."""
        return self._session.challenge.partial

    @property
    def is_late(self) -> bool:
        """Whether it has taken longer than any check may, or no frame has come for long."""
        now_s = self._clock()
        return now_s > self._ends_s or now_s - self._last_s > SILENT_S

    def add(
        self,
        faces: Faces,
        image_hw: tuple[int, int],
        came_s: float,
        passive: Callable[[int], Floats | None] | Floats | None = None,
    ) -> LivenessStep:
        """Look at one frame.

        Args:
            faces: What was found in it.
            image_hw: Its height and width.
            came_s: When it was here, by the clock.
            passive: (1,) of the one face, what networks for pictures say of it, or how to ask them of that of a row;
                None: there are none.
        """
        self._last_s = max(self._last_s, came_s)
        step = self._session.add(self._last_s - self._began_s, faces, image_hw)
        if (row := step.row) is not None:
            self._session.ask(lambda: passive(row) if callable(passive) else passive)
        return step

    def times(self, count: int, came_s: float) -> list[float]:
        """When frames that came together count as taken: evenly between the one before and now, by the clock.

        Args:
            count: How many.
            came_s: When they were here.
        """
        step_s = min(max(0.0, came_s - self._last_s), _LONGEST_POST_S) / count
        return [came_s - step_s * (count - 1 - number) for number in range(count)]

    def end(self) -> LivenessResult:
        """No more frames come: what the result is."""
        return self._session.interrupt()


class LivenessChecks:
    """The checks of a collection.

    Args:
        results: Of all processes.
        audit: Is told how each has ended.
        policy: From which similarity on two frames show one person.
        clock: Seconds of a monotonic clock.

    Attributes:
        results: Of all processes.
        clock: By which frames come.
    """

    def __init__(
        self,
        results: LivenessResults,
        audit: Audit,
        policy: Callable[[], ThresholdPolicy],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.results = results
        self.clock = clock
        self._audit = audit
        self._policy = policy
        self._lock = threading.Lock()
        self._posted: dict[str, LivenessCheck] = {}

    def begin(self, client: str, caller: Caller, *, partial: bool) -> LivenessCheck:
        """Draw a challenge for a client who sends frames over one connection.

        Raises:
            TooManyRequests: Too many of the client's checks have failed.
        """
        drawn = self.results.draw(
            client,
            PARTIAL_STEPS if partial else FEWEST_STEPS,
            lambda steps: longest_s(draw_challenge(steps, partial=partial)) + _SPARE_S,
            more=2 if partial else 1,  # there are half as many directions to guess
        )
        challenge = draw_challenge(drawn.steps, partial=partial)
        return LivenessCheck(drawn, caller, challenge, self._policy().same_person(SAME_SCAN_FMR).value, self.clock)

    def begin_posted(self, client: str, caller: Caller, *, partial: bool) -> LivenessCheck:
        """Draw a challenge for a client who posts frames, one request after another, to this process.

        Raises:
            TooManyRequests: Too many of the client's checks have failed, or are under way.
            ServerBusy: Too many others make one.
        """
        self._drop_late()
        with self._lock:
            counts = Counter(check.drawn.client for check in self._posted.values() if check.concluded is None)
        if counts[client] >= _MOST_EACH:
            raise TooManyRequests(
                "You have too many liveness checks under way",
                why=f"one client may have {_MOST_EACH} at once",
                fix="Finish some first",
            )
        if counts.total() >= _MOST:
            raise ServerBusy("The server is busy", why="many others make a liveness check", fix="Try again in a moment")
        check = self.begin(client, caller, partial=partial)
        with self._lock:
            self._posted[check.drawn.id] = check
        return check

    def find(self, check_id: str, token: str, client: str) -> LivenessCheck:
        """A check that frames are posted for.

        Raises:
            LivenessUnknown: The client has none of that id and token.
            LivenessOver: It has taken too long.
            LivenessElsewhere: Another process has it.
        """
        with self._lock:
            check = self._posted.get(check_id)
        if check is None:
            raise _not_here(elsewhere=self.results.is_open(check_id, client))
        if not self.results.is_of_check(token, check.drawn, client):
            raise _not_here(elsewhere=False)
        if check.is_late and check.concluded is None:
            raise LivenessOver("This liveness check has taken too long", fix="Make another: POST /v1/liveness")
        return check

    def conclude(self, check: LivenessCheck, result: LivenessResult) -> Concluded:
        """A check has ended: remember what came out, and give a token for it if it was passed. In a thread.

        Raises:
            LivenessOver: It was passed too late.
            FacepoolError: It cannot be written down, so that it counts as failed.
        """
        if check.concluded is not None:
            return check.concluded
        record = LivenessRecord.model_validate(liveness_record(result))
        token = None
        if result.passed and result.embedding is not None:
            token = self.results.passed(check.drawn, PassedCheck(result.embedding, record))
        else:
            self.results.fail(check.drawn)
        self._audit.note(check.caller, f"{'passed' if token else 'failed'} a liveness check", liveness=record)
        check.concluded = Concluded(record, result.meaning, token, None if token is None else time.time() + RESULT_S)
        return check.concluded

    def _drop_late(self) -> None:
        """Forget checks that nobody goes on with, and those that are over."""
        with self._lock:
            late = [check for check in self._posted.values() if check.is_late]
            for check in late:
                del self._posted[check.drawn.id]
        for check in late:
            with suppress(FacepoolError):  # what cannot be written down is over by itself, and counts as failed
                self.conclude(check, check.end())


def _not_here(*, elsewhere: bool) -> RequestError:
    if elsewhere:
        return LivenessElsewhere(
            "This liveness check cannot go on here",
            why="another process of the server follows it, or this one was started anew since",
            fix="Keep one connection open for all frames, or use the WebSocket /v1/liveness",
        )
    return LivenessUnknown(
        "There is no such liveness check",
        why="its id and token are none that this server gave to you for this collection, or it is long over",
        fix="Make another: POST /v1/liveness",
    )
