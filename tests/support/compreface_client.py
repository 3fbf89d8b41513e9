"""The SDK of CompreFace, unchanged.

It pins a release of requests-toolbelt that asks urllib3 for its support of Google App Engine, which urllib3 2 has no
more. An empty module in its place is all that it takes to import the two together; nothing of it is ever called.
"""

import importlib.util
import sys
from types import ModuleType

if importlib.util.find_spec("urllib3.contrib.appengine") is None:
    sys.modules["urllib3.contrib.appengine"] = ModuleType("urllib3.contrib.appengine")

from compreface import CompreFace
from compreface.collections import FaceCollection, Subjects
from compreface.exceptions import IncorrectFieldException
from compreface.service import DetectionService, RecognitionService, VerificationService

__all__ = [
    "CompreFace",
    "DetectionService",
    "FaceCollection",
    "IncorrectFieldException",
    "RecognitionService",
    "Subjects",
    "VerificationService",
]
