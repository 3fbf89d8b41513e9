"""Whether graphs of 8 bits are worth making on this processor, and what they will gain: a rule that was measured.

The processor's kind shows in what a small network gains by smaller numbers, tried once (``facepool.runtime.trial``).
What the open pack then gains was measured with each kind by ``benchmarks/processors.py``; ``docs/performance.md`` has
the table. On processors that multiply bfloat16 that runs already, and 8 bits take too little off it to be worth it.
"""

from dataclasses import dataclass

from facepool.runtime import Runtime

DOT_PRODUCTS = 0.55
"""A small network in 8 bits takes less than this of float32's time where the processor has dot products of 8 bits
(VNNI): 0.40, otherwise 0.68."""

WITH_DOT_PRODUCTS = 0.55
WITHOUT = 0.7
"""Of the time of detecting and embedding one face with the open pack: measured 0.52 and 0.66."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What can be said of 8 bits on this machine.

    Attributes:
        share: Of the time that a face takes now, what it will take; None where it is not worth it.
        why: What was seen, for people.
    """

    share: float | None
    why: str


def advise(runtime: Runtime) -> Advice:
    """Look at the processor; the first time this takes a second or two."""
    if not runtime.is_cpu:
        return Advice(None, "graphs of 8 bits are for CPUs")
    bfloat16 = runtime.bfloat16_tried
    if bfloat16 is not None and bfloat16.kept:
        return Advice(None, f"this processor multiplies bfloat16, which is used: {bfloat16.why}")
    int8 = runtime.int8_tried
    if int8 is None:
        return Advice(None, "the engine in use is not faster in 8 bits")
    if not int8.kept or int8.time is None:
        return Advice(None, f"8 bits gain too little here: {int8.why}")
    return Advice(WITH_DOT_PRODUCTS if int8.time < DOT_PRODUCTS else WITHOUT, f"8 bits tried: {int8.why}")
