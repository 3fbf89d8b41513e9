"""The REST interface of CompreFace 1.x, as far as it is about faces, so that its clients find a facepool instead.

In come CompreFace's requests; out go its answers, built from the same services as ``facepool.web.api``. Read
``recognition`` first, then ``subjects`` (people and their examples); ``faces`` has what both do with a picture.
"""

from fastapi import APIRouter

from facepool.web.compreface import recognition, status, subjects
from facepool.web.compreface.errors import ANSWERS, refusal

__all__ = ["refusal", "router"]

router = APIRouter(prefix="/api/v1", tags=["CompreFace"], responses=ANSWERS)
for _part in (subjects.router, recognition.router, subjects.examples, subjects.static, status.router):
    router.include_router(_part)
