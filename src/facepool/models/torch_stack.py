"""A pickle's stack followed step by step without reading it, to know what would become a dictionary's key."""

from pickletools import OpcodeInfo, markobject

_PLAIN = frozenset(
    {
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
    }
)
_MARK = "MARK"


class PickleStack:
    """Which opcode made each entry of the stack and of the memo.

    A key must be text or a number. Python hashes a tuple by recursion without a limit, so tuples nested a million
    deep would end the process, and a few that hold each other many times over would keep it busy for ever.
    """

    def __init__(self) -> None:
        self._entries: list[str] = []
        self._memo: dict[object, str] = {}

    def step(self, opcode: OpcodeInfo, argument: object) -> None:
        """Take one step.

        Raises:
            ValueError: It would make something else than text or a number a key.
            LookupError: It takes more than the stack or the memo holds.
        """
        if opcode.name in {"BINPUT", "LONG_BINPUT"}:
            self._memo[argument] = self._entries[-1]
            return
        if opcode.name in {"BINGET", "LONG_BINGET"}:
            self._entries.append(self._memo[argument])
            return
        taken = self._take(opcode)
        keys = taken[1::2] if opcode.name in {"SETITEM", "SETITEMS"} else []  # the dictionary comes first
        if not _PLAIN.issuperset(keys):
            raise ValueError("a dictionary has a key that is neither text nor a number")
        self._entries += [opcode.name] * len(opcode.stack_after)

    def _take(self, opcode: OpcodeInfo) -> list[str]:
        """What the opcode takes from the stack, without the mark, in order."""
        before = opcode.stack_before
        above_mark: list[str] = []
        if markobject in before:
            while (entry := self._entries.pop()) != _MARK:
                above_mark.append(entry)
        fixed = before.index(markobject) if markobject in before else len(before)
        return [self._entries.pop() for _ in range(fixed)][::-1] + above_mark[::-1]
