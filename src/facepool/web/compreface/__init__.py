"""The REST interface of CompreFace 1.x, as far as it is about faces, so that its clients find a facepool instead."""

from fastapi import APIRouter

from facepool.web.compreface import recognition, subjects
from facepool.web.compreface import recognition as verification
from facepool.web.compreface import subjects as faces
from facepool.web.compreface.errors import ANSWERS

router = APIRouter(prefix="/api/v1", tags=["CompreFace"], responses=ANSWERS)
for _part in (subjects, recognition, faces, verification):
    router.include_router(_part.router)
