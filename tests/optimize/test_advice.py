"""Whether graphs of 8 bits are proposed: by what the processor showed, never where they gain nothing."""

from types import SimpleNamespace
from typing import cast

import pytest

from facepool.optimize.advice import WITH_DOT_PRODUCTS, WITHOUT, advise
from facepool.runtime import Outcome, Runtime

NOT_PROMISED = None
NO = Outcome(kept=False, why="a process that tried it ended with -11")
SLOW = Outcome(kept=False, why="it takes 1.60 of float32's time and errs by 0.0158", time=1.6)


def _in(time: float) -> Outcome:
    return Outcome(kept=True, why=f"it takes {time:.2f} of float32's time and errs by 0.0158", time=time)


@pytest.mark.parametrize(
    ("bfloat16", "int8", "share"),
    [
        (NOT_PROMISED, _in(0.40), WITH_DOT_PRODUCTS),
        (NOT_PROMISED, _in(0.68), WITHOUT),
        (NO, _in(0.68), WITHOUT),
        (NOT_PROMISED, SLOW, None),
        (NOT_PROMISED, NO, None),
        (NOT_PROMISED, None, None),
        (_in(0.65), _in(0.39), None),
    ],
)
def test_8_bits_are_proposed_where_they_pay(
    bfloat16: Outcome | None, int8: Outcome | None, share: float | None
) -> None:
    runtime = cast("Runtime", SimpleNamespace(is_cpu=True, bfloat16_tried=bfloat16, int8_tried=int8))
    advice = advise(runtime)
    assert advice.share == share
    tried = bfloat16 if bfloat16 is not None and bfloat16.kept else int8
    assert tried is None or tried.why in advice.why


def test_nothing_is_proposed_for_a_gpu() -> None:
    assert advise(cast("Runtime", SimpleNamespace(is_cpu=False))).share is None
