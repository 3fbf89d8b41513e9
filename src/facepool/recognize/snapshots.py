"""Several pictures of one person, taken while they were in view, become one answer."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from facepool.faces.analyze import Analyzer
from facepool.gallery import Gallery
from facepool.recognize.decide import Criteria, decide
from facepool.recognize.evidence import Identity
from facepool.recognize.fuse import observe
from facepool.recognize.live import LiveOptions
from facepool.search import Search
from facepool.thresholds import ThresholdPolicy
from facepool.types import Decision, Detections, Image

Box = tuple[float, float, float, float]


class SnapshotRecognizer:
    """Names people of each of whom pictures come, one after the other: each picture adds to what the others tell.

    Args:
        analyzer: Finds, measures and embeds faces.
        pool: Who is known; of the analyzer's embedding space. It may change meanwhile.
        policy: Chooses the threshold for the pool's size.
        options: What of live recognition holds for pictures: margins, hysteresis, which evidence is kept.
        keeps_faces: Whether pictures of faces are kept for sightings now, where ``options.keep_faces`` says so.

    Raises:
        SpaceMismatch: The pool is of another embedding space.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        pool: Gallery,
        policy: ThresholdPolicy,
        options: LiveOptions | None = None,
        keeps_faces: Callable[[], bool] = lambda: True,
    ) -> None:
        self._analyzer = analyzer
        self._search = Search(pool, analyzer.space, live=True)
        self._policy = policy
        self._options = options or LiveOptions()
        self._keeps_faces = keeps_faces
        self._search.check()

    def begin(self) -> Identity:
        """The evidence for somebody of whom there is no picture yet."""
        return Identity(self._options.evidence, began_s=0.0)

    def look(self, image_bgr: Image, identity: Identity, *, inside: Box | None = None) -> Decision | None:
        """Take in one more picture.

        Args:
            image_bgr: (H, W, 3) uint8 BGR, of the person: that of the faces in it counts which is large and in the
                middle.
            identity: What the pictures before have told; it gets the decision that stands now, too.
            inside: Left, top, right, bottom in pixels of the picture, where it shows more than the person.

        Returns:
            Who it is by all pictures so far; None: this one shows no face.
        """
        detections = self._analyzer.find(image_bgr)
        row = face_in_the_middle(detections, image_bgr.shape[1], inside)
        if row is None:
            return None
        faces = self._analyzer.describe(image_bgr, detections[np.array([row])])
        keep_picture = self._options.keep_faces > 0 and self._keeps_faces()
        # All pictures are of one person: what they tell does not grow old.
        observation = observe(faces, 0, float(identity.frames), with_picture=keep_picture)
        identity.absorb(observation)
        identity.see(detections.boxes[row], float(detections.scores[row]), observation.time_s)
        identity.shown = self.decide(identity)
        return identity.shown

    def decide(self, identity: Identity) -> Decision:
        """Who it is by all pictures so far and the pool as it is now."""
        gallery = self._search.state()
        criteria = Criteria(
            threshold=self._policy.identification(gallery.templates, gallery.calibration).value,
            min_margin=self._options.min_margin,
            look_alikes=gallery.look_alikes,
            hysteresis=self._options.hysteresis,
            margins=gallery.margins,
        )
        nearest = identity.nearest(self._search, gallery.revision, normalize=self._policy.follows_pool)
        decision = decide(nearest, criteria, usable=identity.usable, held=identity.held)
        return replace(decision, frames=identity.frames)


def face_in_the_middle(detections: Detections, width: int, inside: Box | None = None) -> int | None:
    """Whose picture it is: of several faces, a large one near the line down the middle.

    A picture is cut out around a person, so that their own face is above the middle of it, and those of others at the
    sides, or smaller.

    Args:
        detections: N faces in pixels of the picture.
        width: Of the picture, in pixels.
        inside: Only faces whose middle is in it; then that box has the middle.

    Returns:
        A row; None: there is no face.
    """
    left, top, right, bottom = inside or (0.0, 0.0, float(width), np.inf)
    best: tuple[float, int] | None = None
    for row, (x0, y0, x1, y1) in enumerate(detections.boxes.tolist()):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if not (left <= x <= right and top <= y <= bottom):
            continue
        aside = abs(x - (left + right) / 2) / max(1.0, (right - left) / 2)
        worth = min(x1 - x0, y1 - y0) * (1 - aside)
        if best is None or worth > best[0]:
            best = worth, row
    return None if best is None else best[1]
