"""Who is compared: facepool and its peers, each with the adapter, the pins and the weights that it needs."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facepool.models.store import ModelStore

PINS = Path(__file__).parents[1] / "peers"


class WeightsMissing(Exception):
    """The weights that a peer would run are not on this machine."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A library, or one way to set it up.

    Attributes:
        name: In tables and plots, and what ``--only`` takes.
        adapter: Module of ``sidebyside.adapters``.
        module: The package that a user imports.
        usual: What a program that uses it begins with.
        environment: Name of the file of pins in ``benchmarks/peers``; None for facepool's own environment.
        setup: What the adapter is told beside threads.
        weights: What has to be laid out for it: ``retinaface``, ``pack`` or ``int8``.
        heavy: Why it is only installed when asked for; empty for the others.
    """

    name: str
    adapter: str
    module: str
    usual: str
    environment: str | None = None
    setup: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    heavy: str = ""

    def pins(self) -> Path | None:
        """The file of exact versions."""
        return PINS / f"{self.environment}.txt" if self.environment else None


_UNIFACE = ("of_uniface", "uniface", "from uniface.detection import RetinaFace", "uniface")
_INSIGHTFACE = ("of_insightface", "insightface", "from insightface.app import FaceAnalysis", "insightface")

FACEPOOL = Peer(
    "facepool", "of_facepool", "facepool", "from facepool import Recognizer, load_analyzer, open_pool, read_image"
)
_OURSELVES = ("of_facepool", "facepool", FACEPOOL.usual, None)
VARIANTS = (
    Peer("facepool-float32", *_OURSELVES, {"precision": "float32"}),
    Peer("facepool-int8", *_OURSELVES, weights="int8"),
    Peer("facepool-fast-int8", *_OURSELVES, {"pack": "open-fast", "pools": "fast-"}, "int8"),
)
PEERS = (
    Peer("verifyface", "of_verifyface", "verifyface", "import verifyface", "verifyface"),
    Peer("uniface", *_UNIFACE, weights="retinaface"),
    Peer("uniface-fitted", *_UNIFACE, {"fitted": True}, "retinaface"),
    Peer("insightface", *_INSIGHTFACE, weights="pack"),
    Peer("insightface-2-sizes", *_INSIGHTFACE, {"two_sizes": True}, "pack"),
    Peer("face_recognition", "of_face_recognition", "face_recognition", "import face_recognition", "face_recognition"),
    Peer(
        "facenet-pytorch",
        "of_facenet_pytorch",
        "facenet_pytorch",
        "from facenet_pytorch import MTCNN",
        "facenet-pytorch",
        heavy="its PyTorch takes 5 GB; --heavy installs it",
    ),
)


def lay_out_weights(peer: Peer, folder: Path, store: ModelStore, shared: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Put a peer's weights where it looks for them.

    Returns:
        What its adapter is told and its environment variables.

    Raises:
        WeightsMissing: They are not here, and nothing that can be reached has them.
    """
    if peer.weights == "retinaface":
        store.export(store.load("retinaface-mnet025").entry, folder)
        shutil.copyfile(folder / "retinaface-mnet025.onnx", folder / "retinaface_mnet025.onnx")
        return {}, {"UNIFACE_CACHE_DIR": str(folder)}
    if peer.weights == "int8":
        return {"models_dir": str(_optimized_models(folder / "facepool-int8"))}, {}
    if peer.weights == "pack":
        return {"pack": str(_small_pack(folder / "insightface-pack", shared / "data" / "models"))}, {}
    return {}, {}


def _optimized_models(folder: Path) -> Path:
    """A store of its own, so that the user's goes on as it is."""
    if not (folder / "optimized").is_dir():
        command = [sys.executable, "-m", "facepool", "models", "optimize", "--models-dir", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not (folder / "optimized").is_dir():  # one network may be refused where the other is taken
            raise WeightsMissing(f"facepool models optimize says: {done.stderr.strip()[-300:]}")
    return folder


def _small_pack(folder: Path, models: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for network in (models / "scrfd" / "det_500m.onnx", models / "arcface" / "w600k_mbf_int8.onnx"):
        if not network.is_file():
            raise WeightsMissing(f"its pack needs data/models/{network.parent.name}/{network.name} of ../shared")
        shutil.copyfile(network, folder / network.name)
    return folder
