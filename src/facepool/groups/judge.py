"""Which face of a sighting becomes a template of the person who it is said to be, and what speaks against it.

Somebody who looks at a picture says who it is, which a registration trusts as well. So the checks are those of a
registration, with one more freedom and one more doubt. The person whom the face was wrongly taken for may be nearer to
it: that is what was wrong. But a face that is *far* nearer to somebody else's enrolled templates than to the person's
own is more likely a slip of the hand than a look-alike, and as a template it would have the two named as each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from facepool.enroll.pictures import Outcome
from facepool.enroll.session import EnrollOptions
from facepool.types import Floats, SightedFaces

FAR_NEARER = 0.2
"""How much nearer to another person a face may be: twice the deviation of similarities between strangers. Of LFW's
faces 99 of 100 are nearer to their own person than to a stranger by 0.3 (SFace, three templates)."""


@dataclass(frozen=True, slots=True)
class Core:
    """What people were enrolled with; faces that came from sightings are not among it.

    Attributes:
        own: (E, D) float32, all templates of the person who the face is said to be; E may be 0.
        others: The enrolled templates of others who are near to the face, by name: (O, D) float32 each, O at least 1.
        threshold: From which similarity on a face is somebody of the pool.
        same_person: From which similarity on two captures are taken to show one person.
        same_scan: The same for two of one visit, which are more alike.
    """

    own: Floats
    others: Mapping[str, Floats]
    threshold: float
    same_person: float
    same_scan: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a sighting's faces.

    Attributes:
        outcome: ``taken`` is the only one that makes a template.
        row: Of the face that is judged; None: the sighting has none.
        rival: Who it is far nearer to, for ``other_person``.
        similarity: To the person's own nearest template; None: they have none.
        rival_similarity: To the rival.
    """

    outcome: Outcome
    row: int | None = None
    rival: str | None = None
    similarity: float | None = None
    rival_similarity: float | None = None

    @property
    def contradicts(self) -> bool:
        """Whether the pool speaks against who it is said to be, so that somebody has to be asked."""
        return self.outcome in ("other_person", "not_the_same_person")


def judge(faces: SightedFaces, core: Core, options: EnrollOptions, *, wrong: str | None, force: bool) -> Judgement:
    """What becomes of the best good face of a sighting.

    Args:
        faces: Of the sighting, best first.
        core: What the pool says of them.
        options: Of registering.
        wrong: Whom the sighting was wrongly taken for, which somebody has said by that; None: nobody.
        force: Whether somebody was asked and insists.
    """
    if not len(faces):
        return Judgement("no_face")
    flaws = [_flaw(faces, row, options) for row in range(len(faces))]
    row = next((row for row, flaw in enumerate(flaws) if flaw is None), None)
    if row is None:
        return Judgement(flaws[0] or "no_face", 0)
    embedding = faces.embeddings[row]
    own = float(np.max(core.own @ embedding)) if len(core.own) else None
    if not force:
        rival = _rival(embedding, own, core, wrong)
        if rival is not None:
            return Judgement("other_person", row, rival[0], own, rival[1])
        if own is not None and own < core.same_person:
            return Judgement("not_the_same_person", row, similarity=own)
    if own is not None and own >= options.novelty:
        return Judgement("known_view", row, similarity=own)
    if len(core.own) >= options.max_templates:
        return Judgement("enough", row, similarity=own)
    return Judgement("taken", row, similarity=own)


def _rival(embedding: Floats, own: float | None, core: Core, wrong: str | None) -> tuple[str, float] | None:
    """Somebody else whom the face is far nearer to, with the similarity."""
    nearest = {name: float(np.max(templates @ embedding)) for name, templates in core.others.items()}
    far = {
        name: similarity
        for name, similarity in nearest.items()
        if similarity >= core.threshold and _is_far_nearer(similarity, own, core, is_wrong=name == wrong)
    }
    if not far:
        return None
    rival = max(far, key=lambda name: far[name])
    return rival, far[rival]


def _is_far_nearer(similarity: float, own: float | None, core: Core, *, is_wrong: bool) -> bool:
    if own is not None:
        return similarity - own >= FAR_NEARER
    # There is nothing of the person yet. Whom it was wrongly taken for is near, or it would not have been.
    return similarity >= core.same_scan if is_wrong else True


def _flaw(faces: SightedFaces, row: int, options: EnrollOptions) -> Outcome | None:
    if faces.scores[row] < options.min_score:
        return "uncertain_face"
    if faces.sizes_px[row] < options.min_size_px:
        return "too_small"
    # What else was measured is not kept: a face that is good enough in everything has at least so much overall.
    return "blurred" if faces.qualities[row] < options.quality.least_overall else None
