"""Score normalization: how much more similarity than usual it takes to be a person of the gallery, for one probe.

A threshold is measured over all kinds of faces, but a face that resembles everybody (a blurred or dark one often
resembles nobody, friends included) passes it more easily than others, and so does one that is near a single odd
template. The score offset is what such a face has to bring in addition, or is let off where it is negative; what is
left of the similarity is the normalized score. The offset is

- half of what the best template is nearer than the mean of the person's templates, and
- what the probe has in common with the rest of the gallery, more than the gallery's people have in common with each
  other (score normalization with a cohort, which is the gallery itself: Auckenthaler et al. 2000).

Both grow with the number of people that they can be judged by, and are nothing in a small gallery. What they are worth
is in ``docs/accuracy.md``.
"""

from dataclasses import dataclass

import numpy as np

from facepool.search.index import Index
from facepool.search.segment import Share
from facepool.types import Floats, Indices

FEW_PEOPLE = 10
"""Up to so many people there are no offsets: too few to know what is usual."""
_PRIOR_PEOPLE = 8.0
"""How many people more it takes until half of the offset counts. Similarities of one probe to strangers deviate by
0.087, their means from probe to probe by about 0.03 (SFace, LFW): it takes the square of the ratio for as much signal
as noise."""
_LEAST_LENGTH = 1e-3  # templates that cancel out have no mean direction


@dataclass(frozen=True, slots=True)
class Sample:
    """Some people who stand for all of a gallery.

    Attributes:
        cohort: What they have in common.
        below: Their ids come before this one; empty: it is everybody.
    """

    cohort: Share
    below: str

    def has(self, person_id: str) -> bool:
        """Whether somebody of the gallery is among them."""
        return not self.below or person_id < self.below


def score_offsets(index: Index, probes: Floats, best: Floats, people: Indices, sample: Sample | None = None) -> Floats:
    """The score offsets of a few people for each probe; costs nothing that grows with the gallery.

    What a probe gets depends on no other probe: sums are taken pair by pair, as in ``facepool.search.exact``.

    Args:
        index: The gallery.
        probes: (P, D) float32, rows of L2 norm 1.
        best: (P, K) similarity of the best template of each person, the nearest person first.
        people: (P, K) numbers of people of the index.
        sample: People of the gallery who stand for all of it; None: the index has everybody.

    Returns:
        (P, K) float32, about -0.1..0.2; 0 in a gallery of few people.
    """
    cohort = index.cohort if sample is None else sample.cohort
    count = cohort.people
    weight = _weight(np.array(count))
    if weight == 0:
        return np.zeros_like(best)
    asked = probes.astype(np.float64)
    means = (index.means(people) * asked[:, None]).sum(axis=2)
    # What the probe has in common with its own person, or who is taken for that, says nothing of the others.
    own = np.array([sample is None or sample.has(index.id_of(person)) for person in people[:, 0].tolist()])
    here = ((asked * cohort.total).sum(axis=1) - np.where(own, means[:, 0], 0)) / (count - own)
    beside = _beside_mean(best, means, index.lengths_of(people))
    return np.asarray(weight * (beside + (here - cohort.usual)[:, None]), np.float32)


def normalized_scores(similarities: Floats, index: Index, without: Indices | None = None) -> Floats:
    """Similarity less score offset of everybody in the gallery: what thresholds are calibrated and evaluated on.

    Args:
        similarities: (P, T) cosines of probes and templates, in the order of ``index.vectors``.
        index: The gallery, of at least one person; a copy is made of one that is not `compact`.
        without: (P,) a person for each probe, who is treated as if they were not in the gallery: minus infinity.

    Returns:
        (P, N) float32, on the scale of the cosine.
    """
    index = index.compact()
    counts, lengths = index.counts, index.lengths
    best = np.asarray(np.maximum.reduceat(similarities, index.starts, axis=1))
    means = np.asarray(np.add.reduceat(similarities, index.starts, axis=1) / counts, np.float32)
    beside = _beside_mean(best, means, lengths)
    rows = np.arange(len(best))
    count, total = np.full(len(best), index.people), means.sum(axis=1)
    likeness = np.full(len(best), index.cohort.usual * index.people * (index.people - 1))
    if without is not None:
        best[rows, without] = -np.inf
        count -= 1
        total -= means[rows, without]
        left_out = index.means(without)
        likeness -= 2 * (left_out @ index.cohort.total - lengths[without].astype(np.float64) ** 2)
    weight, others = _weight(count), np.maximum(count - 1, 1)
    here = (total - means[rows, best.argmax(axis=1)]) / others
    usual = likeness / (np.maximum(count, 1) * others)
    return np.asarray(best - weight[:, None] * (beside + (here - usual)[:, None]), np.float32)


def _weight(people: Indices) -> Floats:
    more = np.maximum(people - FEW_PEOPLE, 0)
    return np.asarray(more / (more + _PRIOR_PEOPLE), np.float32)


def _beside_mean(best: Floats, means: Floats, lengths: Floats) -> Floats:
    return np.asarray((best - means / np.maximum(lengths, _LEAST_LENGTH)) / 2, np.float32)
