"""The faces of many picture files: by this process, or by all machines of a Ray cluster.

Begin with ``pictures``: what there is of one picture, and ``PictureAnalysis``, which `register`, `evaluate` and `group`
take. ``local`` and ``cluster`` are its two implementations; ``worker`` is what runs on the cluster's machines.
"""

from facepool.bulk.cluster import RayAnalysis, RayJob, open_ray
from facepool.bulk.local import LocalAnalysis
from facepool.bulk.pictures import PictureAnalysis, PictureFaces

__all__ = ["LocalAnalysis", "PictureAnalysis", "PictureFaces", "RayAnalysis", "RayJob", "open_ray"]
