"""What OpenVINO makes of smaller numbers on this processor: tried once, in a process of its own, and remembered.

OpenVINO says what the processor's instructions are, not what it will make of them. Held back by ``ONEDNN_MAX_CPU_ISA``
it goes on to promise bfloat16, and then its process ends (``AVX2``), or it computes bfloat16 by way of float32 in 2.7
times the time (``AVX512_CORE_VNNI``). So a small network is run in another process first, in both kinds of numbers:
bfloat16 is taken if that process lives to tell, the results agree, and it was faster. Of 8 bits, which every processor
computes rightly, the same tells what they would gain.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from facepool.errors import StorageError
from facepool.files import PRIVATE, write_whole

log = logging.getLogger(__name__)

Precision = Literal["bfloat16", "int8"]

MOST_ERROR = 0.05
"""Of the largest number; bfloat16 errs by 0.005, 8 bits by 0.016."""

MOST_TIME = 0.9
"""Of float32's processor time: 0.6 where the processor multiplies bfloat16, 2.5 where it is done by way of float32."""

_PATIENCE_S = 60
_SUFFIX = ".tried"
_HOLDS_BACK = ("ONEDNN_", "DNNL_", "OV_")
"""How variables begin that tell OpenVINO, or the library of kernels in it, what not to use."""

_SENT = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGKILL", "SIGTERM") if hasattr(signal, name))
"""By which the user, or a system that is short of memory, ends a process; a fault of the engine has others."""

_SECRETIVE = ("FACEPOOL_", "PG")
_CHILD = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
import facepool.runtime.trial_process as p
p.main(sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What trying showed.

    Attributes:
        kept: Whether results agree with float32's, in less time.
        why: What was seen, for people.
        time: Share of float32's processor time; None where no results came of it.
    """

    kept: bool
    why: str
    time: float | None = None


def held_back_by() -> dict[str, str]:
    """The environment variables that the engine's choice of instructions depends on, in order."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_HOLDS_BACK)}


def outcome(precision: Precision, circumstances: dict[str, object], folder: Path | None) -> Outcome:
    """What was remembered, or what trying shows now; it is tried once a process where nothing can be remembered.

    Args:
        precision: What is tried.
        circumstances: All that the outcome depends on: the engine's version, the processor, variables.
        folder: Where it is remembered; None for nowhere.
    """
    key = sha256(repr((precision, sorted(circumstances.items()))).encode()).hexdigest()[:32]
    place = folder / f"{key}{_SUFFIX}" if folder else None
    if place is not None and (found := _remembered(place)) is not None:
        return found
    return _try_once(precision, key, place)


def _remembered(place: Path) -> Outcome | None:
    """What a file says; None if it says nothing that can be used."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads(place.read_text(encoding="utf-8"))
        time = record["time"]
        return Outcome(bool(record["kept"]), str(record["why"]), None if time is None else float(time))
    return None


@cache
def _try_once(precision: Precision, _key: str, place: Path | None) -> Outcome:
    shown = _try(precision)
    if shown is None:
        return Outcome(kept=False, why="no process could be started and left alone to try it")
    log.info("%s tried: %s", precision, shown.why)
    if place is not None:
        try:
            write_whole(place, json.dumps(asdict(shown)).encode(), mode=PRIVATE)
        except StorageError as error:
            log.info("What trying %s showed is not remembered: %s", precision, error)
    return shown


def _try(precision: Precision) -> Outcome | None:
    """None where no process can be started, or somebody ended it, which says nothing of the engine."""
    if getattr(sys, "frozen", False) or not sys.executable:
        return None  # an application in one file: what starts it is no interpreter
    try:
        done = subprocess.run(  # noqa: S603 -- this interpreter
            [sys.executable, "-B", "-P", "-c", _CHILD, json.dumps(sys.path, default=str), precision],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_S,
            check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith(_SECRETIVE)},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # of Windows
        )
    except subprocess.TimeoutExpired:
        return Outcome(kept=False, why=f"a process that tried it did not end in {_PATIENCE_S} s")
    except OSError as error:
        log.info("No process can be started to try %s: %s", precision, error)
        return None
    if -done.returncode in _SENT:
        log.info("Trying %s was interrupted by signal %d", precision, -done.returncode)
        return None
    if done.returncode:
        return Outcome(kept=False, why=f"a process that tried it ended with {done.returncode}")
    return _judge(done.stdout)


def _judge(told: bytes) -> Outcome:
    try:
        record = json.loads(told.splitlines()[-1])  # what is imported may have said something before
        error, time = float(record["error"]), float(record["time"])
    except (ValueError, LookupError, TypeError):
        return Outcome(kept=False, why="a process that tried it told nothing")
    seen = f"it takes {time:.2f} of float32's time and errs by {error:.4f}"
    return Outcome(kept=error <= MOST_ERROR and time <= MOST_TIME, why=seen, time=time)
