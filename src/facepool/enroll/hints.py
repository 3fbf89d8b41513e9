"""What a guided scan says next: a code for programs, words for people."""

from dataclasses import dataclass
from typing import Literal

from facepool.enroll.ring import direction_words

HintCode = Literal[
    "come_into_view",
    "come_back",
    "come_closer",
    "move_back",
    "move_to_the_middle",
    "more_light",
    "less_light",
    "hold_still",
    "show_the_face",
    "one_person_only",
    "somebody_else",
    "not_the_registered",
    "look_straight",
    "keep_looking_straight",
    "turn",
    "turn_further",
    "finish_or_turn",
    "done",
]

_WORDS: dict[HintCode, str] = {
    "come_into_view": "come into the picture",
    "come_back": "come back into the picture, the scan goes on",
    "come_closer": "come closer",
    "move_back": "move back a little",
    "move_to_the_middle": "move to the middle of the picture",
    "more_light": "more light",
    "less_light": "less light",
    "hold_still": "hold still",
    "show_the_face": "show the whole face",
    "one_person_only": "one person only",
    "somebody_else": "this is somebody else; only {person}, please",
    "not_the_registered": "this does not look like {person} as registered",
    "look_straight": "look straight at the camera",
    "keep_looking_straight": "keep looking straight at the camera",
    "turn": "slowly look {way}",
    "turn_further": "a little further {way}",
    "finish_or_turn": "enough; finish, or look {way} too",
    "done": "done",
}


@dataclass(frozen=True, slots=True)
class Hint:
    """One line for the person in front of the camera.

    Attributes:
        code: For programs; stays.
        text: For people, in English. ``left`` is the person's own left.
        angle_deg: Where to turn, as on the ring (0: the picture's right side, 90: up); None where it is not about that.
    """

    code: HintCode
    text: str
    angle_deg: float | None = None


def hint(code: HintCode, *, person: str = "", angle_deg: float | None = None) -> Hint:
    """A hint in words."""
    way = "" if angle_deg is None else direction_words(angle_deg)
    return Hint(code, _WORDS[code].format(person=person, way=way), angle_deg)
