"""Who may ask for what, as the routes say it."""

from typing import Annotated

from fastapi import Depends

from facepool.web.services import Caller, requires

Recognizing = Annotated[Caller, Depends(requires("recognize"))]
Enrolling = Annotated[Caller, Depends(requires("enroll"))]
Administering = Annotated[Caller, Depends(requires("admin"))]
