"""Models: the catalog, the store on this machine, and what turns published files into graphs that run."""

from facepool.models.catalog import CATALOG, DEFAULT_PACK, DEMO_PHOTOS, PACKS
from facepool.models.entries import (
    Asset,
    AssetFile,
    Download,
    InstalledModel,
    Licence,
    ModelEntry,
    Pack,
    PackageMember,
    Progress,
    space_of,
)
from facepool.models.store import ModelStore, Verdict, default_root, find_pack

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
