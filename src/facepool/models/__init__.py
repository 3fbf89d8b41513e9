"""Models: from the name of a network to an ONNX file that is verified and ready to run.

Comes in: a name, or a description of a user's own network. Goes out: an ``InstalledModel``. Read ``catalog`` first
(what there is, and how it is fed), then ``store`` (what lies on the disk); ``sources`` and ``package_index`` fetch,
``graphs`` cleans ONNX files up, ``describe`` reads users' descriptions, ``checkpoints`` converts PyTorch files.
"""

from facepool.models.catalog import (
    CATALOG,
    DEFAULT_PACK,
    DEMO_PHOTOS,
    PACKS,
    Asset,
    AssetFile,
    Download,
    InstalledModel,
    Licence,
    ModelEntry,
    Pack,
    PackageMember,
    Progress,
    find_pack,
    space_of,
)
from facepool.models.store import ModelStore, Verdict, default_root

__all__ = [
    "CATALOG",
    "DEFAULT_PACK",
    "DEMO_PHOTOS",
    "PACKS",
    "Asset",
    "AssetFile",
    "Download",
    "InstalledModel",
    "Licence",
    "ModelEntry",
    "ModelStore",
    "Pack",
    "PackageMember",
    "Progress",
    "Verdict",
    "default_root",
    "find_pack",
    "space_of",
]
