"""How a network is fed and read: the data that stages need beside the graph."""

from dataclasses import dataclass

from facepool.types import ChannelOrder, PixelFeed


@dataclass(frozen=True, slots=True)
class RetinaFaceSpec:
    """A RetinaFace graph: outputs (boxes, scores, landmarks) over a pyramid of prior boxes.

    Attributes:
        channel_order: Order of the three planes that the graph takes.
        mean: Subtracted from each plane, in that order, on the 0..255 scale.
        strides: Pixels between prior centres, one a pyramid level.
        prior_sizes: Sides of the square priors in pixels, one tuple a level.
        variances: Scale of the centre and of the size deltas.
        outputs: Names of the graph's outputs: box deltas (N,A,4), scores (N,A,2) with the face in column 1,
            landmark deltas (N,A,10).
        endures_bfloat16: Whether its faces stay where they are, by measurement, when the graph computes in bfloat16.
    """

    channel_order: ChannelOrder = "bgr"
    mean: tuple[float, float, float] = (104.0, 117.0, 123.0)
    strides: tuple[int, ...] = (8, 16, 32)
    prior_sizes: tuple[tuple[int, ...], ...] = ((16, 32), (64, 128), (256, 512))
    variances: tuple[float, float] = (0.1, 0.2)
    outputs: tuple[str, str, str] = ("loc", "conf", "landmarks")
    endures_bfloat16: bool = False

    @property
    def feed(self) -> PixelFeed:
        """What the graph is to be loaded with."""
        return PixelFeed(self.channel_order, self.mean)


@dataclass(frozen=True, slots=True)
class FmrCurve:
    """The false match rate of one comparison as a function of the similarity threshold.

    Attributes:
        points: (false match rate, similarity) pairs, rates falling; measured, not fitted.
        source: What was measured, on what, for people to judge it by.
    """

    points: tuple[tuple[float, float], ...]
    source: str


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A network that turns one aligned face into one vector.

    Attributes:
        dimension: Length of the vector.
        channel_order: Order of the three planes that the graph takes.
        mean: Subtracted from every value on the 0..255 scale.
        scale: Divides what is left.
        template: Name of the alignment template.
        mirrored: Whether the face and its mirror image are averaged.
        endures_bfloat16: Whether its vectors stay what they are, by measurement, when the graph computes in bfloat16.
        fmr: How similar strangers get; None when nobody has measured it.
    """

    dimension: int
    channel_order: ChannelOrder = "rgb"
    mean: float = 0.0
    scale: float = 1.0
    template: str = "arcface-112"
    mirrored: bool = True
    endures_bfloat16: bool = False
    fmr: FmrCurve | None = None

    @property
    def feed(self) -> PixelFeed:
        """What the graph is to be loaded with."""
        return PixelFeed(self.channel_order, (self.mean, self.mean, self.mean), self.scale)

    @property
    def preprocessing(self) -> str:
        """Version string of the pixel preprocessing, part of the embedding space."""
        return f"{self.channel_order}-{self.mean:g}-{self.scale:g}/1"


NetworkSpec = RetinaFaceSpec | EmbedderSpec
